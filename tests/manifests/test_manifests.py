# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every template, with every set of variables, against the schema of Kubernetes and against the rules of security and availability."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from conftest import SETS
from rules import RULES, Rule, Stack, title

KUBERNETES = "1.35"
# Kinds of CustomResourceDefinitions, of which the schemas know nothing.
CUSTOM = {"traefik.io/v1alpha1"}


@pytest.mark.parametrize("name", SETS)
def test_objects_are_valid(stacks: dict[str, Stack], name: str) -> None:
    wrong = []
    for item in stacks[name].objects:
        if item["apiVersion"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(f"{title(item)}: {'.'.join(map(str, error.path))}: {error.message}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_objects_keep_the_rule(stacks: dict[str, Stack], rule: Rule, name: str) -> None:
    breaches = list(rule(stacks[name]))
    assert not breaches, "\n".join(breaches)


def test_every_template_makes_something(rendered: dict[str, dict[str, Any]]) -> None:
    for role, text in rendered["everything"]["texts"].items():
        assert "kind:" in text, role


def test_a_shared_volume_can_be_written_from_every_node(stacks: dict[str, Stack]) -> None:
    media = stacks["everything"].named("PersistentVolumeClaim", "media")
    assert media is not None
    assert media["spec"]["accessModes"] == ["ReadWriteMany"]
    assert media["spec"]["storageClassName"] == "local-path-shared"


def test_the_memory_limit_sizes_the_stores(stacks: dict[str, Stack]) -> None:
    settings = stacks["everything"].named("ConfigMap", "postgresql-config")
    assert settings is not None
    assert "shared_buffers = 1024MB" in settings["data"]["10-stackgate.conf"]  # a quarter of 4Gi
    redis = stacks["everything"].named("ConfigMap", "redis-config")
    assert redis is not None
    assert "maxmemory 153mb" in redis["data"]["redis.conf"]  # 60 % of 256Mi


def member(stacks: dict[str, Stack], name: str, workload: str = "mongodb") -> dict[str, Any]:
    """The StatefulSet of MongoDB's members."""
    found = stacks[name].named("StatefulSet", workload)
    assert found is not None
    return found


def server(found: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("name", "workload", "gigabytes"),
    [("everything", "mongodb", "1.5"), ("everything", "mongodb-arbiter", "0.25"), ("defaults", "mongodb", "0.25")],
)
def test_the_memory_limit_sizes_the_servers_cache(stacks: dict[str, Stack], name: str, workload: str, gigabytes: str) -> None:
    """Half of what is above 1 GiB, at least a quarter of one: of 4Gi, for an arbiter, of 1Gi."""
    arguments = server(member(stacks, name, workload))["args"]
    assert arguments[arguments.index("--wiredTigerCacheSizeGB") + 1] == gigabytes


def test_a_member_lives_while_it_answers_and_is_ready_in_its_place(stacks: dict[str, Stack]) -> None:
    """What a member answers decides whether it is ready; whether it lives, that it answers: no lack of a majority restarts it."""
    for workload in ("mongodb", "mongodb-arbiter"):
        container = server(member(stacks, "everything", workload))
        commands = {kind: container[f"{kind}Probe"]["exec"]["command"][1] for kind in ("startup", "readiness", "liveness")}
        assert commands == {"startup": "live", "readiness": "ready", "liveness": "live"}


def test_a_member_starts_under_its_full_name_with_a_key_of_its_own(stacks: dict[str, Stack]) -> None:
    found = member(stacks, "everything")
    container = server(found)
    host = found["metadata"]["namespace"]
    assert f"-name=$(POD_NAME).mongodb-members.{host}.svc.cluster.local" in container["command"]
    assert container["args"][container["args"].index("--keyFile") + 1] == "/run/mongodb/key"
    run = next(volume for volume in found["spec"]["template"]["spec"]["volumes"] if volume["name"] == "run")
    assert run["emptyDir"]["medium"] == "Memory"


def test_volumes_go_with_their_members_only_when_told(stacks: dict[str, Stack]) -> None:
    kept = {name: member(stacks, name)["spec"]["persistentVolumeClaimRetentionPolicy"] for name in ("defaults", "everything")}
    assert kept["defaults"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert kept["everything"] == {"whenDeleted": "Retain", "whenScaled": "Delete"}


def test_members_and_arbiter_keep_off_each_others_nodes(stacks: dict[str, Stack]) -> None:
    for workload in ("mongodb", "mongodb-arbiter"):
        constraint = member(stacks, "everything", workload)["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
        assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
        assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "mongodb"


def test_clients_are_given_all_members_that_are_not_hidden(rendered: dict[str, dict[str, Any]]) -> None:
    gate = next(condition for condition in rendered["everything"]["gates"]["mongodb"] if condition["kind"] == "mongodb")
    assert [one["name"] for one in gate["members"]] == [*(f"mongodb-{n}" for n in range(4)), "mongodb-arbiter-0"]
    hosts = rendered["everything"]["hosts"].split(",")
    assert [host.partition(".")[0] for host in hosts] == ["mongodb-0", "mongodb-1", "mongodb-2"]


def test_settings_are_quoted(stacks: dict[str, Stack]) -> None:
    settings = stacks["everything"].named("ConfigMap", "postgresql-config")
    assert settings is not None
    assert "search_path = '''$user'', public'" in settings["data"]["10-stackgate.conf"]


def test_each_database_has_its_uri(rendered: dict[str, dict[str, Any]]) -> None:
    fields = rendered["everything"]["fields"]
    assert fields["postgresql"]["uri"] == "postgresql://${username}:${password}@${host}:${port}/${database}"
    assert fields["postgresql"]["second-uri"] == "postgresql://${second-username}:${second-password}@${host}:${port}/second"
    assert fields["redis"]["cache-uri"] == "redis://${username}:${password}@${host}:${port}/1"


def test_the_setup_job_reads_each_database(stacks: dict[str, Stack]) -> None:
    setup = stacks["everything"].named("ConfigMap", "postgresql-setup")
    assert setup is not None
    assert setup["data"]["databases"].splitlines() == [
        "main owner password hstore btree_gin",
        "second second_owner second-password citext",
        "third third third-password",
    ]


def test_the_primary_is_found_by_its_role(stacks: dict[str, Stack]) -> None:
    """The shape that replication needs: clients select the role, members find each other."""
    for store, role in (("postgresql", "primary"), ("redis", "master")):
        service = stacks["defaults"].named("Service", store)
        members = stacks["defaults"].named("Service", f"{store}-members")
        assert service is not None
        assert members is not None
        assert service["spec"]["selector"]["stackgate.k3s/role"] == role
        assert "stackgate.k3s/role" not in members["spec"]["selector"]


def test_the_nginx_configuration_is_balanced(rendered: dict[str, dict[str, Any]]) -> None:
    for name, found in rendered.items():
        for item in found["objects"]:
            text = (item.get("data") or {}).get("nginx.conf", "") if item["kind"] == "ConfigMap" else ""
            assert text.count("{") == text.count("}"), (name, item["metadata"]["name"])


def test_every_way_of_a_location_is_written(stacks: dict[str, Stack]) -> None:
    found = stacks["everything"].named("ConfigMap", "nginx-config")
    assert found is not None
    config = found["data"]["nginx.conf"]
    for line in (
        "proxy_pass http://app;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_buffering off;",
        "client_max_body_size 1024m;",
        "alias /srv/media/;",
        'location ~ "\\\\.[0-9a-f]{12}\\\\." {',
        'location ~ "/\\\\." {',
        'location "/internal/" {',
        "try_files $uri $uri/ /spa/index.html;",
        'location = "/old" {',
        "return 301 /new;",
        "return 410;",
        'add_header Cache-Control "public, immutable" always;',
        'add_header X-One "1" always;',
        "expires 3600s;",
        "map $host $x { default 1; }",
        "proxy_hide_header X-Powered-By;",
    ):
        assert line in config, line


def test_a_location_with_headers_of_its_own_keeps_the_common_ones(stacks: dict[str, Stack]) -> None:
    """nginx forgets the headers of the server where a location adds one."""
    found = stacks["everything"].named("ConfigMap", "nginx-config")
    assert found is not None
    location = found["data"]["nginx.conf"].partition('location "/media/" {')[2].partition("\n        }")[0]
    assert "X-Content-Type-Options" in location
    assert "X-One" in location


def test_the_content_is_named_by_itself(rendered: dict[str, dict[str, Any]]) -> None:
    maps = [item for item in rendered["everything"]["objects"] if item["kind"] == "ConfigMap" and "binaryData" in item]
    assert len(maps) == 1
    assert maps[0]["immutable"] is True
    website = next(
        item for item in rendered["everything"]["objects"] if item["kind"] == "Deployment" and item["metadata"]["name"] == "website"
    )
    sources = next(volume for volume in website["spec"]["template"]["spec"]["volumes"] if volume["name"] == "content")["projected"][
        "sources"
    ]
    assert {entry["path"] for entry in sources[0]["configMap"]["items"]} == {"index.html", "404.html", "css/site.css"}


def test_ingress_checks_follow_the_host(rendered: dict[str, dict[str, Any]]) -> None:
    conditions = {
        condition.get("host"): condition for condition in rendered["everything"]["gates"]["ingress"] if condition["kind"] == "http"
    }
    assert set(conditions) == {"app.example.test", "site.example.test"}  # not the one that is switched off, not the wildcard
    assert conditions["app.example.test"]["scheme"] == "https"
    assert conditions["app.example.test"]["headers"] == {"X-Frame-Options": "DENY"}


def test_middlewares_need_their_kind(rendered: dict[str, dict[str, Any]]) -> None:
    app = next(
        item for item in rendered["everything"]["objects"] if item["kind"] == "Ingress" and item["metadata"]["name"] == "app-example-test"
    )
    namespace = app["metadata"]["namespace"]
    assert app["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.middlewares"] == (
        f"{namespace}-secure@kubernetescrd,{namespace}-to-https@kubernetescrd,{namespace}-stackgate-retry@kubernetescrd"
    )


def test_pods_without_state_leave_a_lost_node(stacks: dict[str, Stack]) -> None:
    for item in stacks["wesago"].of("Deployment"):
        tolerations = item["spec"]["template"]["spec"]["tolerations"]
        assert {one["key"].rpartition("/")[2]: one["tolerationSeconds"] for one in tolerations} == {"not-ready": 30, "unreachable": 30}


def test_clients_of_stores_ask_no_name_server(stacks: dict[str, Stack]) -> None:
    web = stacks["wesago"].named("Deployment", "web")
    assert web is not None
    assert {name for one in web["spec"]["template"]["spec"]["hostAliases"] for name in one["hostnames"]} == {"postgresql", "redis"}


def test_the_ingress_controller_gives_up_a_dead_address(stacks: dict[str, Stack]) -> None:
    """What the Services and Ingresses name is there, and has Traefik keep no connection."""
    wesago = stacks["wesago"]
    transport = wesago.named("ServersTransport", "stackgate")
    assert transport is not None
    assert transport["spec"] == {"maxIdleConnsPerHost": -1, "forwardingTimeouts": {"dialTimeout": "300ms"}}
    namespace = transport["metadata"]["namespace"]
    for service in ("nginx", "website"):
        found = wesago.named("Service", service)
        assert found is not None
        name = found["metadata"]["annotations"]["traefik.ingress.kubernetes.io/service.serverstransport"]
        assert name == f"{namespace}-stackgate@kubernetescrd"
    assert wesago.named("Middleware", "stackgate-retry") is not None
    for ingress in wesago.of("Ingress"):
        assert "-stackgate-retry@kubernetescrd" in ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.middlewares"]
