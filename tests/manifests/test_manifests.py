# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every template, with every set of variables, against the schema of Kubernetes and against the rules of security and availability."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml
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


def bootstrap(stacks: dict[str, Stack], name: str = "everything") -> dict[str, Any]:
    """What Patroni is given to make a cluster."""
    found = stacks[name].named("ConfigMap", "postgresql-patroni")
    assert found is not None
    given: dict[str, Any] = yaml.safe_load(found["data"]["15-bootstrap.yml"])["bootstrap"]
    return given


def parameters(stacks: dict[str, Stack], name: str = "everything") -> dict[str, Any]:
    found: dict[str, Any] = bootstrap(stacks, name)["dcs"]["postgresql"]["parameters"]
    return found


def test_the_memory_limit_sizes_the_stores(stacks: dict[str, Stack]) -> None:
    assert parameters(stacks)["shared_buffers"] == "1024MB"  # a quarter of 4Gi
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


def test_settings_of_the_server_are_taken_as_they_are(stacks: dict[str, Stack]) -> None:
    assert parameters(stacks)["search_path"] == "'$user', public"


def test_synchronous_replication_is_what_one_gets(stacks: dict[str, Stack]) -> None:
    assert [bootstrap(stacks, name)["dcs"]["synchronous_mode"] for name in ("defaults", "everything")] == ["quorum", False]
    # Patroni refuses, without a word, times that do not fit into each other.
    times = bootstrap(stacks, "defaults")["dcs"]
    assert times["loop_wait"] + 2 * times["retry_timeout"] <= times["ttl"]


def test_the_log_has_its_volume_only_when_told(stacks: dict[str, Stack]) -> None:
    for name, volumes in (("defaults", ["data"]), ("everything", ["data", "wal"])):
        found = member(stacks, name, "postgresql")
        assert [claim["metadata"]["name"] for claim in found["spec"]["volumeClaimTemplates"]] == volumes
        assert ({"waldir": "/var/lib/postgresql/wal/pg_wal"} in bootstrap(stacks, name)["initdb"]) == ("wal" in volumes)
        claims = {condition["name"] for condition in stacks[name].gates["postgresql"] if condition["kind"] == "pvc"}
        assert claims == {f"{volume}-postgresql-{n}" for volume in volumes for n in range(found["spec"]["replicas"])}


def test_only_patroni_gets_a_token(stacks: dict[str, Stack]) -> None:
    pods = [pod for pod in stacks["everything"].pods() if pod.component == "postgresql"]
    assert {pod.name for pod in pods} == {"StatefulSet/postgresql", "DaemonSet/postgresql-proxy"}
    with_token = [
        (pod.name, container["name"])
        for pod in pods
        for container in pod.containers
        for mount in container.get("volumeMounts", [])
        if mount["mountPath"].startswith("/var/run/secrets/kubernetes.io")
    ]
    assert with_token == [("StatefulSet/postgresql", "postgresql")]


def test_applications_see_no_password_of_the_members(stacks: dict[str, Stack]) -> None:
    keys = stacks["everything"].secrets["postgresql"]
    assert not [key for key in keys if key.startswith(("superuser", "replication", "rewind", "rest"))]


def test_the_proxies_check_every_member_at_its_own_address(stacks: dict[str, Stack]) -> None:
    """One member more or less is one line more or less; the pooler leads to the proxy beside it, whoever leads."""
    for name, count in (("defaults", 3), ("everything", 5)):
        found = stacks[name].named("ConfigMap", "postgresql-proxy")
        assert found is not None
        servers = [
            line.split()[1:3] for line in found["data"]["postgresql.cfg"].splitlines() if line.strip().startswith("server postgresql-")
        ]
        assert servers == [[f"postgresql-{n}", f'"$ADDRESS_postgresql_{n}":5432'] for n in range(count)] * 2
        for n in range(count):
            service = stacks[name].named("Service", f"postgresql-{n}")
            assert service is not None
            assert service["spec"]["publishNotReadyAddresses"] is True
    pooler = stacks["everything"].named("ConfigMap", "postgresql-pooler")
    assert pooler is not None
    assert "main = host=127.0.0.1 port=5432\nsecond = host=127.0.0.1 port=5432\n" in pooler["data"]["pgbouncer.ini"]
    assert pooler["data"]["users"].splitlines() == [
        "pooler pooler-password",
        "owner password",
        "second_owner second-password",
        "third third-password",
        "reports reports-password",
        "visitor visitor-password",
    ]


def test_each_database_has_its_uri(rendered: dict[str, dict[str, Any]]) -> None:
    fields = rendered["everything"]["fields"]
    query = "?sslmode=${sslmode}"
    assert fields["postgresql"]["uri"] == "postgresql://${username}:${password}@${host}:${port}/${database}" + query
    assert fields["postgresql"]["second-uri"] == "postgresql://${second-username}:${second-password}@${host}:${port}/second" + query
    assert fields["postgresql"]["leader-uri"] == "postgresql://${username}:${password}@postgresql-leader:${port}/${database}" + query
    for name in ("defaults", "single"):
        plain = rendered[name]["fields"]["postgresql"]["uri"]
        assert plain == "postgresql://${username}:${password}@${host}:${port}/${database}"
    assert fields["redis"]["cache-uri"] == "redis://${username}:${password}@${host}:${port}/1"


def test_clients_use_the_proxy_of_their_own_node(stacks: dict[str, Stack]) -> None:
    """And never wait for Kubernetes to notice who is ready."""
    for service in ("postgresql", "postgresql-leader", "postgresql-replicas"):
        found = stacks["defaults"].named("Service", service)
        assert found is not None
        assert found["spec"]["selector"]["app.kubernetes.io/name"] == "postgresql-proxy"
        assert (found["spec"]["internalTrafficPolicy"], found["spec"]["publishNotReadyAddresses"]) == ("Local", True)


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
