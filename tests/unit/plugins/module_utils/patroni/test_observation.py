# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read out of Patroni's answers."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observation
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import (
    ASYNCHRONOUS,
    LEADER,
    SYNCHRONOUS,
    Recorded,
)


def test_a_recorded_leader() -> None:
    member = Recorded().observe().member(LEADER)
    assert member is not None
    assert (member.role, member.state, member.timeline, member.location) == ("primary", "running", 11, 98036928)
    assert (member.scope, member.patroni_version, member.server_version) == ("postgresql", "4.0.7", 170012)
    assert {(one.name, one.state, one.sync_state) for one in member.standbys} == {
        (SYNCHRONOUS, "streaming", "sync"),
        (ASYNCHRONOUS, "streaming", "async"),
    }
    assert member.writable and not member.streams


def test_recorded_replicas() -> None:
    found = Recorded().observe()
    synchronous, asynchronous = found.member(SYNCHRONOUS), found.member(ASYNCHRONOUS)
    assert synchronous is not None and asynchronous is not None
    assert synchronous.synchronous and synchronous.streams and not synchronous.writable
    assert not asynchronous.synchronous and asynchronous.streams
    assert asynchronous.location == asynchronous.replayed == 98036928


def test_the_leader_holds_the_lock_and_takes_writes() -> None:
    recorded = Recorded()
    found = recorded.observe()
    assert (found.holder, found.leader) == (LEADER, found.member(LEADER)) and found.initialised
    recorded.status[LEADER]["cluster_unlocked"] = True
    assert recorded.observe().leader is None
    recorded = Recorded()
    recorded.status[LEADER]["state"] = "starting"
    assert recorded.observe().leader is None and recorded.observe().holder == LEADER


def test_patroni_3_says_master() -> None:
    assert observation.member_of("a", {"state": "running", "role": "master"}).role == "primary"


def test_what_waits_for_a_restart() -> None:
    reason = {"max_connections": {"old_value": "60", "new_value": "70"}}
    assert observation.member_of("a", {"pending_restart": True, "pending_restart_reason": reason}).pending_restart == (
        "max_connections: 60 -> 70",
    )
    assert observation.member_of("a", {"pending_restart": True}).pending_restart == ("a parameter",)


def test_a_member_that_is_only_just_beginning_says_little() -> None:
    member = observation.member_of("a", {"state": "creating replica", "role": "replica"})
    assert (member.timeline, member.location, member.system_id) == (None, None, "")


@pytest.mark.parametrize(("leader", "replica", "lag"), [(100, 40, 60), (100, 100, 0), (100, 130, 0), (None, 1, None), (1, None, None)])
def test_bytes_behind(leader: int | None, replica: int | None, lag: int | None) -> None:
    assert (
        observation.behind(observation.MemberObservation("a", location=replica), observation.MemberObservation("b", location=leader)) == lag
    )


def test_a_lag_that_patroni_does_not_know() -> None:
    assert observation.listed_of({"members": [{"name": "a", "role": "replica", "state": "stopped", "lag": "unknown"}]})[0].lag is None


def test_a_scheduled_switchover() -> None:
    told = observation.scheduled_of({"scheduled_switchover": {"at": "2026-11-22T03:00:00+00:00", "from": "a"}})
    assert told == "from a to any replica at 2026-11-22T03:00:00+00:00"
