# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults while an application writes through the Service: how long nobody could, and whether anything acknowledged was lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from instance import PROJECT, Instance
from redis_ledger import Ledger, signal_servers
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

# Seconds: twice what docs/stores/redis.md promises as a median.
LONGEST_FAILOVER = 12.0
SERVERS = "app.kubernetes.io/name=redis"


@pytest.fixture
def whole_again(ledger: Ledger) -> Iterator[None]:
    """Before it and afterwards every member is there."""
    until("all members are there", ledger.whole, 60)
    yield
    until("all members are back", ledger.whole, 180)


def judge(what: str, written: dict[str, Any], record_property: Any, longest: float = LONGEST_FAILOVER) -> None:
    print(f"{what}: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s, {written['failed']} failed")
    record_property("longest gap (seconds)", written["gaps"][0])
    assert written["lost"] == []
    assert written["acknowledged"] > 100
    assert written["gaps"][0] < longest, written


def kill(instance: Instance, pods: list[str]) -> None:
    signal_servers(instance, dict.fromkeys(pods, "redis"), "KILL")


def delete(instance: Instance, pods: list[str]) -> None:
    for pod in pods:
        instance.core.delete_namespaced_pod(pod, instance.namespace, grace_period_seconds=0)


@pytest.mark.covers("CH2-L08", "OP-L07")
def test_the_masters_process_is_killed(instance: Instance, ledger: Ledger, whole_again: None, record_property: Any) -> None:
    written = ledger.drill(lambda: kill(instance, [ledger.master()]))
    judge("the master's process killed", written, record_property)


def test_the_masters_pod_is_killed(instance: Instance, ledger: Ledger, whole_again: None, record_property: Any) -> None:
    written = ledger.drill(lambda: delete(instance, [ledger.master()]))
    judge("the master's pod killed", written, record_property)


def test_the_masters_node_loses_power(instance: Instance, ledger: Ledger, whole_again: None, record_property: Any) -> None:
    where = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in instance.pods(SERVERS)}
    if where[ledger.master()] == "node1":  # the control plane, and the application's pod
        instance.core.delete_namespaced_pod(ledger.master(), instance.namespace)
        until("another server is the master", lambda: where.get(ledger.master(), "node1") != "node1" and ledger.whole(), 120)
    node = where[ledger.master()]

    def off() -> None:
        subprocess.run(["make", "node-off", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)

    try:
        written = ledger.drill(off, seconds=45)
    finally:
        subprocess.run(["make", "node-on", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)
    judge("the master's node without power", written, record_property)


def test_master_and_volume_are_lost(instance: Instance, ledger: Ledger, whole_again: None, record_property: Any) -> None:
    """It comes back empty, and must not be taken for the master again before it has the data."""

    def lose() -> None:
        lost = ledger.master()
        instance.core.delete_namespaced_persistent_volume_claim(f"data-{lost}", instance.namespace)
        delete(instance, [lost])

    written = ledger.drill(lose, seconds=45)
    judge("master and volume lost", written, record_property)


@pytest.mark.covers("AS-F17", "WE-F13")
@pytest.mark.parametrize("how", [kill, delete], ids=["processes", "pods"])
def test_all_at_once_ten_times(instance: Instance, ledger: Ledger, whole_again: None, record_property: Any, how: Any) -> None:
    """Nobody is there to say who is the master: what each has on its disk decides."""
    gaps = []
    for _time in range(10 if how is delete else 3):
        until("all members are there", ledger.whole, 120)
        written = ledger.drill(lambda: how(instance, [f"redis-{n}" for n in range(3)]), seconds=25, before=4)
        assert written["lost"] == [], written
        until("there is one master", lambda: bool(ledger.master()), 60)
        gaps.append(written["gaps"][0])
    print(f"all {how.__name__}: longest gaps {gaps} s")
    record_property("longest gaps (seconds)", gaps)
    assert max(gaps) < 30
