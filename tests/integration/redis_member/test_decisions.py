# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who becomes master, after what was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from redis_servers import RedisSet
from redis_writer import RedisLedger

from .conftest import evidence, settled


def test_a_new_set_begins_with_the_first_member(make_set: Callable[..., RedisSet]) -> None:
    redis_set = make_set()
    redis_set.start()
    assert redis_set.wait() is redis_set.members[0]
    settled(redis_set)


def test_a_killed_server_is_back_as_master_without_a_failover(redis_set: RedisSet) -> None:
    master = redis_set.wait()
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        killed, pid = time.monotonic(), master.server_pid
        master.kill_server()
        redis_set.until(lambda: master.server_pid not in (0, pid), "it is started again")
        ledger.more()
        assert redis_set.wait() is master
        assert redis_set.sentinel_master(redis_set.sentinels[0])["config-epoch"] == "0"
        assert ledger.gap(killed) < 3
        assert ledger.lost() == []


def test_a_killed_sentinel_comes_back_with_what_it_knew(redis_set: RedisSet) -> None:
    ids = [sentinel.ask("SENTINEL", "MYID") for sentinel in redis_set.sentinels]
    redis_set.sentinels[0].kill_server()
    redis_set.sentinels[1].kill()
    redis_set.sentinels[1].wipe()  # this one loses its volume as well
    redis_set.start()
    redis_set.wait()
    assert [sentinel.ask("SENTINEL", "MYID") for sentinel in redis_set.sentinels] == ids


def test_a_dead_master_comes_back_as_replica(quick_set: RedisSet) -> None:
    master = quick_set.wait()
    settled(quick_set)
    with RedisLedger(quick_set, wait=1) as ledger:
        ledger.more()
        master.kill()
        ledger.more()
        master.start()
        assert quick_set.wait(10) is not master
        assert ledger.lost() == []


def test_a_master_that_lost_its_volume_lets_another_one_follow(quick_set: RedisSet) -> None:
    master = quick_set.wait()
    settled(quick_set)
    with RedisLedger(quick_set, wait=1) as ledger:
        ledger.more()
        master.kill()
        master.wipe()
        master.start()  # before the sentinels have noticed anything
        quick_set.until(lambda: "it has no data" in evidence(master).get("decision", ""), "it waits")
        ledger.more()
        assert quick_set.wait() is not master
        assert ledger.lost() == []


def test_all_are_killed_and_the_master_loses_its_volume(quick_set: RedisSet) -> None:
    master = quick_set.wait()
    settled(quick_set)
    with RedisLedger(quick_set, wait=2) as ledger:
        ledger.more()
        quick_set.kill()
        master.wipe()
        quick_set.start()
        assert quick_set.wait() is not master
        assert ledger.lost() == []


def test_all_are_killed_and_the_sentinels_lose_their_volumes(redis_set: RedisSet) -> None:
    """The members decide alone: the last master has all that was acknowledged."""
    redis_set.wait()
    settled(redis_set)
    redis_set.failover()  # so that the master is not the first member
    master = redis_set.wait()
    settled(redis_set)
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        redis_set.kill()
        for sentinel in redis_set.sentinels:
            sentinel.wipe()
        redis_set.start()
        assert redis_set.wait() is master
        assert redis_set.sentinel_master(redis_set.sentinels[0])["config-epoch"] != "0"
        assert ledger.lost() == []


def test_a_replica_with_old_data_is_not_promoted(quick_set: RedisSet) -> None:
    master = quick_set.wait()
    settled(quick_set)
    old, other = quick_set.replicas()
    with RedisLedger(quick_set, wait=1) as ledger:
        old.kill()
        ledger.more()
        quick_set.kill(master, other)  # the master is lost for good
        quick_set.start(old)
        quick_set.until(lambda: old.info().get("role") == "slave", "it serves as replica")
        time.sleep(6)  # longer than its patience and a failover
        assert old.info()["role"] == "slave"
        assert not evidence(old)["promotable"]
        quick_set.start(other)
        quick_set.until(lambda: other.info().get("role") == "master", "the other one is promoted")
        quick_set.until(lambda: old.info().get("master_link_status") == "up", "it follows")
        assert ledger.lost() == []


def test_without_a_majority_a_member_waits_and_says_so(make_set: Callable[..., RedisSet]) -> None:
    redis_set = make_set(options=["-patience", "1s"])
    alone = redis_set.members[0]
    redis_set.start(alone, redis_set.sentinels[0])
    redis_set.until(lambda: "only 1 of 3 members answer" in evidence(alone).get("decision", ""), "it says so")
    time.sleep(2)
    assert evidence(alone)["phase"] == "waiting"
    assert alone.server_pid == 0
    assert "missing: redis-1, redis-2" in alone.log()
    assert "its state is lost" in evidence(redis_set.sentinels[0])["decision"]
    assert alone.terminate(5) == 0


def test_data_of_another_set_are_not_thrown_away(redis_set: RedisSet) -> None:
    settled(redis_set)
    stranger = redis_set.replicas()[0]
    stranger.kill()
    path = stranger.data / "evidence.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "set": "0123456789abcdef"}))
    stranger.start()
    redis_set.until(lambda: "belong to the set 0123456789abcdef" in evidence(stranger).get("decision", ""), "it refuses")
    stranger.kill()
    stranger.wipe()
    stranger.start()
    redis_set.wait()


def test_a_single_server_with_data_becomes_a_set(make_set: Callable[..., RedisSet]) -> None:
    """The volume of an instance that had one server, without any evidence."""
    single = make_set(replicas=1, sentinels=0)
    single.start()
    single.wait()
    single.members[0].ask("SET", "kept", "yes")
    assert single.members[0].terminate() == 0
    redis_set = make_set()
    (single.members[0].data / "evidence.json").unlink()
    single.members[0].data.rename(redis_set.members[1].data / "appendonlydir-of-single")
    (redis_set.members[1].data / "appendonlydir-of-single" / "appendonlydir").rename(redis_set.members[1].data / "appendonlydir")
    redis_set.start()
    assert redis_set.wait() is redis_set.members[1]
    assert redis_set.members[2].ask("GET", "kept") == "yes"
