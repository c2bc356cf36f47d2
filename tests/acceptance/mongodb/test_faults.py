# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: an application writes, the primary goes, and the ledger says how long nobody could write and whether anything was lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from instance import PROJECT, Instance
from ledger_pod import Client
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

# Seconds. An election after a timeout takes 10 s and up to 15 % more; the driver then has to find the new primary.
LONGEST_ELECTION = 20.0


@pytest.fixture
def whole_again(ledger: Client) -> Iterator[None]:
    """Afterwards every member is back."""
    yield
    until("all members are back", lambda: sorted(ledger.states().values()) == ["PRIMARY", "SECONDARY", "SECONDARY"], 180)


@pytest.mark.covers("CH2-L05", "CH2-L09")
def test_the_primarys_pod_is_killed(instance: Instance, ledger: Client, whole_again: None, record_property: pytest.FixtureRequest) -> None:
    primary = ledger.primary()
    writing = ledger.start("drill", "45")
    time.sleep(10)
    instance.core.delete_namespaced_pod(primary, instance.namespace, grace_period_seconds=0)
    written = ledger.finish(writing)
    record_property("longest gap (seconds)", written["gaps"][0])
    print(f"the primary's pod killed: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert written["acknowledged"] > 100
    assert written["gaps"][0] < LONGEST_ELECTION


def test_the_primarys_node_loses_power(
    instance: Instance, ledger: Client, whole_again: None, record_property: pytest.FixtureRequest
) -> None:
    where = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in instance.pods("app.kubernetes.io/name=mongodb")}
    primary = ledger.primary()
    if where[primary] == "node1":  # the control plane, and the application's pod
        instance.core.delete_namespaced_pod(primary, instance.namespace)
        until("another member is primary, and all are back", lambda: where.get(_settled(ledger), "node1") != "node1", 120)
        primary = ledger.primary()
    node = where[primary]
    writing = ledger.start("drill", "75")
    time.sleep(10)
    subprocess.run(["make", "node-off", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)
    try:
        written = ledger.finish(writing, 180)
    finally:
        subprocess.run(["make", "node-on", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)
    record_property("longest gap (seconds)", written["gaps"][0])
    print(f"the primary's node without power: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert written["gaps"][0] < 2 * LONGEST_ELECTION


def _settled(ledger: Client) -> str:
    """The primary, once all members are back; empty until then."""
    states = ledger.states()
    whole = sorted(states.values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    return next(name for name, state in states.items() if state == "PRIMARY") if whole else ""
