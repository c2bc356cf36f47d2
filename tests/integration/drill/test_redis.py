# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills on real Redis servers and sentinels: what is written, read back and removed, and that a loss is seen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis_servers import RedisSet

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.redis import PLAIN, WAIT, RedisRoute, RedisStore
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.run import Drill, Settings
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Refused, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Request, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import switchover


@pytest.fixture
def redis_set(tmp_path: Path) -> Iterator[RedisSet]:
    with RedisSet(tmp_path, replicas=3, sentinels=3) as made:
        made.start()
        made.wait()
        yield made


def dial(redis_set: RedisSet, timeout: float) -> socket.socket:
    """What HAProxy does: to the master that most sentinels name, if it is one."""
    try:
        master = redis_set.master()
    except LookupError as error:
        raise ConnectionRefusedError(str(error)) from error
    return socket.create_connection((master.address, master.port), timeout)


@dataclass
class Place:
    """Processes in place of pods: a killed one comes back after a second."""

    redis_set: RedisSet

    def node(self, pod: str) -> str:
        return f"node of {pod}"

    def proxy(self, daemon_set: str, avoided: str, preferred: Sequence[str]) -> str:
        return "proxy"

    def dial(self, pod: str, port: int) -> Any:
        return lambda timeout: dial(self.redis_set, timeout)

    def delete(self, pods: Sequence[str]) -> None:
        raise NotImplementedError

    def kill(self, pod: str, port: int, processes: Sequence[str]) -> None:
        found = next(member for member in self.redis_set.members if member.name == pod)
        found.kill()
        threading.Timer(3.0, found.start).start()


@pytest.fixture
def drill(redis_set: RedisSet) -> Iterator[Drill]:
    names = tuple(f"{member.address}:{member.port}" for member in redis_set.members)
    sentinels = tuple(f"{member.address}:{member.port}" for member in redis_set.sentinels)
    with reach(Request(names, sentinels, "", "redis"), Credentials("admin", redis_set.password("admin"))) as fleet:
        app = Credentials("app", redis_set.password("app"))
        store = RedisStore(names, app, lambda: redis_set.master().name, lambda: switchover(fleet).new)
        settings = Settings("proxies", 6379, before=1.0, stable=2.0, recovery=30.0)
        yield Drill(store, Place(redis_set), settings, lambda when: redis_set.until(redis_set.whole, when), print)  # type: ignore[func-returns-value]


def keys(redis_set: RedisSet) -> list[str]:
    with redis_set.master().client() as client:
        return list(client.scan_iter("stackgate:drill:*"))


def test_the_masters_process_is_killed(drill: Drill, redis_set: RedisSet) -> None:
    before = redis_set.master().name
    found = drill.run("process", 1)
    assert found["recovered"]
    assert redis_set.master().name != before
    for series in found["series"]:
        assert series["acknowledged"] > 50
        assert 0.5 < series["seconds"] < 10
        assert series["later"] < 2
        assert series["refused"] + series["unknown"] > 0
    assert next(series for series in found["series"] if series["series"] == WAIT)["lost"] == 0
    assert keys(redis_set) == []


def test_a_planned_switchover(drill: Drill, redis_set: RedisSet) -> None:
    before = redis_set.master().name
    found = drill.run("switchover", 1)
    assert redis_set.master().name != before
    assert [series["lost"] for series in found["series"]] == [0, 0]
    assert all(series["seconds"] < 3 for series in found["series"])


@pytest.fixture
def route(redis_set: RedisSet) -> RedisRoute:
    made = RedisRoute(lambda timeout: dial(redis_set, timeout), Credentials("app", redis_set.password("app")))
    made.prepare()
    return made


@pytest.mark.parametrize("series", [PLAIN, WAIT])
def test_what_is_removed_behind_its_back_is_missed(route: RedisRoute, redis_set: RedisSet, series: str) -> None:
    client = route.connect(series)
    for sequence in range(1, 9):
        client.write(sequence)
    assert route.present(series, range(1, 11)) == set(range(1, 9))
    log = f"stackgate:drill:{route._run}:{series}"
    with redis_set.master().client() as master:
        master.lrem(log, 1, "3")
        master.delete(f"{log}:4")
        master.set(f"{log}:6", "another value")
        assert 0 < master.ttl(f"{log}:8") <= 86400
        assert 0 < master.ttl(log) <= 86400
    assert route.present(series, range(1, 11)) == {1, 2, 5, 7, 8}
    client.close()
    route.clean()
    assert keys(redis_set) == []


def test_a_write_that_no_replica_confirms_is_unknown(route: RedisRoute, redis_set: RedisSet) -> None:
    client, plain = route.connect(WAIT), route.connect(PLAIN)
    for replica in redis_set.replicas():
        replica.freeze()
    with pytest.raises(Unanswered, match="no replica has confirmed it"):
        client.write(2)
    plain.write(2)  # the master does not know yet
    for member in redis_set.members:
        member.thaw()
    assert route.present(WAIT, [2]) == {2}


def test_a_refusal_is_one(route: RedisRoute, redis_set: RedisSet) -> None:
    client = route.connect(WAIT)
    with redis_set.master().client() as master:
        master.config_set("min-replicas-to-write", 9)
        with pytest.raises(Refused, match="NOREPLICAS"):
            client.write(2)
        master.config_set("min-replicas-to-write", 1)
    client.write(4)
    assert route.present(WAIT, [2, 4]) == {4}


def test_a_wrong_password_is_no_connection(redis_set: RedisSet) -> None:
    wrong = RedisRoute(lambda timeout: dial(redis_set, timeout), Credentials("app", "nonsense"))
    with pytest.raises(Refused, match="no connection: WRONGPASS"):
        wrong.connect(PLAIN)
