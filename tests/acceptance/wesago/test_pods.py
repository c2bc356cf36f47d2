# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods from the inside (testinfra), and what the API server says of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from instance import Instance
from testinfra.host import Host

COMPONENTS = ("nginx", "website", "web", "worker", "postgresql", "postgresql-proxy", "redis", "redis-proxy", "redis-sentinel")


@pytest.mark.covers("WE-F28")
def test_every_pod_is_ready_and_none_has_crashed(instance: Instance) -> None:
    pods = instance.pods()
    assert pods
    for pod in pods:
        name = pod["metadata"]["name"]
        assert {one["type"]: one["status"] for one in pod["status"]["conditions"]}["Ready"] == "True", name
        for container in pod["status"]["containerStatuses"]:
            last = (container.get("lastState") or {}).get("terminated")
            # What a node takes down with it, or stops, ends by a signal or without a word: that is no crash.
            assert not last or (last["reason"] != "OOMKilled" and last["exitCode"] in (0, 137, 143, 255)), f"{name}: {last}"


@pytest.mark.covers("WE-F30")
def test_every_container_asks_for_what_it_needs(instance: Instance) -> None:
    for pod in instance.pods():
        assert pod["status"]["qosClass"] != "BestEffort", pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            resources = container.get("resources") or {}
            assert resources.get("requests", {}).get("cpu"), pod["metadata"]["name"]
            assert resources.get("limits", {}).get("memory"), pod["metadata"]["name"]


@pytest.mark.covers("WE-L08")
def test_every_serving_container_is_watched_by_the_kubelet(instance: Instance) -> None:
    for pod in instance.pods():
        for container in pod["spec"]["containers"]:
            assert container.get("readinessProbe") or container.get("livenessProbe"), f"{pod['metadata']['name']}/{container['name']}"


@pytest.mark.covers("WE-L09")
def test_replicas_are_spread_over_the_nodes(instance: Instance) -> None:
    for deployment in instance.objects("apps/v1", "Deployment"):
        wanted = deployment["spec"]["replicas"]
        selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        nodes = {pod["spec"]["nodeName"] for pod in instance.pods(selector)}
        if wanted > 1:
            assert len(nodes) > 1, deployment["metadata"]["name"]


@pytest.mark.covers("WE-F06")
def test_each_component_is_of_the_kind_that_it_needs(instance: Instance) -> None:
    stateful = {item["metadata"]["name"] for item in instance.objects("apps/v1", "StatefulSet")}
    stateless = {item["metadata"]["name"] for item in instance.objects("apps/v1", "Deployment")}
    assert {"postgresql", "redis", "redis-sentinel"} <= stateful
    assert "nginx" in stateless


@pytest.mark.covers("WE-F09", "WE-F11", "WE-F12")
@pytest.mark.parametrize("name", ["postgresql", "redis", "redis-sentinel"])
def test_three_members_have_a_name_and_a_volume_each(instance: Instance, name: str) -> None:
    (found,) = [item for item in instance.objects("apps/v1", "StatefulSet") if item["metadata"]["name"] == name]
    services = {item["metadata"]["name"]: item["spec"] for item in instance.objects("v1", "Service")}
    claims = {item["metadata"]["name"]: item["status"] for item in instance.objects("v1", "PersistentVolumeClaim")}
    assert services[found["spec"]["serviceName"]]["clusterIP"] == "None"
    members = instance.pods(f"app.kubernetes.io/name={name}")
    assert sorted(pod["metadata"]["name"] for pod in members) == [f"{name}-{number}" for number in range(3)]
    for pod in members:
        volumes = pod["spec"]["volumes"]
        (own,) = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
        assert own.endswith(f"-{pod['metadata']['name']}") and claims[own]["phase"] == "Bound"
        sources = [source for volume in volumes for source in (volume, *volume.get("projected", {}).get("sources", []))]
        assert any("secret" in source for source in sources), f"{pod['metadata']['name']} has no passwords"


def test_a_task_sent_by_a_web_process_is_done_by_a_worker(inside: Callable[[str], Host], forum_host: str) -> None:
    ask = (
        "import urllib.request as u; "
        f"print(u.urlopen(u.Request('http://127.0.0.1:8000/healthcheck/celery/', headers={{'Host': '{forum_host}'}})).read().decode())"
    )
    assert '"status": "OK"' in inside("web").check_output(f'python -c "{ask}"')


@pytest.mark.covers("WE-F31")
def test_the_forum_s_tables_are_in_postgresql(inside: Callable[[str], Host]) -> None:
    count = inside("web").check_output(
        'python -c "import django; django.setup(); from misago.threads.models import Thread; print(Thread.objects.count() >= 0)"'
    )
    assert count.splitlines()[-1] == "True"


def test_nothing_runs_as_root(inside: Callable[[str], Host]) -> None:
    for component in COMPONENTS:
        assert inside(component).check_output("id -u") != "0", component


def test_nginx_finds_its_configuration_valid(inside: Callable[[str], Host]) -> None:
    assert inside("nginx").run("nginx -t -q").rc == 0


def test_the_root_file_systems_cannot_be_written(inside: Callable[[str], Host]) -> None:
    for component in COMPONENTS:
        assert inside(component).run("touch /probe").rc != 0, component


def test_no_secret_is_in_a_command_line(instance: Instance, inside: Callable[[str], Host]) -> None:
    import base64

    values = {
        base64.b64decode(value).decode(errors="replace")
        for secret in instance.objects("v1", "Secret")
        for key, value in (secret.get("data") or {}).items()
        if "password" in key or "uri" in key or "key" in key
    }
    secrets_ = {value for value in values if len(value) >= 12}
    assert secrets_
    for component in COMPONENTS:
        lines = inside(component).check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        assert not [value for value in secrets_ if value in lines], component
