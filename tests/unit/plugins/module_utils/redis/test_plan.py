# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: its steps one by one, and what must hold for every world it may begin in."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Observation, Replica, Trouble
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.plan import ALL, GROW, SHRINK, Kind, Step, Wanted, foresee, plan
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import (
    after,
    knowing,
    sentinel_address,
    server_address,
    whole,
    with_sentinel,
    with_server,
)

SETTINGS = {"quorum": 2, "down-after-milliseconds": 2500}


def first(observation: Observation, wanted: Wanted | None = None) -> Step:
    return plan(observation, wanted or Wanted(settings=SETTINGS))[0]


@pytest.mark.parametrize("phase", [SHRINK, GROW, ALL])
def test_what_is_in_order_is_left_alone(phase: str) -> None:
    assert plan(whole(), Wanted(phase, SETTINGS)) == ()


def test_settings_that_differ_are_set_and_those_left_out_stay() -> None:
    step = first(with_sentinel(whole(), 1, down_after_ms=30000, parallel_syncs=5))
    assert step.commands == (("SENTINEL", "SET", "redis", "down-after-milliseconds", 2500),)
    assert (step.target, step.sentence) == ("redis-sentinel-1", "redis-sentinel-1: down-after-milliseconds 30000 -> 2500")
    assert step.before == {"redis-sentinel-1": {"down-after-milliseconds": 30000}}


def test_a_master_that_is_to_go_hands_over_and_not_to_one_that_goes_too() -> None:
    four = whole(4)
    three = dataclasses.replace(four, servers=four.servers[1:3], others={server_address(0): "redis-0", server_address(3): "redis-3"})
    for phase in (SHRINK, ALL):
        step = first(three, Wanted(phase))
        assert (step.kind, step.target, step.barred) == (Kind.SWITCH_OVER, "redis-0", frozenset({"redis-0", "redis-3"}))
    assert first(three, Wanted(GROW)).waits
    # Somebody else is to go: nothing is done before.
    assert plan(dataclasses.replace(four, servers=four.servers[:3]), Wanted(SHRINK)) == ()


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"tilt": True}, "TILT"),
        ({"flags": frozenset({"master", "o_down"})}, "ODOWN"),
        ({"flags": frozenset({"master", "failover_in_progress"})}, "failover"),
        ({"trouble": Trouble.UNREACHABLE, "error": "no answer in time", "master": ""}, "no answer in time"),
    ],
)
def test_nothing_is_done_while_a_sentinel_is_busy_or_away(trouble: dict[str, object], told: str) -> None:
    step = first(knowing(with_sentinel(whole(), 2, down_after_ms=1, **trouble), server_address(7)))
    assert step.waits
    assert told in step.sentence


def test_who_is_gone_is_forgotten_and_who_is_not_is_waited_for() -> None:
    gone = knowing(whole(), server_address(3), sentinel_address(3))
    step = first(gone)
    assert step.commands == (("SENTINEL", "RESET", "redis"),)
    assert step.sentence == "redis-sentinel-0 forgets 10.43.0.3:6379, 10.43.1.3:26379"
    assert step.after == {"redis-sentinel-0": {"replicas": ["redis-1", "redis-2"], "sentinels": ["redis-sentinel-1", "redis-sentinel-2"]}}
    alive = knowing(whole(), server_address(3), flags=frozenset({"slave"}))
    assert first(alive).sentence == "10.43.0.3:6379 is gone, which nobody wants"
    # The sentinels do not see it, and the master does.
    attached = with_server(gone, 0, replicas=(Replica(server_address(3)),))
    assert first(attached).waits
    # A check takes for granted that it will be.
    assert [step.kind for step in foresee(alive, Wanted())] == [Kind.FORGET] * 3


def test_nobody_forgets_while_one_cannot_reach_the_quorum() -> None:
    step = first(with_sentinel(knowing(whole(), server_address(3)), 2, quorum_error="NOQUORUM 1 usable Sentinels"))
    assert step.waits
    assert step.sentence == "redis-sentinel-2 can reach the quorum: NOQUORUM 1 usable Sentinels"


def test_a_second_entry_for_the_same_sentinel_is_forgotten() -> None:
    twice = with_sentinel(whole(), 0, others=(*whole().sentinels[0].others, Known(sentinel_address(1))))
    assert first(twice).kind is Kind.FORGET


def test_a_sentinel_that_monitors_nothing_is_told_whom() -> None:
    step = first(with_sentinel(whole(master=1), 0, master="", quorum=0, replicas=(), others=()))
    assert step.commands == (("SENTINEL", "MONITOR", "redis", "10.43.0.1", "6379", 2),)
    nobody = with_server(whole(), 0, role="slave")
    for number in range(3):
        nobody = with_sentinel(nobody, number, master="", replicas=(), others=())
    assert first(nobody).sentence.startswith("one server is master")


def test_a_deaf_sentinel_is_given_the_password_once_and_only_by_who_has_it() -> None:
    deaf = with_sentinel(whole(), 1, replicas=(Known(server_address(1), frozenset({"s_down"})), Known(server_address(2))))
    assert first(deaf, Wanted(may_log_in=True)).kind is Kind.LOGIN
    assert first(deaf, Wanted(may_log_in=True)).commands == ()  # the password is in no plan
    assert first(deaf, Wanted(may_log_in=True, logged_in=frozenset({"redis-sentinel-1"}))).waits
    assert first(deaf, Wanted()).waits
    # A server that has just started is not heard yet by anybody.
    assert first(with_server(deaf, 1, uptime_s=2), Wanted(may_log_in=True)).waits


def test_a_server_that_stays_after_all_may_be_promoted_again() -> None:
    withheld = with_server(whole(), 1, priority=0)
    assert first(withheld).commands == (("CONFIG", "SET", "replica-priority", 100),)
    assert plan(with_server(withheld, 1, uptime_s=3), Wanted()) == ()  # it has just started, and enlists itself
    assert plan(with_server(withheld, 1, link_up=False), Wanted()) == ()
    assert plan(with_server(withheld, 1, rewriting=True), Wanted()) == ()


# -- every world -------------------------------------------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn) -> Observation:
    """Answering members, with settings, knowledge and priorities as nobody wants them."""
    servers, sentinels = draw(st.integers(1, 5)), draw(st.sampled_from([3, 5, 7]))
    observation = whole(servers, sentinels, draw(st.integers(0, servers - 1)))
    for number in range(sentinels):
        if draw(st.booleans()):
            observation = with_sentinel(observation, number, quorum=draw(st.integers(1, 5)), down_after_ms=draw(st.integers(1, 5)))
        kept = observation.sentinels[number]
        if draw(st.integers(0, 3)) == 0:
            observation = with_sentinel(observation, number, others=kept.others[: draw(st.integers(0, 2))], quorum_error="NOQUORUM")
        if draw(st.integers(0, 5)) == 0 and number < sentinels // 2:
            observation = with_sentinel(observation, number, master="", replicas=(), others=(), epoch=0, quorum=0, down_after_ms=0)
    extra = draw(st.sets(st.sampled_from([server_address(8), server_address(9), sentinel_address(8), sentinel_address(9)])))
    for number in range(sentinels):
        if observation.sentinels[number].master and draw(st.booleans()):
            one = observation.sentinels[number]
            gone = {a: Known(a, frozenset({"s_down"})) for a in extra}
            observation = with_sentinel(
                observation,
                number,
                replicas=one.replicas + tuple(k for a, k in gone.items() if a.endswith(":6379")),
                others=one.others + tuple(k for a, k in gone.items() if not a.endswith(":6379")),
            )
    if servers > 1 and draw(st.booleans()):
        other = next(n for n, server in enumerate(observation.servers) if not server.is_master)
        observation = with_server(observation, other, priority=0)
    return observation


@given(worlds())
@settings(max_examples=200, deadline=None)
def test_step_by_step_every_world_comes_into_order_and_no_two_sentinels_forget_at_once(observation: Observation) -> None:
    wanted = Wanted(GROW, {"quorum": len(observation.sentinels) // 2 + 1, "down-after-milliseconds": 2500})
    for _step in range(80):
        steps = plan(observation, wanted)
        if not steps:
            break
        step = steps[0]
        if step.kind is Kind.FORGET:
            assert all(not observation.unknown_to(sentinel) and not sentinel.quorum_error for sentinel in observation.sentinels)
        observation = after(observation, step)
    assert plan(observation, wanted) == ()
    for sentinel in observation.sentinels:
        assert not observation.extra_replicas(sentinel) and not observation.extra_sentinels(sentinel)
        assert (sentinel.quorum, sentinel.down_after_ms) == (wanted.settings["quorum"], 2500)
    assert all(server.priority for server in observation.servers)
