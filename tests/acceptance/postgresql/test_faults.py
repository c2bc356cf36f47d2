# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: an application commits, the leader goes, and the ledger says how long nobody could commit and whether anything was lost.

What each fault costs, three times over, is `playbooks/drill.yml`. Here is what must never be: two leaders, or a commit that is gone.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from instance import PROJECT, Instance
from ledger_pod import Client
from postgresql_members import Members
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

# Seconds; a busy machine may need more than the medians of docs/stores/postgresql.md.
POD_DELETED, NODE_OFF = 10.0, 35.0
# Seconds for which the leader's node is cut off: longer than its lock lasts.
CUT = 45


@pytest.fixture
def whole_again(members: Members) -> Iterator[None]:
    yield
    until("all members are back", members.whole, 240)


def node(what: str, name: str) -> None:
    subprocess.run(["make", f"node-{what}", f"NODE={name}"], cwd=PROJECT, check=True, capture_output=True)


def a_leader_that_may_go(instance: Instance, members: Members) -> str:
    """A leader that is not on the node of the control plane and of the application's pod."""
    if members.node(members.leader()) == "node1":
        instance.core.delete_namespaced_pod(members.leader(), instance.namespace)
        until("another member leads, and all are back", lambda: members.whole() and members.node(members.leader()) != "node1", 120)
    return members.leader()


@pytest.mark.covers("WE-L05", "WE-L12", "WE-L13")
def test_the_leaders_pod_is_killed(
    instance: Instance, members: Members, ledger: Client, whole_again: None, record_property: pytest.FixtureRequest
) -> None:
    leader = members.leader()
    writing = ledger.start("drill", "30")
    time.sleep(8)
    instance.core.delete_namespaced_pod(leader, instance.namespace, grace_period_seconds=0)
    written = ledger.finish(writing)
    record_property("longest gap (seconds)", written["gaps"][0])
    print(f"the leader's pod killed: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert len(written["leaders"]) == 2
    assert written["gaps"][0] < POD_DELETED


def test_the_leaders_node_loses_power(
    instance: Instance, members: Members, ledger: Client, whole_again: None, record_property: pytest.FixtureRequest
) -> None:
    where = members.node(a_leader_that_may_go(instance, members))
    writing = ledger.start("drill", "60")
    time.sleep(8)
    node("off", where)
    try:
        written = ledger.finish(writing, 180)
    finally:
        node("on", where)
    record_property("longest gap (seconds)", written["gaps"][0])
    print(f"the leader's node without power: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert written["gaps"][0] < NODE_OFF


def test_a_leader_that_is_cut_off_gives_up_and_there_are_never_two(
    instance: Instance, members: Members, ledger: Client, ledger_pod: dict[str, Any], whole_again: None
) -> None:
    """One application on each side of the cut. What either was acknowledged is there in the end, which two leaders would contradict."""
    leader = a_leader_that_may_go(instance, members)
    where = members.node(leader)
    core, namespace = instance.core, instance.namespace
    inside = copy.deepcopy(ledger_pod)
    inside["metadata"]["name"] = "ledger-inside"
    inside["spec"]["nodeSelector"] = {"kubernetes.io/hostname": where}
    inside["spec"]["containers"][0]["command"] = ["python3", "/program/ledger.py", "drill", str(CUT + 40)]
    core.create_namespaced_pod(namespace, inside)
    try:
        until("the pod inside runs", lambda: core.read_namespaced_pod("ledger-inside", namespace).status.phase == "Running", 60)
        writing = ledger.start("drill", str(CUT + 20))
        time.sleep(8)
        cut_at = datetime.now(UTC)
        node("cut", where)
        try:
            time.sleep(CUT)
            new = members.leader()
        finally:
            node("heal", where)
        outside = ledger.finish(writing, 180)
        assert new != leader
        assert outside["lost"] == []
        assert len(outside["leaders"]) == 2
        until("the pod inside is done", lambda: core.read_namespaced_pod("ledger-inside", namespace).status.phase == "Succeeded", 180)
        within = json.loads(core.read_namespaced_pod_log("ledger-inside", namespace))
        print(f"cut off: longest gap outside {outside['gaps'][0]} s, inside {within['gaps'][0]} s")
        assert within["lost"] == []
        # Nobody on the far side was told that something is committed from when the cut began to when it ended.
        assert within["gaps"][0] > CUT - 15
        seconds = int((datetime.now(UTC) - cut_at).total_seconds()) + 1
        said = core.read_namespaced_pod_log(leader, namespace, container="postgresql", since_seconds=seconds)
        assert "demoting self" in said, said
    finally:
        core.delete_namespaced_pod("ledger-inside", namespace)
