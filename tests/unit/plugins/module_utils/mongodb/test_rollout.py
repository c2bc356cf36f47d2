# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling restart of a set that is played: one member at a time, the primary last, and never while the set is not in order."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import CommandFailed
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.health import Bounds
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    MemberObservation,
    Observation,
    OpTime,
    Standing,
    observe,
)

HOSTS = ("a:1", "b:1", "c:1")
NAMES = {host: f"mongodb-{n}" for n, host in enumerate(HOSTS)}
CAUGHT_UP = {"code": 262, "codeName": "ExceededTimeLimit", "errmsg": "No electable secondaries caught up as of ..."}


class Set:
    """A played set, and the processes of its members. A restarted member is away for `absence` looks."""

    def __init__(self, primary: str = "a:1", pending: tuple[str, ...] = HOSTS, absence: int = 2, **fields: Mapping[str, Any]) -> None:
        entries = [{"_id": n, "host": host, "votes": 1, "priority": 1.0, **fields.get(host[0], {})} for n, host in enumerate(HOSTS)]
        self.config = ReplicaSetConfig({"_id": "rs0", "version": 1, "term": 1, "members": entries, "settings": {"replicaSetId": "id"}})
        self.primary = primary
        self.why = dict.fromkeys(pending, "revision 1 -> 2")
        self.absence = absence
        self.away: dict[str, float] = {}
        self.lag: dict[str, int] = {}
        self.standing: dict[str, Standing] = {}
        self.refusals: list[dict[str, Any]] = []
        self.stopped: set[str] = set()
        self.broken: StackgateError | None = None
        self.events: list[str] = []
        self.lines: list[str] = []
        self.clock = 0.0

    # -- what the members say ------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        for host in list(self.away):
            self.away[host] -= 1
            if self.away[host] < 0:
                del self.away[host]
                self.events.append(f"{NAMES[host]} is back")
        if not self.primary or self.primary in self.away:
            self._elect()
        return observe("rs0", [self._say(host) for host in HOSTS])

    def _elect(self) -> None:
        voters = [host for host in HOSTS if host not in self.away and host != self.primary and host not in self.standing]
        members = {host: self.config.member(host) for host in voters}
        able = [host for host, member in members.items() if member and member.electable]
        self.primary = able[0] if len(voters) >= 2 and able else ""

    def _say(self, host: str) -> MemberObservation:
        standing = self.standing.get(host, Standing.MEMBER)
        if host in self.away:
            return MemberObservation(host, Standing.UNREACHABLE, error="connection refused")
        if standing is not Standing.MEMBER:
            return MemberObservation(host, standing, config=None if standing is Standing.UNINITIALISED else self.config)
        member = self.config.member(host)
        assert member is not None
        state = "ARBITER" if member.arbiter else "PRIMARY" if host == self.primary else "SECONDARY"
        seconds = 1000 - self.lag.get(host, 0)
        return MemberObservation(
            host,
            Standing.MEMBER,
            me=host,
            state=state,
            set_name="rs0",
            config=self.config,
            writable=state == "PRIMARY",
            primary=self.primary or None,
            term=1,
            optime=None if member.arbiter else OpTime(1, seconds, 1),
            optime_date=datetime.fromtimestamp(seconds, UTC),
            committed=OpTime(1, 1000, 1),
            committed_date=datetime.fromtimestamp(1000, UTC),
            clock_offset_s=0.0,
        )

    def command(self, host: str, body: Mapping[str, Any], _timeout: float) -> Mapping[str, Any]:
        assert "force" not in body, "a step-down is never forced"
        assert body["replSetStepDown"] > body["secondaryCatchUpPeriodSecs"]
        self.events.append(f"{NAMES[host]} steps down")
        if self.refusals:
            raise CommandFailed(host, body, self.refusals.pop(0))
        self._elect()
        return {"ok": 1.0}

    # -- the processes -------------------------------------------------------------------------------------------

    def pending(self) -> dict[str, str]:
        return dict(self.why)

    def down(self, host: str) -> bool:
        return host in self.stopped

    def trouble(self) -> StackgateError | None:
        return self.broken

    def replace(self, host: str) -> None:
        self.events.append(f"{NAMES[host]} restarts")
        del self.why[host]
        self.standing.pop(host, None)
        self.stopped.discard(host)
        self.away[host] = self.absence

    # -- running it ----------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def rolling(self, timeout: float = 60.0) -> rollout.Rollout:
        return rollout.Rollout(
            self.observe, self.command, self, NAMES, Bounds(), self.lines.append, timeout, lambda: self.clock, self.sleep
        )


def test_one_after_the_other_and_the_primary_last() -> None:
    played = Set(primary="b:1")
    rolling = played.rolling()
    rolling.run()
    assert played.events == [
        "mongodb-0 restarts",
        "mongodb-0 is back",
        "mongodb-2 restarts",
        "mongodb-2 is back",
        "mongodb-1 steps down",
        "mongodb-1 restarts",
        "mongodb-1 is back",
    ]
    assert rolling.restarted == ["mongodb-0", "mongodb-2", "mongodb-1"]
    assert rolling.done[2:] == ["mongodb-1 hands over to another member", "restart mongodb-1 (SECONDARY): revision 1 -> 2"]
    assert "mongodb-0 (SECONDARY) restarts: revision 1 -> 2; 2 more after it" in played.lines
    assert any("mongodb-0 is the primary now" in line for line in played.lines)


def test_the_plan_is_what_is_done() -> None:
    played = Set(primary="b:1")
    planned = rollout.plan(played.pending(), played.observe(), NAMES)
    rolling = played.rolling()
    rolling.run()
    assert [line.replace("(PRIMARY)", "(SECONDARY)") for line in planned] == rolling.done
    assert planned[-1] == "restart mongodb-1 (PRIMARY): revision 1 -> 2"


def test_nothing_to_do_asks_nobody() -> None:
    played = Set(pending=())
    rolling = played.rolling()
    rolling.observe = lambda: pytest.fail("a member was asked")  # type: ignore[assignment]
    rolling.run()
    assert (played.events, rolling.done) == ([], [])


def test_only_those_that_are_pending() -> None:
    played = Set(pending=("c:1",))
    played.rolling().run()
    assert played.events == ["mongodb-2 restarts", "mongodb-2 is back"]


def test_members_that_are_missed_least_go_first() -> None:
    arbiter, hidden = {"arbiterOnly": True, "priority": 0}, {"hidden": True, "priority": 0, "votes": 0}
    played = Set(primary="a:1", b=arbiter, c=hidden)
    assert rollout.order(played.pending(), played.observe()) == ["c:1", "b:1", "a:1"]
    preferred = Set(primary="a:1", b={"priority": 5})
    assert rollout.order(preferred.pending(), preferred.observe()) == ["c:1", "b:1", "a:1"]


def test_it_waits_for_a_member_that_lags_before_it_touches_the_next() -> None:
    played = Set(pending=("b:1",))
    played.lag["c:1"] = 60
    sleep = played.sleep

    def catch_up(seconds: float) -> None:
        sleep(seconds)
        played.lag["c:1"] = max(0, played.lag["c:1"] - 2)

    rolling = played.rolling()
    rolling.sleep = catch_up
    rolling.run()
    assert played.clock >= 10
    assert played.events[0] == "mongodb-1 restarts"
    assert any("waits for 10 s before the next member restarts: c:1 is " in line for line in played.lines)


def test_it_stops_before_the_next_member_when_the_set_is_not_in_order() -> None:
    played = Set(pending=("a:1", "b:1"))
    played.away["c:1"] = float("inf")
    with pytest.raises(StackgateError, match="2/3 answer; c:1: connection refused") as stopped:
        played.rolling(timeout=30).run()
    assert played.events == []
    assert stopped.value.waited == 30
    assert stopped.value.details["condition"] == "answers"


def test_a_member_that_does_not_come_back_ends_it_with_the_reason() -> None:
    played = Set(absence=10_000)
    played.broken = StackgateError("every member's pod starts", "pod mongodb-1: CrashLoopBackOff", "see its log")
    with pytest.raises(StackgateError, match="CrashLoopBackOff") as stopped:
        played.rolling().run()
    assert played.events == ["mongodb-1 restarts"], "only one member was touched"
    assert stopped.value.details["restarted"] == ["mongodb-1"]
    assert stopped.value.hint == "see its log"


def test_a_step_down_is_tried_again_until_somebody_has_caught_up() -> None:
    played = Set(pending=("a:1",))
    played.refusals = [CAUGHT_UP, {"code": 50, "codeName": "MaxTimeMSExpired", "errmsg": "operation exceeded time limit"}]
    played.rolling().run()
    assert played.events == [*["mongodb-0 steps down"] * 3, "mongodb-0 restarts", "mongodb-0 is back"]
    assert any("no electable secondary has caught up" in line for line in played.lines)


def test_a_step_down_that_never_works_leaves_the_primary_alone() -> None:
    played = Set(pending=("a:1",))
    played.refusals = [CAUGHT_UP] * 1000
    with pytest.raises(StackgateError, match="hands over to another member") as stopped:
        played.rolling(timeout=20).run()
    assert "mongodb-0 restarts" not in played.events
    assert "never forced" in stopped.value.hint


def test_a_refused_login_is_not_tried_again() -> None:
    played = Set(pending=("a:1",))
    played.refusals = [{"code": 13, "codeName": "Unauthorized", "errmsg": "command replSetStepDown requires authentication"}] * 9
    with pytest.raises(StackgateError, match="requires authentication"):
        played.rolling().run()
    assert played.events == ["mongodb-0 steps down"]


def test_a_primary_that_moved_by_itself_is_not_asked_to_step_down_again() -> None:
    played = Set(pending=("a:1",))
    moved = {"code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary so can't step down"}
    command = played.command

    def refuse(host: str, body: Mapping[str, Any], timeout: float) -> Mapping[str, Any]:
        played.refusals = [moved]
        try:
            return command(host, body, timeout)
        finally:
            played.primary = "b:1"

    rolling = played.rolling()
    rolling.command = refuse
    rolling.run()
    assert played.events == ["mongodb-0 steps down", "mongodb-0 restarts", "mongodb-0 is back"]


def test_a_primary_that_nobody_can_follow_is_restarted_as_it_is() -> None:
    played = Set(pending=("a:1",), b={"priority": 0}, c={"priority": 0})
    observation = played.observe()
    assert rollout.plan(played.pending(), observation, NAMES) == ["restart mongodb-0 (PRIMARY): revision 1 -> 2"]
    assert rollout.successors("a:1", observation) == []


def test_members_out_of_service_go_first_and_together() -> None:
    # All started without names: only a restart helps, and it takes nothing away.
    played = Set(primary="")
    played.standing = dict.fromkeys(HOSTS, Standing.REMOVED)
    played.rolling().run()
    assert played.events[:3] == [f"mongodb-{n} restarts" for n in range(3)]


def test_a_broken_revision_is_repaired_by_the_next() -> None:
    # mongodb-1 does not run: the revision that was to be rolled out cannot start.
    played = Set(pending=("b:1",))
    played.away["b:1"] = float("inf")
    played.stopped.add("b:1")
    played.rolling().run()
    assert played.events == ["mongodb-1 restarts", "mongodb-1 is back"]


def test_a_member_that_only_we_cannot_reach_is_left_alone() -> None:
    played = Set(pending=("b:1",))
    played.away["b:1"] = float("inf")
    with pytest.raises(StackgateError, match="b:1: connection refused"):
        played.rolling(timeout=5).run()
    assert played.events == []


def test_servers_that_are_no_set_yet() -> None:
    played = Set(primary="", absence=-1)
    played.standing = dict.fromkeys(HOSTS, Standing.UNINITIALISED)
    played.replace = lambda host: (played.events.append(host), played.why.pop(host))[0]  # type: ignore[method-assign,assignment,func-returns-value]
    played.rolling().run()
    assert played.events == list(HOSTS)


@pytest.mark.parametrize("after", range(1, 12))
def test_killed_at_any_moment_the_next_run_goes_on(after: int) -> None:
    played = Set(primary="b:1")

    def kill(_seconds: float = 0.0) -> None:
        kill.left -= 1  # type: ignore[attr-defined]
        if kill.left == 0:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    kill.left = after  # type: ignore[attr-defined]
    rolling = played.rolling()
    observed = rolling.observe

    def observe_or_die() -> Observation:
        kill()
        return observed()

    rolling.observe = observe_or_die
    with contextlib.suppress(KeyboardInterrupt):
        rolling.run()
    played.rolling().run()
    restarts = [event for event in played.events if event.endswith("restarts")]
    assert sorted(restarts) == [f"mongodb-{n} restarts" for n in range(3)], "each once"
    running = 3
    for event in played.events:
        running += {"restarts": -1, "back": 1}.get(event.rpartition(" ")[2], 0)
        assert running >= 2, "never two at the same time"
