# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who becomes master, after what was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from redis_servers import RedisSet
from redis_writer import RedisLedger

from .conftest import decided, evidence, settled


def test_a_new_set_begins_with_the_first_member(make_set: Callable[..., RedisSet]) -> None:
    redis_set = make_set()
    redis_set.start()
    assert redis_set.wait() is redis_set.members[0]
    settled(redis_set)


def test_a_killed_server_is_back_as_master_without_a_failover(redis_set: RedisSet) -> None:
    master = redis_set.wait()
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        pid = master.server_pid
        master.kill_server()
        redis_set.until("it is started again", lambda: master.server_pid, holds=lambda now: now not in (0, pid))
        ledger.more()
        assert redis_set.wait() is master
        assert epoch(redis_set) == 0
        assert ledger.lost() == []


def epoch(redis_set: RedisSet) -> int:
    """How many failovers there have been, as a sentinel counts."""
    return int(redis_set.until("a sentinel answers", lambda: redis_set.sentinel_master(redis_set.sentinels[0]))["config-epoch"])


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
        assert quick_set.wait() is not master
        assert ledger.lost() == []


def test_a_master_that_lost_its_volume_lets_another_one_follow(quick_set: RedisSet) -> None:
    master = quick_set.wait()
    settled(quick_set)
    with RedisLedger(quick_set, wait=1) as ledger:
        ledger.more()
        master.kill()
        master.wipe()
        master.start()  # before the sentinels have noticed anything
        decided(master, "it has no data")
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
        assert epoch(redis_set) > 0
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
        quick_set.until("it serves as replica", lambda: old.info().get("role"), holds=lambda role: role == "slave")
        before = failed_failovers(quick_set)
        quick_set.until("a failover finds nobody", lambda: failed_failovers(quick_set), holds=lambda now: now > before)
        time.sleep(4)  # its patience
        assert quick_set.until("it tells", lambda: evidence(old).get("promotable"), holds=lambda told: told is not None) is False
        assert quick_set.until("it answers", lambda: old.info().get("role")) == "slave"
        quick_set.start(other)
        quick_set.until("the other one is promoted", lambda: other.info().get("role"), holds=lambda role: role == "master")
        quick_set.until("it follows", lambda: old.info().get("master_link_status"), holds=lambda link: link == "up")
        assert ledger.lost() == []


def failed_failovers(redis_set: RedisSet) -> int:
    """How often a sentinel would have promoted a replica, and there was none."""
    logs = (sentinel.directory / "log" for sentinel in redis_set.sentinels)
    return sum(log.read_text(errors="replace").count("-failover-abort-no-good-slave") for log in logs)


def test_without_a_majority_a_member_waits_and_says_so(make_set: Callable[..., RedisSet]) -> None:
    redis_set = make_set(options=["-patience", "1s"])
    alone = redis_set.members[0]
    redis_set.start(alone, redis_set.sentinels[0])
    decided(alone, "only 1 of 3 members answer")
    time.sleep(2)  # longer than its patience
    assert redis_set.until("it tells", lambda: evidence(alone))["phase"] == "waiting"
    assert alone.server_pid == 0
    assert "missing: redis-1, redis-2" in alone.log()
    decided(redis_set.sentinels[0], "its state is lost")
    assert alone.terminate() == 0


def test_data_of_another_set_are_not_thrown_away(redis_set: RedisSet) -> None:
    settled(redis_set)
    stranger = redis_set.replicas()[0]
    stranger.kill()
    path = stranger.data / "evidence.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "set": "0123456789abcdef"}))
    stranger.start()
    decided(stranger, "belong to the set 0123456789abcdef")
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
