# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading replies: recorded ones of redis 7.0.15 (one master, one replica, three sentinels), and ones that were altered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.redis import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Replica, Trouble
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import (
    sentinel_address,
    server_address,
    whole,
    with_sentinel,
)

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())
NETWORK = RECORDED["sentinel"]["ADDRESS"][0].rpartition(".")[0]


def test_a_master() -> None:
    seen = observation.server("redis-0", "a:1", RECORDED["master"])
    assert (seen.role, seen.master, seen.priority, seen.version, seen.trouble, seen.persistence) == (
        "master",
        "",
        100,
        "7.0.15",
        Trouble.NONE,
        "",
    )
    assert [replica.address for replica in seen.replicas] == [f"{NETWORK}.2:6379"]
    assert seen.replicas[0].state == "online"
    assert seen.offset >= seen.replicas[0].offset > 0


def test_a_replica() -> None:
    seen = observation.server("redis-1", "a:2", RECORDED["replica"])
    assert (seen.role, seen.master, seen.link_up, seen.syncing, seen.offset) == ("slave", f"{NETWORK}.1:6379", True, False, 465)


@pytest.mark.parametrize(
    ("line", "altered", "field", "value"),
    [
        ("master_link_status:up", "master_link_status:down", "link_up", False),
        ("master_sync_in_progress:0", "master_sync_in_progress:1", "syncing", True),
        ("aof_rewrite_in_progress:0", "aof_rewrite_in_progress:1", "rewriting", True),
        ("slave_priority:100", "slave_priority:0", "priority", 0),
        ("loading:0", "loading:1\r\nloading_loaded_perc:40.00", "trouble", Trouble.LOADING),
        ("aof_last_write_status:ok", "aof_last_write_status:err", "persistence", "aof_last_write_status: err"),
    ],
)
def test_what_a_replica_may_say_else(line: str, altered: str, field: str, value: object) -> None:
    assert line in RECORDED["replica"]
    seen = observation.server("redis-1", "a:2", RECORDED["replica"].replace(line, altered))
    assert getattr(seen, field) == value


def test_a_sentinel() -> None:
    seen = observation.sentinel("s0", f"{NETWORK}.101:26379", {**RECORDED["sentinel"], "CKQUORUM": ""})
    assert (seen.master, seen.flags, seen.epoch, seen.quorum, seen.tilt) == (f"{NETWORK}.1:6379", {"master"}, 0, 2, False)
    assert (seen.failover_timeout_ms, seen.parallel_syncs, seen.quorum_error) == (4000, 1, "")
    assert [known.address for known in seen.replicas] == [f"{NETWORK}.2:6379"]
    assert {known.address for known in seen.others} == {f"{NETWORK}.102:26379", f"{NETWORK}.103:26379"}
    assert not any(known.down for known in (*seen.replicas, *seen.others))
    assert seen.busy == ""


def test_a_sentinel_in_a_failover_names_the_new_master() -> None:
    replies = {**RECORDED["sentinel"], "ADDRESS": ["10.0.0.9", "6379"]}
    replies["MASTER"] = ["master,failover_in_progress" if word == "master" else word for word in replies["MASTER"]]
    seen = observation.sentinel("s0", "", replies)
    assert (seen.master, seen.busy) == ("10.0.0.9:6379", "a failover is in progress")


def test_a_sentinel_that_monitors_nothing_and_one_in_tilt() -> None:
    seen = observation.sentinel("s0", "", {**RECORDED["sentinel"], "MASTER": None, "ADDRESS": None, "REPLICAS": None, "SENTINELS": None})
    assert (seen.master, seen.version) == ("", "7.0.15")
    tilted = RECORDED["sentinel"]["INFO"].replace("sentinel_tilt:0", "sentinel_tilt:1")
    assert observation.sentinel("s0", "", {**RECORDED["sentinel"], "INFO": tilted}).busy.startswith("TILT")


def test_replicas_of_a_master_as_it_tells_them() -> None:
    first = "slave0:ip=10.0.0.1,port=6379,state=online,offset=42,lag=1"
    text = f"role:master\r\nconnected_slaves:2\r\n{first}\r\nslave1:ip=10.0.0.2,port=1,state=wait_bgsave\r\n"
    assert observation.server("m", "", text).replicas == (Replica("10.0.0.1:6379", "online", 42, 1), Replica("10.0.0.2:1", "wait_bgsave"))


def test_agreement_is_that_of_a_majority_of_the_wanted_sentinels() -> None:
    five = whole(3, 5)
    assert five.agreed == server_address(0)
    for number in (0, 1):
        five = with_sentinel(five, number, master="")
    assert five.agreed == server_address(0)
    five = with_sentinel(five, 2, master=server_address(1))
    assert five.agreed == ""
    assert five.master is None


def test_what_is_unknown_and_what_is_too_much() -> None:
    seen = with_sentinel(whole(), 0, replicas=(Known(server_address(1)), Known(server_address(9))), others=(Known(sentinel_address(1)),))
    sentinel = seen.sentinels[0]
    assert seen.unknown_to(sentinel) == ("redis-2", "redis-sentinel-2")
    assert [known.address for known in seen.extra_replicas(sentinel)] == [server_address(9)]
    assert seen.extra_sentinels(sentinel) == ()
