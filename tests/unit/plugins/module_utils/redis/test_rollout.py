# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of restarts, and what stops them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.health import Bounds
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.rollout import Rollout, plan
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switched
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import whole, with_server


class Running:
    """Members and what runs them. master: the number of the server that is master; sick: looks that find a replica without its link."""

    def __init__(self, servers: int = 3, sentinels: int = 3) -> None:
        self.numbers, self.master, self.sick = (servers, sentinels), 0, 0
        self.left = dict.fromkeys([*(f"redis-{n}" for n in range(servers)), *(f"redis-sentinel-{n}" for n in range(sentinels))], "new")
        self.dead: set[str] = set()
        self.stuck: StackgateError | None = None
        self.silent = 0  # hand-overs during which somebody does not answer
        self.time = 0.0

    def observe(self) -> Observation:
        seen = whole(*self.numbers, master=self.master)
        if self.sick:
            self.sick -= 1
            return with_server(seen, self.numbers[0] - 1, link_up=False)
        return seen

    def hand_over(self, _timeout: float) -> Switched:
        if self.silent:
            self.silent -= 1
            raise Unreachable("redis-sentinel-0", "connection reset", 1.0)
        old, self.master = self.master, (self.master + 1) % self.numbers[0]
        return Switched(f"redis-{old}", f"redis-{self.master}", 0.5)

    def pending(self) -> dict[str, str]:
        return dict(self.left)

    def down(self, name: str) -> bool:
        return name in self.dead

    def trouble(self) -> StackgateError | None:
        return self.stuck

    def replace(self, name: str) -> None:
        del self.left[name]
        self.dead.discard(name)
        self.sick = 2

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def rollout(self, say: Callable[[str], None] = lambda line: None) -> Rollout:
        return Rollout(self.observe, self.hand_over, self, Bounds(), say, 20, now=lambda: self.time, sleep=self.sleep)


def test_sentinels_then_replicas_then_the_master_which_hands_over() -> None:
    running = Running()
    foreseen = plan(running.pending(), running.observe())
    rolling = running.rollout()
    rolling.run()
    assert rolling.restarted == [
        "redis-sentinel-2",
        "redis-sentinel-1",
        "redis-sentinel-0",
        "redis-2",
        "redis-1",
        "redis-0",
    ]
    assert rolling.done[-2:] == ["redis-0 hands over to another server", "restart redis-0 (replica): new"]
    assert foreseen == [*rolling.done[:-1], "restart redis-0 (master): new"]
    assert rolling.result["changed"]


def test_somebody_falls_silent_while_the_master_hands_over() -> None:
    running = Running()
    running.silent = rollout.HAND_OVERS - 1
    rolling = running.rollout()
    rolling.run()
    assert rolling.done[-2:] == ["redis-0 hands over to another server", "restart redis-0 (replica): new"]
    assert rolling.done.count("redis-0 hands over to another server") == 1
    running = Running()
    running.silent = rollout.HAND_OVERS
    with pytest.raises(StackgateError, match=r"redis-sentinel-0 answers\nseen .*connection reset"):
        running.rollout().run()


def test_nothing_pending_asks_nobody() -> None:
    running = Running()
    running.left.clear()
    rolling = running.rollout()
    rolling.observe = lambda: pytest.fail("somebody was asked")
    rolling.run()
    assert rolling.result == {"changed": False, "plan": [], "restarted": []}


def test_a_server_that_stands_alone_just_restarts() -> None:
    running = Running(1, 0)
    rolling = running.rollout()
    running.replace = running.left.pop  # type: ignore[method-assign,assignment]
    rolling.run()
    assert rolling.done == ["restart redis-0 (master): new"]


def test_who_is_down_goes_first_and_without_a_look_at_the_others() -> None:
    running = Running()
    running.dead, running.sick = {"redis-0"}, 3
    rolling = running.rollout()
    rolling.run()
    assert rolling.done[0] == "restart redis-0 (down): new"
    assert rolling.restarted[1] == "redis-sentinel-2"


def test_one_that_is_down_is_restarted_once() -> None:
    running = Running()
    running.left, running.dead = {"redis-1": "new"}, {"redis-1"}
    rolling = running.rollout()
    rolling.run()
    assert rolling.restarted == ["redis-1"]


def test_only_those_that_are_down_are_repaired() -> None:
    running = Running()
    running.dead = {"redis-1"}
    rolling = running.rollout()
    rolling.repair()
    assert rolling.restarted == ["redis-1"]
    assert len(running.left) == 5


def test_what_does_not_come_into_order_stops_it_before_the_next_member() -> None:
    running, said = Running(), list[str]()
    running.sick = 10000
    with pytest.raises(StackgateError) as caught:
        running.rollout(said.append).run()
    assert "its link to redis-0 is down" in caught.value.seen
    assert caught.value.waited == pytest.approx(20)
    assert caught.value.details == {"changed": False, "restarted": [], "plan": [], "condition": "replicas"}
    assert any("before the next member restarts" in line for line in said)


def test_a_pod_that_cannot_start_stops_it_at_once() -> None:
    running = Running()
    running.sick, running.stuck = 10000, StackgateError("every member's pod starts", "ImagePullBackOff", "correct the image")
    with pytest.raises(StackgateError) as caught:
        running.rollout().run()
    assert "ImagePullBackOff" in caught.value.seen
    assert caught.value.hint == "correct the image"
    assert running.time == 0
