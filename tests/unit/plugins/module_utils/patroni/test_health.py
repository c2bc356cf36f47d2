# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a cluster is in order, and which cause is named when it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import health
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.health import Bounds, Probe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Listed, MemberObservation, Observation, Standby
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import (
    ASYNCHRONOUS,
    LEADER,
    NAMES,
    SYNCHRONOUS,
    Recorded,
)

STRICT = Bounds(max_lag=1000, synchronous=True)


def test_the_recorded_cluster_is_in_order() -> None:
    verdict = health.judge(Recorded().observe(), STRICT, NAMES)
    assert verdict.holds
    assert verdict.seen == f"leader {LEADER} on timeline 11, 2 replicas, lag 0 bytes, commits wait for {SYNCHRONOUS}"


def alter(name: str, **fields: Any) -> Callable[[Recorded], None]:
    """A member says something else; None takes a field away."""

    def altered(recorded: Recorded) -> None:
        for key, value in fields.items():
            recorded.status[name].pop(key, None)
            if value is not None:
                recorded.status[name][key] = value

    return altered


def silence(name: str) -> Callable[[Recorded], None]:
    return lambda recorded: recorded.silent.update({name: "connection refused"})


def entry(name: str, **fields: Any) -> Callable[[Recorded], None]:
    return lambda recorded: recorded.entry(name).update(fields)


def no_cluster(recorded: Recorded) -> None:
    recorded.cluster = None


def unlisted(recorded: Recorded) -> None:
    assert recorded.cluster is not None
    recorded.cluster["members"].remove(recorded.entry(ASYNCHRONOUS))


def left_over(recorded: Recorded) -> None:
    assert recorded.cluster is not None
    recorded.cluster["members"].append({"name": "postgresql-3", "role": "replica", "state": "stopped"})


def asynchronous(recorded: Recorded) -> None:
    for one in recorded.status[LEADER]["replication"]:
        one["sync_state"] = "async"
    recorded.status[SYNCHRONOUS].pop("sync_standby")


STREAMING = {"received_location": 98036928, "replayed_location": 98036928, "paused": False}
RESTART = {"max_connections": {"old_value": "60", "new_value": "70"}}
FAULTS: list[tuple[Callable[[Recorded], None], str, str]] = [
    (silence(ASYNCHRONOUS), "answers", "2/3 answer; postgresql-1: connection refused"),
    (alter(LEADER, patroni={"scope": "other"}), "one cluster", "postgresql-0 is of other"),
    (alter(ASYNCHRONOUS, database_system_identifier="1"), "one cluster", "the members' data are of 2 clusters: 1: postgresql-1; 77"),
    (alter(LEADER, pause=True), "managed", "maintenance mode"),
    (alter(LEADER, failsafe_mode_is_active=True), "store", "postgresql-0: failsafe mode is active"),
    (no_cluster, "store", "no member can tell"),
    (alter(ASYNCHRONOUS, role="primary"), "leader", "postgresql-0 (timeline 11) and postgresql-1 (timeline 11) take writes"),
    (alter(LEADER, state="starting"), "leader", "postgresql-0 holds the lock, and is starting"),
    (alter(LEADER, state="stopped", role="replica"), "leader", "postgresql-0 holds the lock, and is stopped"),
    (entry(LEADER, role="replica"), "leader", "nobody holds the leader's lock: postgresql-0 a primary without the lock"),
    (alter(LEADER, cluster_unlocked=True), "leader", "postgresql-0 holds the lock, and is a primary without the lock"),
    (unlisted, "listed", "of its members, postgresql-1 missing"),
    (left_over, "listed", "of its members, postgresql-3 too many"),
    (alter(SYNCHRONOUS, replication_state=None), "states", "postgresql-2 not streaming"),
    (alter(SYNCHRONOUS, replication_state="in archive recovery"), "states", "postgresql-2 in archive recovery"),
    (alter(SYNCHRONOUS, state="creating replica", replication_state=None), "states", "postgresql-2 creating replica"),
    (alter(SYNCHRONOUS, state="start failed"), "states", "postgresql-2 start failed"),
    (alter(ASYNCHRONOUS, timeline=10), "timeline", "the leader is on timeline 11, postgresql-1 on 10"),
    (alter(ASYNCHRONOUS, xlog={**STREAMING, "received_location": 98030000}), "lag", "postgresql-1 is 6928 bytes behind the leader"),
    (alter(ASYNCHRONOUS, xlog={}), "lag", "how far postgresql-1 is behind is not known"),
    (asynchronous, "synchronous", "no replica confirms commits: postgresql-2 is async, postgresql-1 is async"),
    (alter(SYNCHRONOUS, sync_standby=None), "synchronous", "Patroni has not noted that yet"),
    (alter(LEADER, pending_restart=True, pending_restart_reason=RESTART), "restart", "postgresql-0: max_connections: 60 -> 70"),
]


@pytest.mark.parametrize(("fault", "condition", "words"), FAULTS, ids=[f"{n}-{condition}" for n, (_f, condition, _w) in enumerate(FAULTS)])
def test_the_cause_is_named(fault: Callable[[Recorded], None], condition: str, words: str) -> None:
    recorded = Recorded()
    fault(recorded)
    verdict = health.judge(recorded.observe(), STRICT, NAMES)
    assert (verdict.holds, verdict.condition) == (False, condition)
    assert words in verdict.seen


def test_only_a_wrong_cluster_is_final() -> None:
    for fault, condition, _words in FAULTS:
        recorded = Recorded()
        fault(recorded)
        assert health.judge(recorded.observe(), STRICT, NAMES).fatal is (condition == "one cluster")


def test_conditions_that_need_not_hold_are_left_out() -> None:
    recorded = Recorded()
    alter(LEADER, pending_restart=True)(recorded)
    assert health.judge(recorded.observe(), STRICT, NAMES, but=(health.RESTARTS,)).holds


@pytest.mark.parametrize("synchronous", [True, False, None])
def test_a_cluster_of_one_needs_nobody_to_confirm(synchronous: bool | None) -> None:
    found = Recorded().without(ASYNCHRONOUS, SYNCHRONOUS).observe()
    verdict = health.judge(found, Bounds(synchronous=synchronous), [LEADER])
    assert (verdict.holds, verdict.seen) == (True, f"leader {LEADER} on timeline 11, 0 replicas")


def test_synchronous_commits_that_nobody_wants() -> None:
    assert "commits wait for postgresql-2" in health.judge(Recorded().observe(), Bounds(synchronous=False), NAMES).seen
    recorded = Recorded()
    asynchronous(recorded)
    assert health.judge(recorded.observe(), Bounds(synchronous=False), NAMES).holds
    assert health.judge(recorded.observe(), Bounds(synchronous=None), NAMES).holds


def test_a_wanted_member_that_was_not_asked() -> None:
    assert "postgresql-3: was not asked" in health.judge(Recorded().observe(), STRICT, [*NAMES, "postgresql-3"]).seen


def test_a_probe() -> None:
    found = Recorded().observe()
    good = Probe("proxy-a", "postgresql-1", seconds=0.012)
    assert health.judge(found, STRICT, NAMES, good).seen.endswith("a commit through proxy-a in 12 ms, read back from postgresql-1")
    refused = health.judge(found, STRICT, NAMES, Probe("proxy-a", write_error="no server"))
    assert (refused.condition, refused.seen) == ("write", "a commit through proxy-a: no server")
    lost = health.judge(found, STRICT, NAMES, Probe("proxy-a", "postgresql-1", read_error="nothing after 3 s"))
    assert (lost.condition, lost.holds) == ("read", False)


members = st.builds(
    MemberObservation,
    name=st.sampled_from(NAMES),
    error=st.sampled_from(["", "", "", "refused"]),
    scope=st.just("postgresql"),
    state=st.sampled_from(["running", "running", "running", "starting", "creating replica"]),
    role=st.sampled_from(["primary", "replica", "replica"]),
    timeline=st.sampled_from([1, 1, 2]),
    location=st.sampled_from([None, 100, 200, 5000]),
    replication_state=st.sampled_from(["streaming", "streaming", ""]),
    synchronous=st.booleans(),
    standbys=st.lists(st.builds(Standby, st.sampled_from(NAMES), st.just("streaming"), st.sampled_from(["sync", "async"])), max_size=2).map(
        tuple
    ),
    paused=st.booleans(),
    unlocked=st.booleans(),
    failsafe=st.booleans(),
    system_id=st.sampled_from(["7", "7", "8", ""]),
)
listings = st.none() | st.lists(
    st.builds(Listed, st.sampled_from(NAMES), st.sampled_from(["leader", "replica", "sync_standby"]), st.just("running")),
    unique_by=lambda one: one.name,
).map(tuple)


@given(st.lists(members, unique_by=lambda one: one.name), listings, st.sampled_from([True, False, None]))
def test_whatever_holds_is_really_in_order(found: list[MemberObservation], listed: Any, synchronous: bool | None) -> None:
    observed = Observation("postgresql", tuple(found), listed)
    verdict = health.judge(observed, Bounds(1000, synchronous), NAMES)
    if not verdict.holds:
        assert verdict.condition and verdict.expected and verdict.seen
        return
    (leader,) = observed.primaries
    replicas = [member for member in found if member is not leader]
    assert len(replicas) == 2 and observed.holder == leader.name and not leader.unlocked
    assert all(member.streams and member.timeline == leader.timeline for member in replicas)
    assert all((leader.location or 0) - (member.location or 0) <= 1000 for member in replicas)
    assert not any(member.paused or member.failsafe or member.error for member in found)
    if synchronous is not None:
        assert any(one.sync_state == "sync" for one in leader.standbys) is synchronous
