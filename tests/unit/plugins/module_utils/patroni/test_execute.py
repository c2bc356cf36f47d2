# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A played cluster becomes what is wanted of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import execute, switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.desired import Database, Desired, Role
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.execute import Execution, Outcome, Request
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import ASYNCHRONOUS, LEADER, SYNCHRONOUS
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.world import World

WANTED = Desired((Role("app", password="s3cret"),), (Database("app", "app"),))
SENTENCES = ["create role app (login)", "create database app of app", "let only its users connect to database app"]
STAYING = (LEADER, ASYNCHRONOUS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchover, "INTERVAL", 0.001)
    monkeypatch.setattr(execute, "POLL", 0.001)
    monkeypatch.setattr(execute.slots, "PATIENCE", 0.05)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Its statements are not composed, so that no driver is needed."""
    made = World()
    monkeypatch.setattr(execute.catalogue, "_role_statement", lambda *_given: lambda session: "")
    monkeypatch.setattr(execute.catalogue, "_of", lambda *_given: lambda session: "")
    return made


def execution(world: World, names: tuple[str, ...] = (), said: list[str] | None = None, **more: Any) -> Execution:
    return Execution(world.members(*names), Request(**{"timeout": 5.0, **more}), (said if said is not None else []).append)


def planned(outcome: Outcome) -> list[str]:
    return [entry.sentence for entry in outcome.plan]


def performed(outcome: Outcome) -> list[str]:
    return [entry.sentence for entry in outcome.performed]


def test_nothing_to_do_sends_nothing(world: World) -> None:
    outcome = execution(world, configuration=world.config).run()
    assert (outcome.plan, outcome.performed, world.done) == ([], [], [])


def test_the_configuration_then_the_catalogue(world: World) -> None:
    said: list[str] = []
    outcome = execution(world, said=said, configuration={"ttl": 30}, desired=WANTED).run()
    sentences = ["set ttl 30 in place of 20", *SENTENCES]
    assert planned(outcome) == performed(outcome) == said == sentences
    assert world.done == [f"{LEADER}: PATCH /config {{'ttl': 30}}", *[f"{LEADER}/postgres: {sentence}" for sentence in SENTENCES]]
    assert world.config["ttl"] == 30
    assert (outcome.performed[0].before["ttl"], outcome.performed[0].after["ttl"]) == (20, 30)


@pytest.mark.parametrize(
    ("configuration", "slept"),
    [({"ttl": 30}, []), ({"postgresql": {"parameters": {"jit": "on"}}}, [4.0]), ({"postgresql": {"parameters": {"jit": "off"}}}, [])],
)
def test_members_get_time_to_find_out_what_waits_for_a_restart(world: World, configuration: dict[str, Any], slept: list[float]) -> None:
    naps: list[float] = []
    Execution(world.members(), Request(configuration, timeout=5.0), sleep=naps.append).run()
    assert naps == slept  # the recorded loop_wait is 2


def test_a_prediction_changes_nothing(world: World) -> None:
    outcome = execution(world, configuration={"ttl": 30}, desired=WANTED).predict()
    assert planned(outcome) == ["set ttl 30 in place of 20", *SENTENCES]
    assert (outcome.performed, world.done) == ([], [])


def test_a_cluster_that_is_not_there_yet_is_predicted_as_an_empty_one(world: World) -> None:
    world.silent = dict.fromkeys(world.status, 'pods "postgresql-0" not found')
    outcome = execution(world, configuration={"ttl": 30}, desired=WANTED).predict()
    assert planned(outcome) == ["set ttl 30", *SENTENCES]


def test_it_waits_for_a_leader(world: World) -> None:
    world.status[LEADER]["state"] = "starting"
    world.later[20] = lambda: world.status[LEADER].update(state="running")
    outcome = execution(world, desired=WANTED).run()
    assert performed(outcome) == SENTENCES


def test_who_waits_too_long_is_told_what_was_seen(world: World) -> None:
    world.status[LEADER]["state"] = "starting"
    with pytest.raises(
        StackgateError, match=r"a leader that takes writes\nseen \(after 0\.\d s\): postgresql-0 starting, postgresql-1 stream"
    ):
        execution(world, desired=WANTED, timeout=0.05).run()


def test_data_of_another_cluster_end_it_at_once(world: World) -> None:
    world.status[LEADER]["state"] = "starting"
    world.status[SYNCHRONOUS]["database_system_identifier"] = "1"
    with pytest.raises(StackgateError, match="of 2 clusters"):
        execution(world, desired=WANTED).run()


def test_a_configuration_that_somebody_else_writes_at_the_same_time(world: World) -> None:
    world.refusals = [(409, "conflict")]
    outcome = execution(world, configuration={"ttl": 30}, desired=WANTED).run()
    assert performed(outcome) == ["set ttl 30 in place of 20", *SENTENCES]


def test_a_refusal_that_does_not_pass(world: World) -> None:
    world.refusals = [(401, "not authenticated")]
    execute_it = execution(world, configuration={"ttl": 30}, desired=WANTED)
    with pytest.raises(StackgateError, match="401 not authenticated"):
        execute_it.run()
    assert execute_it.outcome.performed == []


def test_a_leader_that_goes_moves_first(world: World) -> None:
    """postgresql-0, the leader, is not listed any more."""
    outcome = execution(world, (ASYNCHRONOUS, SYNCHRONOUS), phase="shrink", desired=WANTED).run()
    assert performed(outcome) == [f"{LEADER} hands over to {SYNCHRONOUS}"]
    assert [line for line in world.done if "POST" in line] == [
        f"{LEADER}: POST /switchover {{'leader': '{LEADER}', 'candidate': '{SYNCHRONOUS}'}}"
    ]


def test_where_only_a_member_that_goes_confirms_commits_it_leads_for_a_moment(world: World) -> None:
    """postgresql-0 and postgresql-2, the leader and its synchronous replica, are to go."""
    lead = world.lead

    def leads(name: str) -> None:
        lead(name)
        if name == SYNCHRONOUS:  # the old leader is away for a moment, so that another one becomes synchronous
            for one in world.status[name]["replication"]:
                one["sync_state"] = "sync" if one["application_name"] == ASYNCHRONOUS else "async"
            world.status[LEADER].pop("sync_standby", None)
            world.status[ASYNCHRONOUS]["sync_standby"] = True

    world.lead = leads  # type: ignore[method-assign]
    outcome = execution(world, (ASYNCHRONOUS,), phase="shrink").run()
    assert performed(outcome) == [f"{LEADER} hands over to {SYNCHRONOUS}", f"{SYNCHRONOUS} hands over to {ASYNCHRONOUS}"]


def test_who_never_gets_rid_of_it_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "lead", lambda name: None)
    monkeypatch.setattr(execute.switchover, "switchover", lambda *_given: switchover.Switchover(LEADER, SYNCHRONOUS, 1.0, 1.0))
    with pytest.raises(StackgateError, match="a member that stays takes over"):
        execution(world, (ASYNCHRONOUS, SYNCHRONOUS), phase="shrink").run()


def test_that_is_predicted(world: World) -> None:
    outcome = execution(world, (ASYNCHRONOUS, SYNCHRONOUS), phase="shrink").predict()
    assert planned(outcome) == [f"{LEADER}, which is to go, hands over to {SYNCHRONOUS}"]
    assert world.done == []


def test_a_replica_that_goes_needs_nothing_before(world: World) -> None:
    for run in (True, False):
        done = execution(world, STAYING, phase="shrink", configuration={"ttl": 30}, desired=WANTED)
        outcome = done.run() if run else done.predict()
        assert (outcome.plan, outcome.performed, world.done) == ([], [], [])


def test_shrinking_what_is_not_there(world: World) -> None:
    world.silent = dict.fromkeys(world.status, "refused")
    assert execution(world, STAYING, phase="shrink").run().performed == []


def leave(world: World, *names: str) -> None:
    assert world.cluster is not None
    world.cluster["members"] = [entry for entry in world.cluster["members"] if entry["name"] not in names]


def test_slots_of_members_that_have_gone_are_let_go_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(world, SYNCHRONOUS)
    world.tables["pg_replication_slots"] = [("postgresql_2", False), ("archive", False), ("postgresql_backup", False)]
    world.config["member_slots_ttl"] = "5min"
    let_go = execute.slots.let_go

    def watched(*given: Any) -> None:
        world.later[0] = lambda: world.tables.update(pg_replication_slots=[("archive", False)])  # with the next question
        let_go(*given)

    monkeypatch.setattr(execute.slots, "let_go", watched)
    outcome = execution(world, STAYING).run()
    assert performed(outcome) == ["let go of the replication slot postgresql_2 of a member that has gone"]
    ttls = [line for line in world.done if "member_slots_ttl" in line]
    assert ttls == [f"{LEADER}: PATCH /config {{'member_slots_ttl': 0}}", f"{LEADER}: PATCH /config {{'member_slots_ttl': '5min'}}"]


def test_not_while_another_member_is_away(world: World) -> None:
    leave(world, SYNCHRONOUS)
    world.tables["pg_replication_slots"] = [("postgresql_2", False)]
    world.silent[ASYNCHRONOUS] = "refused"
    for phase in ("all", "grow"):
        assert execution(world, STAYING, phase=phase).run().performed == []


def test_growing_waits_for_those_that_go(world: World) -> None:
    with pytest.raises(StackgateError, match=r"members that are to go leave the cluster\nseen .*still there: postgresql-2"):
        execution(world, STAYING, phase="grow", timeout=0.05).run()
    world.later[world._looks + 10] = lambda: leave(world, SYNCHRONOUS)
    assert execution(world, STAYING, phase="grow").run().performed == []


@pytest.mark.parametrize("other", ["silent", "active"])
def test_growing_waits_until_slots_can_be_let_go_of(world: World, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """What was predicted is done, though another member is away for a moment, or the server takes the one that has gone for connected."""
    leave(world, SYNCHRONOUS)
    world.tables["pg_replication_slots"] = [("postgresql_2", other == "active")]
    if other == "silent":
        world.silent[ASYNCHRONOUS] = "refused"

    def better() -> None:
        world.silent.clear()
        world.tables["pg_replication_slots"] = [("postgresql_2", False)]

    world.later[20] = better
    monkeypatch.setattr(execute.slots, "PATIENCE", 5.0)
    monkeypatch.setattr(execute.slots, "let_go", lambda *_given: None)
    outcome = execution(world, STAYING, phase="grow").run()
    assert performed(outcome) == ["let go of the replication slot postgresql_2 of a member that has gone"]


def test_growing_predicts_the_slots_of_those_that_go(world: World) -> None:
    outcome = execution(world, STAYING, phase="grow").predict()
    assert planned(outcome) == ["let go of the replication slot postgresql_2 of a member that has gone"]


def test_no_password_is_said(world: World) -> None:
    said: list[str] = []
    outcome = execution(world, said=said, desired=WANTED).run()
    assert "s3cret" not in f"{said}{outcome}{world.done}"
