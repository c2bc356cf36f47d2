# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions: each names its own trouble, and the cause before what follows from it."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.health import CONDITIONS, Bounds, judge
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Observation, Sentinel, Server, Trouble
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import (
    knowing,
    sentinel_address,
    server_address,
    whole,
    with_sentinel,
    with_server,
)


def test_what_is_in_order_holds() -> None:
    verdict = judge(whole(), Bounds())
    assert verdict.holds
    assert verdict.seen == "master redis-0, 2 replicas, 3 sentinels of one mind at epoch 4, lag 0 bytes"
    alone = judge(whole(1, 0), Bounds())
    assert (alone.holds, alone.seen) == (True, "master redis-0")
    assert judge(whole(5, 7, master=3), Bounds()).holds


TROUBLES: list[tuple[str, Observation, str]] = [
    ("password", with_server(whole(), 1, trouble=Trouble.WRONG_PASSWORD, error="WRONGPASS no", role=""), "redis-1: WRONGPASS no"),
    ("password", with_sentinel(whole(), 2, trouble=Trouble.WRONG_PASSWORD, error="NOAUTH"), "redis-sentinel-2: NOAUTH"),
    (
        "answers",
        with_server(whole(), 2, trouble=Trouble.UNREACHABLE, error="connection refused", role=""),
        "2/3 servers answer; redis-2: connection refused",
    ),
    ("answers", with_server(whole(), 2, trouble=Trouble.LOADING, error="it loads its data: 40 % done"), "40 % done"),
    ("monitored", with_sentinel(whole(), 0, master="", replicas=(), others=()), "redis-sentinel-0 monitors no master of the name redis"),
    ("tilt", with_sentinel(whole(), 1, tilt=True), "redis-sentinel-1: TILT"),
    ("calm", with_sentinel(whole(), 1, flags=frozenset({"master", "s_down", "o_down"})), "redis-sentinel-1 on redis-0: the master is down"),
    ("calm", with_sentinel(whole(), 1, flags=frozenset({"master", "failover_in_progress"})), "a failover is in progress"),
    ("calm", with_sentinel(whole(), 1, flags=frozenset({"master", "s_down"})), "redis-sentinel-1 gets no answer from redis-0 (s_down)"),
    ("agreed", with_sentinel(whole(), 1, epoch=3), "redis-sentinel-1: redis-0 at epoch 3"),
    ("agreed", with_sentinel(whole(), 1, master=server_address(1)), "redis-sentinel-1: redis-1 at epoch 4"),
    ("master", with_server(whole(), 1, role="master"), "2 masters: redis-0 master; redis-1 master; redis-2 slave"),
    ("master", with_server(whole(), 0, role="slave"), "no master"),
    ("master", with_server(whole(), 0, address="10.9.9.9:6379"), "redis-0 is master, the sentinels name 10.43.0.0:6379"),
    ("replicas", with_server(whole(), 1, link_up=False), "redis-1: its link to redis-0 is down"),
    ("replicas", with_server(whole(), 1, link_up=False, syncing=True), "redis-1: its first synchronisation is under way"),
    ("replicas", with_server(whole(), 1, master=server_address(2)), "redis-1: follows redis-2, not redis-0"),
    ("replicas", with_server(whole(), 1, priority=0), "redis-1: it may not be promoted yet"),
    ("offsets", with_server(whole(), 0, offset=3 << 20), "bytes behind, of 1048576"),
    ("known", with_sentinel(whole(), 0, others=()), "redis-sentinel-0 does not know redis-sentinel-1, redis-sentinel-2 yet"),
    ("known", knowing(whole(), server_address(8)), "redis-sentinel-0 knows 10.43.0.8:6379 besides"),
    ("known", knowing(whole(), sentinel_address(8)), "redis-sentinel-0 knows 10.43.1.8:26379 besides"),
    (
        "seen",
        with_sentinel(whole(), 0, replicas=(Known(server_address(1), frozenset({"s_down"})), Known(server_address(2)))),
        "redis-sentinel-0 gets no answer from redis-1",
    ),
    ("quorum", with_sentinel(whole(), 2, quorum_error="NOQUORUM 1 usable Sentinels."), "redis-sentinel-2: NOQUORUM"),
    ("persistence", with_server(whole(), 0, persistence="aof_last_write_status: err"), "redis-0: aof_last_write_status: err"),
]


@pytest.mark.parametrize(("condition", "observation", "seen"), TROUBLES)
def test_each_trouble_is_named(condition: str, observation: Observation, seen: str) -> None:
    verdict = judge(observation, Bounds())
    assert (verdict.holds, verdict.condition) == (False, condition)
    assert seen in verdict.seen
    assert verdict.expected


def test_every_condition_has_its_trouble_here() -> None:
    assert {name for name, _expected, _condition in CONDITIONS} == {condition for condition, _observation, _seen in TROUBLES}


def test_a_majority_of_sentinels_that_is_away_is_said() -> None:
    observation = whole()
    for number in (0, 1):
        observation = with_sentinel(observation, number, trouble=Trouble.UNREACHABLE, error="no answer in time", master="")
    verdict = judge(observation, Bounds())
    assert "1/3 sentinels answer" in verdict.seen
    assert verdict.hint == "no master can be elected until 2 of 3 sentinels are there"


def test_only_a_wrong_password_cannot_heal() -> None:
    assert [judge(observation, Bounds()).fatal for _condition, observation, _seen in TROUBLES] == [
        condition == "password" for condition, _observation, _seen in TROUBLES
    ]


def test_members_that_were_never_seen_are_no_mystery() -> None:
    silent = Observation("redis", (Server("redis-0", trouble=Trouble.UNREACHABLE, error="no pod"),), (Sentinel("s"),))
    assert judge(silent, Bounds()).condition == "answers"
    assert judge(dataclasses.replace(silent, servers=()), Bounds()).condition == "monitored"
