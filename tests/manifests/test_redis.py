# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role redis renders: one server, three, or a set of five with three sentinels."""

from __future__ import annotations

from typing import Any

import pytest
from rules import Stack

SERVERS = [f"redis-{n}" for n in range(5)]
SENTINELS = [f"redis-sentinel-{n}" for n in range(3)]


def named(stack: Stack, kind: str, name: str) -> dict[str, Any]:
    found = stack.named(kind, name)
    assert found is not None, f"{kind}/{name}"
    return found


def container(stack: Stack, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = named(stack, kind, name)["spec"]["template"]["spec"]["containers"][0]
    return found


def test_a_single_server_has_neither_sentinels_nor_proxies(stacks: dict[str, Stack]) -> None:
    single = stacks["single"]
    assert single.named("StatefulSet", "redis-sentinel") is None
    assert single.named("DaemonSet", "redis-proxy") is None
    selector = named(single, "Service", "redis")["spec"]["selector"]
    assert selector == named(single, "StatefulSet", "redis")["spec"]["selector"]["matchLabels"]
    assert "min-replicas" not in named(single, "ConfigMap", "redis-config")["data"]["redis.conf"]
    assert "sentinels" not in single.secrets["redis"]


def test_clients_are_led_by_the_proxy_of_their_node_before_it_is_ready(stacks: dict[str, Stack]) -> None:
    spec = named(stacks["everything"], "Service", "redis")["spec"]
    assert spec["selector"] == named(stacks["everything"], "DaemonSet", "redis-proxy")["spec"]["selector"]["matchLabels"]
    assert spec["internalTrafficPolicy"] == "Local"
    assert spec["publishNotReadyAddresses"] is True


def test_each_member_has_an_address_that_stays(stacks: dict[str, Stack]) -> None:
    for name in (*SERVERS, *SENTINELS):
        spec = named(stacks["everything"], "Service", name)["spec"]
        assert spec["selector"]["statefulset.kubernetes.io/pod-name"] == name
        assert spec.get("clusterIP") is None
        assert spec["publishNotReadyAddresses"] is True


def test_members_are_told_of_each_other(stacks: dict[str, Stack]) -> None:
    for name, command in (("redis", "server"), ("redis-sentinel", "sentinel")):
        arguments = container(stacks["everything"], "StatefulSet", name)["args"]
        assert arguments[0] == command
        assert f"-members={','.join(SERVERS)}" in arguments
        assert f"-sentinels={','.join(SENTINELS)}" in arguments
        assert "-master=shop" in arguments
        assert "-domain=everything-test.svc.cluster.local" in arguments


def test_the_proxies_ask_every_member_and_want_a_majority_of_the_sentinels(stacks: dict[str, Stack]) -> None:
    text = named(stacks["everything"], "ConfigMap", "redis-proxy")["data"]["redis.cfg"]
    for server in SERVERS:
        assert (
            f"http-request return status 200 if {{ path /{server} }} {{ nbsrv(says-{server}) gt 0 }} {{ nbsrv(named-{server}) ge 2 }}"
            in text
        )
        backend = text.partition(f"backend named-{server}\n")[2].partition("\nbackend ")[0]
        assert [line.split()[1] for line in backend.splitlines() if line.strip().startswith("server ")] == SENTINELS
    assert "on-marked-down shutdown-sessions" in text
    (resolve,) = container(stacks["everything"], "DaemonSet", "redis-proxy")["env"]
    assert resolve["value"].split() == [*SERVERS, *SENTINELS]


def test_a_proxy_lives_without_a_master_and_ends_soon(stacks: dict[str, Stack]) -> None:
    proxy = named(stacks["everything"], "DaemonSet", "redis-proxy")
    probes = container(stacks["everything"], "DaemonSet", "redis-proxy")
    assert probes["livenessProbe"]["httpGet"]["path"] == "/live"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert proxy["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert proxy["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert proxy["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 5  # hard-stop-after


def test_no_lack_of_a_majority_restarts_a_member(stacks: dict[str, Stack]) -> None:
    for name in ("redis", "redis-sentinel"):
        found = container(stacks["everything"], "StatefulSet", name)
        paths = {kind: found[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/live", "readiness": "/ready", "liveness": "/live"}


@pytest.mark.parametrize("name", ["redis", "redis-sentinel"])
def test_no_volume_has_an_owner_while_it_is_being_bound(stacks: dict[str, Stack], name: str) -> None:
    """With whenDeleted Delete the StatefulSet is written into the claim at the same moment, and two members land on one node."""
    policy = named(stacks["everything"], "StatefulSet", name)["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Delete"}  # redis_remove_volumes
    kept = named(stacks["single"], "StatefulSet", "redis")["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_clients_that_know_sentinel_are_told_of_all(rendered: dict[str, dict[str, Any]]) -> None:
    assert {"sentinels", "master-name"} <= set(rendered["everything"]["secrets"]["redis"])
    assert "admin-password" in rendered["everything"]["secrets"]["redis-members"]
    assert not [key for key in rendered["everything"]["secrets"]["redis"] if "admin" in key]
