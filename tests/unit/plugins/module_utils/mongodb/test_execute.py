# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a plan: one step at a time, each from what is seen then, whatever happens in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import execute, planner, prediction
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet, from_options
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.execute import Execution, Request
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing, observe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.users import ADMIN_ROLES, Change, Review, User

HOSTS = ("m0:27017", "m1:27017", "m2:27017")


def wanted(*hosts: str, **fields: Any) -> DesiredSet:
    return from_options("rs0", [{"host": host, **fields} for host in hosts or HOSTS])


class World:
    """Members that do what the plan's prediction says, after `patience` looks for what takes time.

    trouble: by the name of a command, what happens to the next ones: an error to raise, or "late" for carried out without an answer.
    """

    def __init__(self, desired: DesiredSet, patience: int = 1) -> None:
        self.desired = desired
        empty = [MemberObservation(host, Standing.UNINITIALISED, has_user_data=False, version=(5, 0, 7)) for host in desired.hosts]
        self.observed = observe("rs0", empty)
        self.patience, self._waited = patience, 0
        self.sent: list[tuple[str, str]] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.trouble: dict[str, list[Any]] = {}
        self.looks = 0

    def join(self, desired: DesiredSet) -> None:
        """Other members are wanted now; new ones run and are empty."""
        known = {member.host for member in self.observed.members}
        new = [
            MemberObservation(h, Standing.UNINITIALISED, has_user_data=False, version=(5, 0, 7)) for h in desired.hosts if h not in known
        ]
        self.desired = desired
        self.observed = Observation("rs0", (*self.observed.members, *new))

    def observe(self) -> Observation:
        self.looks += 1
        step = planner.next_step(self.observed, self.desired)
        if getattr(step, "waits", False):
            self._waited += 1
            if self._waited > self.patience:
                self.observed, self._waited = prediction.predict(self.observed, step), 0  # type: ignore[arg-type]
        return self.observed

    def __getitem__(self, host: str) -> Any:
        def command(body: Mapping[str, Any], database: str = "admin", timeout: float = 1, login: bool = True) -> dict[str, Any]:
            return self._command(host, body)

        return SimpleNamespace(host=host, label=host, command=command)

    def _command(self, host: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name = next(iter(body))
        if name == "replSetGetConfig":
            assert self.observed.config
            return {"ok": 1.0, "config": self.observed.config.to_document()}
        self.sent.append((name, host))
        self.bodies.append(body)
        trouble = self.trouble.get(name) or [None]
        happens = trouble.pop(0)
        if isinstance(happens, Exception):
            raise happens
        step = planner.next_step(self.observed, self.desired)
        assert not isinstance(step, planner.Refusal) and step and step.command
        assert {key: value for key, value in body.items() if key != "maxTimeMS"} == step.command, "not the step that is next"
        self.observed = prediction.predict(self.observed, step)
        if happens == "late":
            raise Unreachable(host, "no answer in time", 1.0)
        return {"ok": 1.0}


def test_prediction_takes_pods_that_do_not_exist_for_empty_members() -> None:
    world = World(wanted())
    absent = [MemberObservation(host, Standing.UNREACHABLE, error='404 NotFound: pods "m" not found') for host in HOSTS]
    world.observed = observe("rs0", absent)
    world.observe = lambda: world.observed  # type: ignore[method-assign]
    plan = execution(world, admin=TestUsers.admin).predict().plan
    assert (plan[0].kind, plan[-1].kind, world.sent) == ("initiate", "user", [])
    with pytest.raises(StackgateError):
        run(world, timeout=0.1)


def test_prediction_of_growth_takes_shrinking_for_done() -> None:
    world = World(wanted(*HOSTS, "m3:27017"))
    run(world)
    world.join(wanted())
    assert execution(world, phase="grow").predict().plan == []
    assert [entry.kind for entry in execution(world).predict().plan] == ["remove member"]
    assert run(world, phase="grow") == ["remove member"]


def test_shrinking_does_not_wait_for_pods_that_are_yet_to_come() -> None:
    world = World(wanted())
    run(world)
    world.join(wanted(*HOSTS, "m3:27017"))
    silent = MemberObservation("m3:27017", Standing.UNREACHABLE, error='pods "m3" not found')
    world.observed = observe("rs0", [*world.observed.members[:3], silent])
    assert run(world, phase="shrink") == []
    world.desired = wanted(*HOSTS[:2])
    request = Request(wanted(*HOSTS[:2], "m3:27017"), phase="shrink", timeout=5)
    outcome = Execution(world, world, request).run()  # type: ignore[arg-type]
    assert [entry.kind for entry in outcome.performed][-1] == "remove member"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "POLL", 0.001)
    monkeypatch.setattr(execute, "SAY_FIRST", 0.0)


def refused(command: str, code: int, text: str = "text") -> CommandFailed:
    return CommandFailed("m0:27017", {command: 1}, {"ok": 0.0, "errmsg": text, "code": code})


def execution(world: World, said: list[str] | None = None, **request: Any) -> Execution:
    made = Request(world.desired, **{"timeout": 10.0, **request})
    return Execution(world, world, made, (said if said is not None else []).append)  # type: ignore[arg-type]


def run(world: World, **request: Any) -> list[str]:
    """What was performed."""
    return [entry.kind for entry in execution(world, **request).run().performed]


def test_an_initiate_then_nothing() -> None:
    world = World(wanted())
    outcome = execution(world).run()
    assert [entry.kind for entry in outcome.performed] == ["initiate"]
    assert [entry.kind for entry in outcome.plan][:2] == ["initiate", "wait for primary"]
    looks = world.looks
    again = execution(world).run()
    assert (again.performed, again.plan, world.looks - looks) == ([], [], 1)


def test_members_come_and_go() -> None:
    world = World(wanted())
    run(world)
    world.join(wanted(*HOSTS, "m3:27017", "m4:27017"))
    assert run(world) == ["add member", "add member", "grant vote", "grant vote"]
    assert world.observed.config and len(world.observed.config.voters) == 5
    world.join(wanted())
    assert run(world, phase="shrink") == ["remove member"] * 2
    assert world.observed.config.hosts == HOSTS and run(world) == []


def test_shrinking_does_nothing_without_a_set_or_a_member_to_take_out() -> None:
    world = World(wanted())
    assert run(world, phase="shrink") == [] and world.sent == []
    run(world)
    assert run(world, phase="shrink") == []


def test_every_command_has_a_time_limit() -> None:
    world = World(wanted())
    run(world)
    world.join(wanted(*HOSTS, "m3:27017"))
    run(world)
    assert world.bodies and all(1000 <= body["maxTimeMS"] <= 60_000 for body in world.bodies)


def test_prediction_changes_nothing() -> None:
    world = World(wanted())
    outcome = execution(world).predict()
    assert world.sent == [] and outcome.plan[0].kind == "initiate" and outcome.performed == []


def test_progress_names_the_set_the_step_and_the_states() -> None:
    said: list[str] = []
    execution(World(wanted()), said).run()
    assert any("initiate" in line for line in said) and all(line.startswith("  rs0: ") for line in said)
    assert any("wait until" in line and "m0 SECONDARY" in line for line in said)


@pytest.mark.parametrize(
    "error",
    [
        refused("replSetInitiate", 74, "m2:27017 failed with Connection refused"),
        refused("replSetInitiate", 23),
        Unreachable("m0", "cut", 1),
    ],
)
def test_what_may_pass_is_tried_again(error: StackgateError) -> None:
    world = World(wanted())
    world.trouble["replSetInitiate"] = [error, error]
    assert run(world) == ["initiate"] and [name for name, _host in world.sent] == ["replSetInitiate"] * 3


def test_a_command_without_an_answer_is_not_sent_twice_when_it_was_carried_out() -> None:
    world = World(wanted())
    world.trouble["replSetInitiate"] = ["late"]
    assert run(world) == ["initiate"] and len(world.sent) == 1
    world.join(wanted(*HOSTS, "m3:27017"))
    world.trouble["replSetReconfig"] = ["late", "late"]
    assert run(world) == ["add member", "grant vote"]


def test_an_election_that_brings_the_old_configuration_back_is_not_taken_for_the_new_one() -> None:
    world = World(wanted())
    run(world)
    old = world.observed.config
    world.join(wanted(*HOSTS, "m3:27017"))
    step = planner.plan(world.observed, world.desired).steps[0]
    assert old and step.after
    elected = ReplicaSetConfig({**old.document, "version": step.after.version, "term": 2})
    members = [dataclasses.replace(member, config=elected) for member in world.observed.members[:3]]
    assert not execute.landed(step, Observation("rs0", tuple(members)))
    installed = [dataclasses.replace(member, config=step.after) for member in members]
    assert execute.landed(step, Observation("rs0", tuple(installed)))


def test_what_cannot_pass_ends_it_with_the_servers_words_and_a_hint() -> None:
    world = World(wanted())
    run(world)
    world.join(wanted(*HOSTS, "m3:27017"))
    world.trouble["replSetReconfig"] = [refused("replSetReconfig", 103, "Non force replica set reconfig can only add at most 1")]
    with pytest.raises(StackgateError, match="103: Non force replica set reconfig") as caught:
        run(world)
    assert "one voting member at a time" in caught.value.hint and caught.value.waited is not None


def test_the_time_limit_says_what_is_waited_for_and_who_is_how() -> None:
    world = World(wanted(), patience=10**9)
    with pytest.raises(StackgateError, match="m0 SECONDARY") as caught:
        run(world, timeout=0.3)
    assert "primary" in caught.value.expected and 0.2 < (caught.value.waited or 0) < 2


def test_a_silent_member_is_named_with_how_long_it_was_waited_for() -> None:
    world = World(wanted())
    world.observed = observe(
        "rs0", [*world.observed.members[:2], MemberObservation(HOSTS[2], Standing.UNREACHABLE, error="no answer in time")]
    )
    with pytest.raises(StackgateError, match=r"m2.*no answer in time") as caught:
        run(world, timeout=0.3)
    assert world.sent == [] and 0.2 < (caught.value.waited or 0) < 2


def test_a_configuration_that_changed_at_the_last_moment_is_planned_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(wanted())
    run(world)
    world.join(wanted(*HOSTS, "m3:27017"))
    answers = [False, True, True, True]
    monkeypatch.setattr(execute, "unchanged", lambda member, before: answers.pop(0))
    assert run(world) == ["add member", "grant vote"] and len(answers) == 1


class Killed(Exception):
    """The run was ended."""


@pytest.mark.parametrize("where", ["before", "after"])
def test_ended_at_any_point_the_next_run_goes_on(where: str) -> None:
    def end(point: str) -> None:
        if point.startswith(where):
            ends.append(point)
            if where == "after" or len(ends) % 2:  # always before a step would be never doing one
                raise Killed(point)

    ends: list[str] = []
    world = World(wanted())
    for target in (wanted(), wanted(*HOSTS, "m3:27017"), wanted(*HOSTS[1:], "m3:27017")):
        world.join(target)
        for _attempt in range(20):
            try:
                Execution(world, world, Request(target, timeout=10.0), between=end).run()  # type: ignore[arg-type]
                break
            except Killed:
                continue
        assert world.observed.config and set(world.observed.config.hosts) == set(target.hosts)
    assert len({repr(body) for body in world.bodies}) == len(world.bodies), "nothing was sent twice"
    assert len(ends) >= 5


class TestUsers:
    """The users, once there is a primary."""

    admin = User(Credentials("root", "pw"), ADMIN_ROLES)
    create = Change("create user root@admin with root@admin", "admin", {"createUser": "root"})

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        state = SimpleNamespace(made=[], trouble=[], reviews=0)

        def review(primary: Any, admin: Any, others: Any) -> Review:
            state.reviews += 1
            return Review(() if state.made else (self.create,), ("a warning",))

        def apply(primary: Any, change: Change) -> None:
            if state.trouble:
                raise state.trouble.pop(0)
            state.made.append((primary.host, change.sentence))

        monkeypatch.setattr(execute.users, "review", review)
        monkeypatch.setattr(execute.users, "apply", apply)
        return state

    def test_they_are_made_on_the_primary(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        outcome = execution(world, admin=self.admin).run()
        assert world.observed.primary and server.made == [(world.observed.primary.host, self.create.sentence)]
        assert [entry.kind for entry in outcome.performed] == ["initiate", "user"]
        assert [entry.sentence for entry in outcome.plan][-1] == self.create.sentence
        assert outcome.warnings == ["a warning"]

    def test_nothing_to_do_asks_once(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        execution(world, admin=self.admin).run()
        server.reviews = 0
        assert execution(world, admin=self.admin).run().performed == [] and server.reviews == 1

    def test_a_primary_that_moves_is_followed(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        server.trouble = [refused("createUser", 10107, "not primary"), Unreachable("m0", "cut", 1.0)]
        assert run(world, admin=self.admin) == ["initiate", "user"] and len(server.made) == 1

    def test_another_refusal_ends_it(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        server.trouble = [refused("createUser", 2, "bad roles")]
        with pytest.raises(StackgateError, match=r"expected: create user root@admin.*\nseen.*bad roles"):
            run(world, admin=self.admin)

    def test_a_wrong_password_ends_it_at_once(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        server.trouble = [StackgateError("m0 takes the password", "it does not")]
        with pytest.raises(StackgateError, match="takes the password"):
            run(world, admin=self.admin)

    def test_none_while_shrinking(self, server: SimpleNamespace) -> None:
        world = World(wanted())
        run(world)
        run(world, admin=self.admin, phase="shrink")
        assert server.reviews == 0
