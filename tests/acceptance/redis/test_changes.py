# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of site.yml on a set that stands: members by plan, restarts one by one; and a gate that names what is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance import Instance, Run
from redis_ledger import Ledger, signal_servers
from waiting import until

pytestmark = pytest.mark.deploys


def changes(run: Run) -> list[tuple[str, str]]:
    return [(host, task) for host, task, _diff in run.changed]


def pods(instance: Instance, name: str = "redis") -> dict[str, str]:
    """Pods of a kind: name and uid."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in instance.pods(f"app.kubernetes.io/name={name}")}


@pytest.fixture
def as_it_was(instance: Instance, ledger: Ledger) -> Iterator[None]:
    """Afterwards the set is the one of the inventory again."""
    until("all members are there", ledger.whole, 60)
    yield
    run = instance.play("--skip-tags", "images")
    assert run.status == 0, run.failed


def test_a_second_run_changes_nothing(instance: Instance) -> None:
    before = instance.versions()
    run = instance.play("--skip-tags", "images")
    assert run.status == 0, run.failed
    assert changes(run) == []
    assert instance.versions() == before


@pytest.mark.covers("CH2-L04")
def test_servers_come_and_go_by_one_variable(instance: Instance, ledger: Ledger, tmp_path: Path, as_it_was: None) -> None:
    """3 -> 5 -> 3 while an application writes; the master is moved first where it would go with its pod."""
    five = {"redis_replicas": 5}
    said = instance.play("--check", "--tags", "redis", override=five, directory=tmp_path)
    assert said.status == 0, said.failed
    assert len(pods(instance)) == 3, "a check changed something"
    writing = ledger.start("drill", "900")
    grown = instance.play("--tags", "redis", override=five, directory=tmp_path)
    assert grown.status == 0, grown.failed
    assert changes(grown) == changes(said)
    assert ledger.whole(servers=5)
    shrunk = instance.play("--tags", "redis")
    assert shrunk.status == 0, shrunk.failed
    until("the pods are gone", lambda: len(pods(instance)) == 3, 90)
    assert ledger.whole()
    ledger("stop")
    written = ledger.finish(writing)
    print(f"3 -> 5 -> 3: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, {written['failed']} failed")
    assert written["lost"] == []
    claims = {claim["metadata"]["name"] for claim in instance.objects("v1", "PersistentVolumeClaim")}
    assert {"data-redis-3", "data-redis-4"} <= claims, "a volume was deleted, though nobody said so"
    again = instance.play("--tags", "redis")
    assert (again.status, changes(again)) == (0, []), again.failed


def test_a_change_restarts_one_member_after_the_other(instance: Instance, ledger: Ledger, tmp_path: Path, as_it_was: None) -> None:
    master, before = ledger.master(), pods(instance)
    changed = {"redis_settings": {"hz": "20"}}
    said = instance.play("--check", "--tags", "redis", override=changed, directory=tmp_path)
    assert pods(instance) == before
    writing = ledger.start("drill", "600")
    run = instance.play("--tags", "redis", override=changed, directory=tmp_path)
    assert run.status == 0, run.failed
    assert changes(run) == changes(said)
    after = {pod["metadata"]["name"]: pod for pod in instance.pods("app.kubernetes.io/name=redis")}
    assert not {pod["metadata"]["uid"] for pod in after.values()} & set(before.values())
    began = sorted(after, key=lambda pod: after[pod]["metadata"]["creationTimestamp"])
    assert began[-1] == master
    ledger("stop")
    written = ledger.finish(writing)
    print(f"a rolling restart: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, {written['failed']} failed")
    assert written["lost"] == []
    assert written["gaps"][0] < 6


def test_the_gate_names_a_password_that_is_wrong(instance: Instance, ledger: Ledger) -> None:
    right = instance.secret("redis-members", "admin-password")
    ledger("ask", "redis-1", "", "ACL", "SETUSER", "admin", "resetpass", ">another")
    try:
        said = gate(instance)
    finally:
        ledger("ask", "redis-1", "another", "ACL", "SETUSER", "admin", "resetpass", f">{right}")
    assert "redis-1" in said
    assert "password" in said


def test_the_gate_names_a_quorum_that_cannot_be_reached(instance: Instance, ledger: Ledger) -> None:
    def quorum(number: int) -> None:
        for name in (f"redis-sentinel-{n}" for n in range(3)):
            assert ledger("ask", name, "", "SENTINEL", "SET", "redis", "quorum", str(number)) == "b'OK'"

    quorum(4)
    try:
        said = gate(instance)
    finally:
        quorum(2)
    assert "NOQUORUM" in said


@pytest.mark.disrupts
def test_the_gate_names_a_sentinel_whose_clock_jumped(instance: Instance, ledger: Ledger) -> None:
    """One that stood still does the same: it trusts itself with nothing for 30 s (TILT)."""
    signal_servers(instance, {"redis-sentinel-1": "sentinel"}, "STOP")
    time.sleep(4)
    signal_servers(instance, {"redis-sentinel-1": "sentinel"}, "CONT")
    time.sleep(1)
    said = gate(instance)
    assert "redis-sentinel-1" in said
    assert "TILT" in said
    until("it trusts itself again", lambda: "TILT" not in gate(instance), 60)


def gate(instance: Instance) -> str:
    """What the gate sees of the set now."""
    run = instance.play("--tags", "redis", playbook="playbooks/status.yml")
    assert run.status == 0, run.failed
    report, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{\n") :])
    results = [result for play in report["plays"] for task in play["tasks"] for result in task["hosts"].values()]
    return next(str(condition) for result in results for condition in result.get("conditions") or [] if condition["kind"] == "redis")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"redis_sentinels": 2}, "redis_sentinels"),
        ({"redis_sentinels": 0}, "redis_sentinels"),
        ({"redis_replicas": 1}, "redis_replicas"),
        ({"redis_replicas": "three"}, "redis_replicas"),
        ({"redis_min_replicas_to_write": 3}, "redis_min_replicas_to_write"),
        ({"redis_sentinles": 3}, "redis_sentinles"),
    ],
    ids=str,
)
def test_bad_input_stops_before_anything_changed(instance: Instance, tmp_path: Path, override: dict[str, Any], named: str) -> None:
    before = instance.versions()
    run = instance.play(override=override, directory=tmp_path)
    assert run.status != 0
    assert named in "\n".join(run.failed), run.failed
    assert instance.versions() == before
