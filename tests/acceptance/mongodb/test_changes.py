# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of site.yml on a set that stands: members by plan, restarts one by one, new keys and passwords; what was written stays."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance import CACHE, Instance, Run
from ledger_pod import Client
from waiting import until

pytestmark = pytest.mark.deploys


def changes(run: Run) -> list[tuple[str, str]]:
    return [(host, task) for host, task, _diff in run.changed]


def members(ledger: Client) -> dict[str, dict[str, Any]]:
    return {member["host"].split(".")[0]: member for member in ledger("status")["config"]["members"]}


def pods(instance: Instance) -> dict[str, str]:
    """The members' pods: name and uid."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in instance.pods("app.kubernetes.io/component=mongodb")}


@pytest.fixture
def as_it_was(instance: Instance) -> Iterator[None]:
    """Afterwards the set is the one of the inventory again."""
    yield
    run = instance.play()
    assert run.status == 0, run.failed


def test_a_second_run_changes_nothing(instance: Instance) -> None:
    before = instance.versions()
    run = instance.play()
    assert run.status == 0, run.failed
    assert changes(run) == []
    assert instance.versions() == before


def test_a_check_of_what_is_not_there_yet_tells_the_whole_first_run(instance: Instance, tmp_path: Path) -> None:
    """Nobody can be asked: neither namespace nor Secrets nor pods are there. An administrator's identity may look for the namespace."""
    elsewhere = {"stackgate_namespace": f"{instance.namespace}-not-there", "stackgate_kubeconfig": str(CACHE / "admin.kubeconfig")}
    run = instance.play("--check", "--diff", override=elsewhere, directory=tmp_path)
    assert run.status == 0, run.failed
    told = [task.partition(" : ")[2] for _host, task in changes(run) if "mongodb" in task]
    assert told == ["Apply | Make the passwords and the key once", "Apply | Create the members", "Bootstrap | Make the set and its users"]


@pytest.mark.covers("CH2-L03")
def test_members_come_and_go_by_plan(instance: Instance, ledger: Client, tmp_path: Path, as_it_was: None) -> None:
    set_id = ledger("status")["set_id"]
    five = {"mongodb_replicas": 5, "mongodb_members": {"mongodb-4": {"votes": 1, "priority": 0, "hidden": True}}}
    before = instance.versions()
    said = instance.play("--check", "--diff", override=five, directory=tmp_path)
    assert said.status == 0, said.failed
    assert instance.versions() == before, "a check changed something"

    writing = ledger.start("drill", "60")
    grown = instance.play("--diff", override=five, directory=tmp_path)
    assert grown.status == 0, grown.failed
    assert changes(grown) == changes(said)
    assert changes(instance.play(override=five, directory=tmp_path)) == []
    found = members(ledger)
    assert sorted(found) == [f"mongodb-{n}" for n in range(5)]
    assert [member["votes"] for member in found.values()] == [1] * 5
    assert found["mongodb-4"]["hidden"] is True
    assert "mongodb-4." not in instance.secret("mongodb", "uri")
    assert len({member["_id"] for member in found.values()}) == 5

    said = instance.play("--check")
    shrunk = instance.play()
    assert shrunk.status == 0, shrunk.failed
    assert changes(shrunk) == changes(said)
    assert sorted(members(ledger)) == [f"mongodb-{n}" for n in range(3)]
    until("the pods are gone", lambda: len(pods(instance)) == 3, 90)
    written = ledger.finish(writing)
    assert written["lost"] == []
    assert written["acknowledged"] > 0
    assert ledger("status")["set_id"] == set_id
    claims = {claim["metadata"]["name"] for claim in instance.objects("v1", "PersistentVolumeClaim")}
    assert {"data-mongodb-3", "data-mongodb-4"} <= claims, "a volume was deleted, though nobody said so"


def test_a_member_that_lost_its_volume_comes_back(instance: Instance, ledger: Client) -> None:
    """By itself: no run is needed. It never makes a set of its own."""
    name = secrets.token_hex(8)
    assert ledger("keep", name)
    before = ledger("status")
    lost = next(member for member, state in before["members"].items() if state == "SECONDARY")
    core = instance.core
    core.delete_namespaced_persistent_volume_claim(f"data-{lost}", instance.namespace)
    core.delete_namespaced_pod(lost, instance.namespace)
    until("it was deleted", lambda: ledger.states()[lost] != "SECONDARY", 60)
    until("it is a secondary again", lambda: ledger.states()[lost] == "SECONDARY", 180)
    after = ledger("status")
    assert after["set_id"] == before["set_id"]
    assert ledger("find", name)
    run = instance.play()
    assert (run.status, changes(run)) == (0, []), run.failed


def test_data_survive_all_pods_at_once(instance: Instance, ledger: Client) -> None:
    name = secrets.token_hex(8)
    assert ledger("keep", name)
    before = pods(instance)
    for pod in before:
        instance.core.delete_namespaced_pod(pod, instance.namespace)
    until("all pods are new", lambda: not set(pods(instance).values()) & set(before.values()) and len(pods(instance)) == 3, 120)
    run = instance.play()
    assert (run.status, changes(run)) == (0, []), run.failed
    assert ledger("find", name)


def test_a_change_restarts_one_member_after_the_other(instance: Instance, ledger: Client, tmp_path: Path, as_it_was: None) -> None:
    primary, before = ledger.primary(), pods(instance)
    changed = {"mongodb_arguments": ["--slowms", "250"]}
    said = instance.play("--check", override=changed, directory=tmp_path)
    assert pods(instance) == before
    writing = ledger.start("drill", "75")
    run = instance.play(override=changed, directory=tmp_path)
    assert run.status == 0, run.failed
    assert changes(run) == changes(said)
    after = {pod["metadata"]["name"]: pod for pod in instance.pods("app.kubernetes.io/name=mongodb")}
    assert not {pod["metadata"]["uid"] for pod in after.values()} & set(before.values())
    began = sorted(after, key=lambda pod: after[pod]["metadata"]["creationTimestamp"])
    assert began[-1] == primary
    written = ledger.finish(writing, 180)
    print(f"a rolling restart: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert written["gaps"][0] < 20


def test_the_key_is_replaced_without_a_pause(instance: Instance, ledger: Client) -> None:
    before, uids = instance.secret("mongodb-key", "key"), pods(instance)
    writing = ledger.start("drill", "150")
    run = instance.play("--tags", "mongodb", "-e", "mongodb_rotate_key=true")
    assert run.status == 0, run.failed
    assert instance.secret("mongodb-key", "key") != before
    assert not set(pods(instance).values()) & set(uids.values())
    written = ledger.finish(writing, 300)
    print(f"a key rotation: {written['acknowledged']} acknowledged, longest gap {written['gaps'][0]} s")
    assert written["lost"] == []
    assert written["gaps"][0] < 20
    again = instance.play()
    assert (again.status, changes(again)) == (0, []), again.failed


def test_passwords_are_replaced_when_asked(instance: Instance, ledger: Client) -> None:
    before = {name: instance.secret(name, "password") for name in ("mongodb", "mongodb-admin")}
    run = instance.play("--tags", "mongodb", "-e", "mongodb_rotate_passwords=true")
    assert run.status == 0, run.failed
    assert instance.secret("mongodb", "password") != before["mongodb"]
    assert instance.secret("mongodb-admin", "password") == before["mongodb-admin"]
    until("the pod has the new password", lambda: ledger("allowed", "", "app") == [True, True], 120)
    again = instance.play()
    assert (again.status, changes(again)) == (0, []), again.failed


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"mongodb_replicas": 4}, "mongodb_arbiter"),
        ({"mongodb_replicas": "three"}, "mongodb_replicas"),
        ({"mongodb_members": {"mongodb-7": {"votes": 0}}}, "mongodb-7"),
        ({"mongodb_members": {"mongodb-1": {"hidden": True, "priority": 1}}}, "mongodb-1"),
        ({"mongodb_settings": {"electionTimeout": 1}}, "electionTimeout"),
        ({"mongodb_image": ""}, "SERVER"),
        ({"mongodb_version": "3.6"}, "3.6"),
        ({"mongodb_users": [{"name": "admin", "database": "x"}]}, "admin"),
        ({"mongodb_replicsa": 3}, "mongodb_replicsa"),
    ],
    ids=str,
)
def test_bad_input_stops_before_anything_changed(instance: Instance, tmp_path: Path, override: dict[str, Any], named: str) -> None:
    before = instance.versions()
    run = instance.play(override=override, directory=tmp_path)
    assert run.status != 0
    assert named in "\n".join(run.failed), run.failed
    assert instance.versions() == before
