# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills on real Redis servers and sentinels: what is written, read back and removed, and that a loss is seen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis_servers import RedisProcess, RedisSet
from waiting import PATIENCE

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.redis import PLAIN, WAIT, RedisRoute, RedisStore
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.run import Drill, Settings
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Refused, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Request, reach


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSet]:
    """For all tests of this file. The master goes on for a while without replicas, so that a write without them can be tried."""
    with RedisSet(tmp_path_factory.mktemp("drill") / "set", patient=True, settings=["min-replicas-max-lag 3600"]) as made:
        made.start()
        yield made


@pytest.fixture
def redis_set(kept: RedisSet) -> RedisSet:
    """The same, whole."""
    kept.wait()
    return kept


def dial(redis_set: RedisSet, timeout: float) -> socket.socket:
    """What HAProxy does: to the master that most sentinels name, if it is one."""
    try:
        master = redis_set.master()
    except LookupError as error:
        raise ConnectionRefusedError(str(error)) from error
    return socket.create_connection((master.address, master.port), timeout)


@dataclass
class Place:
    """Processes in place of pods: a killed one comes back when another one is the master."""

    redis_set: RedisSet
    returning: list[threading.Thread] = field(default_factory=list)

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

        def come_back(process: RedisProcess = found) -> None:
            try:
                self.redis_set.failover(process)
            finally:
                process.start()

        self.returning.append(threading.Thread(target=come_back))
        self.returning[-1].start()


@pytest.fixture
def drill(redis_set: RedisSet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    monkeypatch.setattr(switchover, "PROMOTION", PATIENCE / 2)
    monkeypatch.setattr(switchover, "PAUSE", PATIENCE)
    names = tuple(f"{member.address}:{member.port}" for member in redis_set.members)
    sentinels = tuple(f"{member.address}:{member.port}" for member in redis_set.sentinels)
    with reach(Request(names, sentinels, "", "redis"), Credentials("admin", redis_set.password("admin"))) as fleet:
        app = Credentials("app", redis_set.password("app"))
        store = RedisStore(names, app, lambda: redis_set.leader().name, lambda: switchover.switchover(fleet).new)
        settings = Settings("proxies", 6379, before=1.0, stable=2.0, recovery=PATIENCE)
        place = Place(redis_set)
        yield Drill(store, place, settings, lambda when: redis_set.until(when, redis_set.whole), print)
        for thread in place.returning:
            thread.join()


def keys(redis_set: RedisSet) -> list[str]:
    with redis_set.leader().client() as client:
        return list(client.scan_iter("stackgate:drill:*"))


def test_the_masters_process_is_killed(drill: Drill, redis_set: RedisSet) -> None:
    before = redis_set.leader()
    found = drill.run("process", 1)
    assert found["recovered"]
    assert redis_set.leader() is not before
    for series in found["series"]:
        assert series["acknowledged"] > 10
        assert series["seconds"] > 0
        assert series["refused"] + series["unknown"] > 0
    assert next(series for series in found["series"] if series["series"] == WAIT)["lost"] == 0
    assert keys(redis_set) == []


def test_a_planned_switchover(drill: Drill, redis_set: RedisSet) -> None:
    before = redis_set.leader()
    found = drill.run("switchover", 1)
    assert found["recovered"]
    assert redis_set.leader() is not before
    assert [series["lost"] for series in found["series"]] == [0, 0]


@pytest.fixture
def route(redis_set: RedisSet) -> Iterator[RedisRoute]:
    made = RedisRoute(lambda timeout: dial(redis_set, timeout), Credentials("app", redis_set.password("app")))
    made.prepare()
    yield made
    made.clean()


@pytest.mark.parametrize("series", [PLAIN, WAIT])
def test_what_is_removed_behind_its_back_is_missed(route: RedisRoute, redis_set: RedisSet, series: str) -> None:
    client = route.connect(series)
    for sequence in range(1, 9):
        client.write(sequence)
    assert route.present(series, range(1, 11)) == set(range(1, 9))
    log = f"stackgate:drill:{route._run}:{series}"
    with redis_set.leader().client() as master:
        master.lrem(log, 1, "3")
        master.delete(f"{log}:4")
        master.set(f"{log}:5", "another value")
        assert 0 < master.ttl(f"{log}:8") <= 86400
        assert 0 < master.ttl(log) <= 86400
    assert route.present(series, range(1, 11)) == {1, 2, 6, 7, 8}
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
    with redis_set.leader().client() as master:
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
