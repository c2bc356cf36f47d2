# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling restart of a played cluster: replicas first, the leader last, and never while the cluster is not in order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.health import Bounds
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.switchover import Switchover, candidate_of
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import (
    ASYNCHRONOUS,
    LEADER,
    NAMES,
    SYNCHRONOUS,
    Recorded,
)

HOSTS = {name: f"{name}:5432" for name in NAMES}
RESTART = {"work_mem": {"old_value": "1", "new_value": "2"}}


class Play(Recorded):
    """Patroni and the pods. A restarted member is away for `absence` looks."""

    def __init__(self, pending: tuple[str, ...] = (), absence: int = 2) -> None:
        super().__init__()
        self.why = {HOSTS[name]: "revision 1 -> 2" for name in pending}
        self.absence, self.away = absence, dict[str, int]()
        self.events: list[str] = []
        self.stopped: set[str] = set()
        self.broken: StackgateError | None = None
        self.sticky: set[str] = set()  # parameters that wait until the leader has them
        self.clock = 0.0

    # -- Patroni -------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        for name in list(self.away):
            self.away[name] -= 1
            if self.away[name] < 0:
                del self.away[name]
                self.silent.pop(name, None)
        return super().observe()

    def switchover(self, timeout: float) -> Switchover:
        found = super().observe()
        old, new = found.holder, candidate_of(found)
        self.events.append(f"{old} -> {new}")
        self.lead(new)
        self._taken_over(old)  # a leader that is demoted has its server restarted
        return Switchover(old, new, 1.0, 2.0)

    def restart(self, name: str, timeout: float) -> None:
        self.events.append(f"{name} restarts its server")
        self._leave(name)
        if self.sticky and super().observe().holder == name:
            self.sticky.clear()
        if name not in self.sticky:
            self._taken_over(name)

    # -- pods ----------------------------------------------------------------------------------------------------

    def pending(self) -> dict[str, str]:
        return dict(self.why)

    def down(self, host: str) -> bool:
        return host in self.stopped

    def trouble(self) -> StackgateError | None:
        return self.broken

    def replace(self, host: str) -> None:
        name = host.partition(":")[0]
        assert not self.away, "another member is away"
        self.events.append(f"{name} restarts")
        del self.why[host]
        self.stopped.discard(host)
        self._taken_over(name)
        if self.status[name].get("state") != "running":
            self.status[name]["state"] = "running"
        self._leave(name)

    def _taken_over(self, name: str) -> None:
        for key in ("pending_restart", "pending_restart_reason"):
            self.status[name].pop(key, None)

    def _leave(self, name: str) -> None:
        self.away[name] = self.absence
        self.silent[name] = "connection refused"

    def rolling(self, **more: Any) -> rollout.Rollout:
        def sleep(seconds: float) -> None:
            self.clock += seconds

        hosts = {name: HOSTS[name] for name in self.status}
        given = {"bounds": Bounds(1000, None), "timeout": 30.0, **more}
        return rollout.Rollout(self, self, hosts, say=lambda line: None, now=lambda: self.clock, sleep=sleep, **given)


def test_replicas_first_and_the_leader_last() -> None:
    play = Play(NAMES)
    rolling = play.rolling()
    rolling.run()
    assert play.events == [
        f"{ASYNCHRONOUS} restarts",
        f"{SYNCHRONOUS} restarts",
        f"{LEADER} -> {SYNCHRONOUS}",
        f"{LEADER} restarts",
    ]
    assert rolling.restarted == [ASYNCHRONOUS, SYNCHRONOUS, LEADER]
    assert rolling.done == [
        f"restart {ASYNCHRONOUS} (replica): revision 1 -> 2",
        f"restart {SYNCHRONOUS} (synchronous replica): revision 1 -> 2",
        f"{LEADER} hands over to {SYNCHRONOUS}",
        f"restart {LEADER} (synchronous replica): revision 1 -> 2",
    ]


def test_the_plan_tells_the_same() -> None:
    play = Play(NAMES)
    why = dict.fromkeys(NAMES, "revision 1 -> 2")
    assert rollout.plan(why, {LEADER: "a parameter"}, play.observe()) == [
        f"restart {ASYNCHRONOUS} (replica): revision 1 -> 2",
        f"restart {SYNCHRONOUS} (synchronous replica): revision 1 -> 2",
        f"{LEADER} hands over to {SYNCHRONOUS}",
        f"restart {LEADER} (leader): revision 1 -> 2",
    ]


def test_the_plan_of_servers_that_restart_in_place() -> None:
    play = Play()
    assert rollout.plan({}, dict.fromkeys((LEADER, ASYNCHRONOUS), "why"), play.observe()) == [
        f"restart {ASYNCHRONOUS} (replica): why",
        f"{LEADER} hands over to {SYNCHRONOUS}",
    ]
    alone = play.without(ASYNCHRONOUS, SYNCHRONOUS).observe()
    assert rollout.plan({}, {LEADER: "why"}, alone) == [f"restart {LEADER} (leader): why"]


def test_a_cluster_of_one_restarts_where_it_is() -> None:
    play = Play((LEADER,))
    play.without(ASYNCHRONOUS, SYNCHRONOUS)
    play.rolling().run()
    assert play.events == [f"{LEADER} restarts"]


def test_nothing_is_touched_while_a_replica_is_behind() -> None:
    play = Play(NAMES)
    play.status[SYNCHRONOUS]["xlog"]["received_location"] -= 5000
    with pytest.raises(StackgateError, match=r"close behind the leader before the next member restarts") as caught:
        play.rolling().run()
    assert play.events == []
    assert caught.value.details == {"changed": False, "restarted": [], "plan": [], "condition": "lag"}


def test_nothing_more_is_touched_when_a_member_does_not_come_back() -> None:
    play = Play(NAMES, absence=10_000)
    with pytest.raises(StackgateError, match="2/3 answer") as caught:
        play.rolling().run()
    assert play.events == [f"{ASYNCHRONOUS} restarts"]
    assert caught.value.details["restarted"] == [ASYNCHRONOUS]


def test_a_pod_that_cannot_start_ends_it_at_once() -> None:
    play = Play(NAMES, absence=10_000)
    play.broken = StackgateError("every member's pod starts", "ImagePullBackOff", "correct the image")
    with pytest.raises(StackgateError, match="ImagePullBackOff"):
        play.rolling().run()
    assert play.clock < 1


def test_who_is_out_of_service_goes_first() -> None:
    play = Play(NAMES)
    play.status[LEADER]["state"] = "start failed"
    play.silent[SYNCHRONOUS], play.stopped = "refused", {HOSTS[SYNCHRONOUS]}
    rolling = play.rolling()
    with pytest.raises(AssertionError, match="another member is away"):  # both at once: neither serves anybody
        rolling.run()
    assert play.events[0] == f"{LEADER} restarts"


def test_an_interrupted_run_is_continued() -> None:
    play = Play((LEADER,))
    play.rolling().run()
    assert play.events == [f"{LEADER} -> {SYNCHRONOUS}", f"{LEADER} restarts"]


def test_commits_must_be_synchronous_again_before_the_next() -> None:
    play = Play(NAMES)
    play.status[SYNCHRONOUS].pop("sync_standby")
    with pytest.raises(StackgateError, match="commits are synchronous or not, as wanted"):
        play.rolling(bounds=Bounds(1000, True)).run()
    assert play.events == []


def wait_for_restart(play: Play, *names: str) -> None:
    for name in names:
        play.status[name].update(pending_restart=True, pending_restart_reason=RESTART)


def test_servers_restart_in_place_where_a_parameter_waits() -> None:
    play = Play()
    wait_for_restart(play, *NAMES)
    rolling = play.rolling()
    rolling.restart_in_place()
    assert play.events == [
        f"{ASYNCHRONOUS} restarts its server",
        f"{SYNCHRONOUS} restarts its server",
        f"{LEADER} -> {SYNCHRONOUS}",
    ]
    assert rolling.done[0] == f"restart {ASYNCHRONOUS} (replica): parameters work_mem: 1 -> 2"


def test_a_smaller_parameter_needs_the_leader_first() -> None:
    play = Play()
    wait_for_restart(play, *NAMES)
    play.sticky = {ASYNCHRONOUS, SYNCHRONOUS}
    play.rolling().restart_in_place()
    assert play.events == [
        f"{ASYNCHRONOUS} restarts its server",
        f"{LEADER} restarts its server",
        f"{ASYNCHRONOUS} restarts its server",
        f"{SYNCHRONOUS} restarts its server",
    ]


def test_a_server_that_never_takes_it_over_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    play.without(ASYNCHRONOUS, SYNCHRONOUS)
    wait_for_restart(play, LEADER)
    monkeypatch.setattr(play, "restart", lambda name, timeout: play.events.append(name))
    with pytest.raises(StackgateError, match="after two restarts it still waits for one"):
        play.rolling().restart_in_place()
    assert play.events == [LEADER, LEADER]


def test_nothing_waits() -> None:
    play = Play()
    play.rolling().restart_in_place()
    play.rolling().run()
    assert play.events == []


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.integers(0, 4))
def test_whatever_is_pending_restarts_once_and_the_leader_hands_over_first(pods: set[str], servers: set[str], absence: int) -> None:
    play = Play(tuple(pods), absence)
    wait_for_restart(play, *servers)
    rolling = play.rolling()
    rolling.run()
    rolling.restart_in_place()
    restarted = {event.split()[0] for event in play.events}  # by itself, or by handing over
    assert restarted == pods | servers
    assert len([event for event in play.events if "restarts" in event]) <= len(pods | servers)
    leader = LEADER
    for event in play.events:
        if " -> " in event:
            leader = event.partition(" -> ")[2]
        else:
            assert not event.startswith(leader), "the leader restarted"
