# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader hands over."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Refused
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import (
    ASYNCHRONOUS,
    LEADER,
    SYNCHRONOUS,
    Recorded,
)
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.world import World


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchover, "INTERVAL", 0.001)
    monkeypatch.setattr(switchover, "PAUSE", 0.001)


def all_asynchronous(recorded: Recorded) -> None:
    recorded.status[SYNCHRONOUS].pop("sync_standby")
    for one in recorded.status[LEADER]["replication"]:
        one["sync_state"] = "async"


def test_a_synchronous_replica_takes_over() -> None:
    assert switchover.candidate_of(Recorded().observe()) == SYNCHRONOUS


def test_where_commits_are_synchronous_no_other_may() -> None:
    recorded = Recorded()
    recorded.status[SYNCHRONOUS]["state"] = "starting"
    assert switchover.candidate_of(recorded.observe()) == ""


def test_else_who_is_least_behind() -> None:
    recorded = Recorded()
    all_asynchronous(recorded)
    recorded.status[ASYNCHRONOUS]["xlog"]["received_location"] -= 10
    assert switchover.candidate_of(recorded.observe()) == SYNCHRONOUS
    recorded.status[SYNCHRONOUS]["xlog"]["received_location"] -= 20
    assert switchover.candidate_of(recorded.observe()) == ASYNCHRONOUS


@pytest.mark.parametrize(
    ("field", "value"), [("tags", {"nofailover": True}), ("timeline", 10), ("replication_state", ""), ("state", "stopped")]
)
def test_who_may_not(field: str, value: object) -> None:
    recorded = Recorded()
    all_asynchronous(recorded)
    recorded.status[SYNCHRONOUS][field] = value
    assert switchover.candidate_of(recorded.observe()) == ASYNCHRONOUS
    recorded.status[ASYNCHRONOUS][field] = value
    assert switchover.candidate_of(recorded.observe()) == ""


def test_members_that_are_to_go_do_not_take_over() -> None:
    recorded = Recorded()
    all_asynchronous(recorded)
    assert switchover.candidate_of(recorded.observe(), frozenset({ASYNCHRONOUS})) == SYNCHRONOUS


def test_a_switchover() -> None:
    world, said = World(), []
    what = switchover.switchover(world.members(), say=said.append)
    assert (what.old, what.new) == (LEADER, SYNCHRONOUS)
    body = {"leader": LEADER, "candidate": SYNCHRONOUS}
    assert world.done == [f"{LEADER}/postgres: CHECKPOINT", f"{LEADER}: POST /switchover {body}"]
    assert said[0] == f"{LEADER} hands over to {SYNCHRONOUS}"
    assert 0 <= what.seconds <= what.following


def test_a_candidate_by_name() -> None:
    world = World()
    all_asynchronous(world)
    assert switchover.switchover(world.members(), ASYNCHRONOUS).new == ASYNCHRONOUS
    assert switchover.switchover(world.members(), ASYNCHRONOUS).old == ASYNCHRONOUS  # nothing to do
    assert len([line for line in world.done if "POST" in line]) == 1


def test_without_a_login_patroni_writes_the_checkpoint() -> None:
    world = World()
    world.no_login = True
    assert switchover.switchover(world.members()).new == SYNCHRONOUS


def test_a_refusal_that_passes_is_tried_again() -> None:
    world = World()
    world.refusals = [(412, "candidate name does not match with sync_standby")]
    assert switchover.switchover(world.members()).new == SYNCHRONOUS
    assert len([line for line in world.done if "POST" in line]) == 2


def test_a_refusal_that_does_not_pass_is_told() -> None:
    world = World()
    world.refusals = [(401, "not authenticated")]
    with pytest.raises(Refused, match=r"postgresql-0 accepts POST /switchover\nseen: 401 not authenticated\ntry: the REST API's user"):
        switchover.switchover(world.members())


def test_nobody_to_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchover, "ATTEMPTS", 2)
    with pytest.raises(StackgateError, match="a replica that can take over from postgresql-0"):
        switchover.switchover(World().without(ASYNCHRONOUS, SYNCHRONOUS).members())  # type: ignore[attr-defined]


def test_nobody_leads() -> None:
    world = World()
    world.status[LEADER]["state"] = "stopped"
    with pytest.raises(StackgateError, match="a leader that can hand over"):
        switchover.switchover(world.members())


def test_a_new_leader_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world, "lead", lambda name: None)
    with pytest.raises(StackgateError, match="postgresql-2 becomes the leader"):
        switchover.switchover(world.members(), timeout=0.05)
    assert len([line for line in world.done if "POST" in line]) == 1  # a switchover that may be under way is not asked for twice


def test_an_old_leader_that_does_not_come_back() -> None:
    world = World()
    lead = world.lead

    def leads(name: str) -> None:
        lead(name)
        world.status[LEADER].update(state="stopping", replication_state="")

    world.lead = leads  # type: ignore[method-assign]
    with pytest.raises(StackgateError, match=r"every member streams from the new leader postgresql-2\nseen .*postgresql-0 stopping"):
        switchover.switchover(world.members(), timeout=0.05)
