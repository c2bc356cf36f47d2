# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills: an application writes and reads, servers go, and the ledger says for how long it stood still and whether anything was lost."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from instance import PROJECT, Instance
from object_ledger import Account, Ledger, Storage, acknowledged, gate, is_ready, lost, until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

Property = Callable[[str, object], None]
# Seconds that nothing may go on for at most. A server that ends closes its connections; of a node without power nobody hears anything.
POD_GAP, NODE_GAP = 10.0, 30.0


@pytest.fixture(autouse=True)
def whole_again(instance: Instance, storage: Storage) -> Iterator[None]:
    """Afterwards the next delivery finds everything well, and changes nothing but what a test did."""
    yield
    run = instance.play("--tags", "object_storage")
    assert run.status == 0, run.failed
    assert len(storage.ready()) == 4


def nothing_is_lost(storage: Storage, ledger: Ledger) -> int:
    """Every acknowledged object is there with the same content; how many there are."""
    wanted = acknowledged(ledger.lines())
    assert lost(storage.store("object-storage"), "app", wanted) == []
    return len(wanted)


def test_a_pod_is_deleted(instance: Instance, storage: Storage, ledger: Ledger, record_property: Property) -> None:
    time.sleep(5)
    began = time.time()
    old = storage.pods()[1]["metadata"]
    instance.core.delete_namespaced_pod(old["name"], instance.namespace)
    until("it is back", lambda: any(is_ready(p) and p["metadata"]["uid"] != old["uid"] for p in storage.pods()[1:2]), 90)
    time.sleep(10)
    ended = time.time()
    lines = ledger.lines(began, ended)
    for operation in ("put", "get"):
        account = Account.of(operation, lines, began, ended)
        print(f"a pod deleted, {operation}: {account}")
        record_property(f"longest gap of {operation} (seconds)", account.gap)
        assert account.gap < POD_GAP
        assert account.failed <= 3
    assert nothing_is_lost(storage, ledger) > 100


def test_a_node_loses_power(instance: Instance, storage: Storage, ledger: Ledger, record_property: Property) -> None:
    counts = Counter(storage.nodes().values())
    # Not the control plane's, and one with a single server: two of four are the next test.
    node = next(name for name, servers in counts.items() if servers == 1 and name != "node1")
    time.sleep(5)
    subprocess.run(["make", "node-off", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)
    began = time.time()
    try:
        time.sleep(75)
        ended = time.time()
        lines = ledger.lines(began, ended)
        seen = gate(instance)
    finally:
        subprocess.run(["make", "node-on", f"NODE={node}"], cwd=PROJECT, check=True, capture_output=True)
    for operation in ("put", "get"):
        account = Account.of(operation, lines, began, ended)
        print(f"a node without power, {operation}: {account}")
        record_property(f"longest gap of {operation} (seconds)", account.gap)
        assert account.gap < NODE_GAP
        # Once the cluster knows that the node is gone, nobody is sent there any more.
        late = Account.of(operation, [line for line in lines if line["at"] > ended - 20], ended - 20, ended)
        assert late.failed == 0, late
        assert late.done > 20
    assert "3 of 4 drives online" in seen["s3"], seen
    until("all servers are back", lambda: len(storage.ready()) == 4, 120)
    assert nothing_is_lost(storage, ledger) > 100


def test_two_of_four_are_down(instance: Instance, storage: Storage, ledger: Ledger) -> None:
    time.sleep(5)
    storage.scale(2)
    until("the others are written off", lambda: "reads go on" in gate(instance)["s3"], 60)
    began = time.time()
    time.sleep(40)
    ended = time.time()
    lines = ledger.lines(began, ended)
    writes, reads = (Account.of(operation, lines, began, ended) for operation in ("put", "get"))
    print(f"two of four down, put: {writes}; get: {reads}")
    assert (writes.done, writes.failed > 0) == (0, True), writes
    assert (reads.failed, reads.done > 100) == (0, True), reads
    # A server that is kept waiting by writers may be slow to tell.
    clear = "write quorum lost: 2 of 4 drives online, 3 needed (reads go on); offline: object-storage-2"
    until(f"the gate says: {clear}", lambda: clear in gate(instance)["s3"], 60)
    # The next delivery makes good what somebody did, and ends when everything is.
    run = instance.play("--tags", "object_storage")
    assert run.status == 0, run.failed
    began = time.time()
    time.sleep(10)
    after = Account.of("put", ledger.lines(began), began, time.time())
    assert (after.failed, after.done > 20) == (0, True), after
    assert nothing_is_lost(storage, ledger) > 100


def test_a_wiped_volume_heals(instance: Instance, storage: Storage, ledger: Ledger) -> None:
    time.sleep(15)
    wanted = acknowledged(ledger.lines())
    ledger.stop()
    victim = storage.pods()[0]["metadata"]
    instance.core.delete_namespaced_persistent_volume_claim(f"drive-0-{victim['name']}", instance.namespace)
    instance.core.delete_namespaced_pod(victim["name"], instance.namespace)

    def new() -> list[dict[str, Any]]:
        return [pod for pod in storage.pods() if pod["metadata"]["name"] == victim["name"] and pod["metadata"]["uid"] != victim["uid"]]

    until("it has an empty volume", lambda: any(is_ready(pod) for pod in new()), 120)
    began = time.monotonic()
    run = instance.play("--tags", "object_storage")
    assert run.status == 0, run.failed
    print(f"a wiped volume: the gate held the run for {time.monotonic() - began:.0f} s; {len(wanted)} objects")
    assert "waiting for s3" in run.output or "s3 Service/object-storage holds after" in run.output, "the gate did not wait for the drive"
    # Without the last two servers an object needs what is on the healed drive.
    storage.scale(2)
    until("the other two are written off", lambda: "reads go on" in gate(instance)["s3"], 60)
    assert lost(storage.store("object-storage", victim["name"]), "app", wanted) == []
