# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxies' configuration, as the role redis renders it, before real servers and sentinels: whom it leads to, and whom not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest
import redis
from redis_programs import haproxy, redis_server
from redis_servers import ANSWER_S, RedisProcess, RedisSet
from waiting import PATIENCE

PROJECT = Path(__file__).parents[3]
TEMPLATES = PROJECT / "roles/redis/templates"
BASE = PROJECT / "images/haproxy/base.cfg"
OWN = 201

pytestmark = pytest.mark.skipif(not redis_server() or not haproxy(), reason="no redis-server or haproxy, and no way to fetch them")


class Proxy:
    """HAProxy on an address of its own, beside the set's. patience: seconds for which it holds who connects while there is no master."""

    def __init__(self, redis_set: RedisSet, directory: Path, patience: float = PATIENCE) -> None:
        self.set = redis_set
        self.address = f"{redis_set.network}.{OWN}"
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, keep_trailing_newline=True, autoescape=False
        )
        rendered = environment.get_template("haproxy.cfg.j2").render(
            redis_sentinels=len(redis_set.sentinels),
            redis_master_name=redis_set.master_name,
            redis_proxy_patience_s=patience,
            redis_proxy_check_ms=100,
            __redis_port=6379,
            __redis_sentinel_port=26379,
            __redis_servers=[member.name for member in redis_set.members],
            __redis_sentinels=[sentinel.name for sentinel in redis_set.sentinels],
        )
        base = BASE.read_text(encoding="utf-8")
        # As in a pod of its own: nobody else has these ports.
        for here, there in ((rendered, "redis.cfg"), (base, "base.cfg")):
            own = here.replace("bind :", f"bind {self.address}:").replace("127.0.0.1", self.address)
            (directory / there).write_text(own, encoding="utf-8")
        addresses = {f"ADDRESS_{one.name.replace('-', '_')}": one.address for one in redis_set.everyone}
        self.process = subprocess.Popen(
            [haproxy(), "-db", "-f", str(directory / "base.cfg"), "-f", str(directory / "redis.cfg")],
            env={**os.environ, **addresses, "CHECK_PASSWORD": redis_set.password("check")},
            stderr=(directory / "haproxy.log").open("w"),
        )

    def client(self) -> redis.Redis:
        """A connection by it, once the other end has answered."""
        login = {"username": "app", "password": self.set.password("app")}
        return redis.Redis(self.address, 6379, **login, socket_timeout=2 * PATIENCE, retry=None, single_connection_client=True)

    def asks(self, path: str) -> tuple[int, str]:
        """What it says of itself; 0 while it does not listen."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8404/{path}", timeout=ANSWER_S) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode().strip()
        except OSError:
            return 0, ""

    def master(self) -> str:
        """The server that it leads to; empty for none."""
        status, name = self.asks("ready")
        return name if status == 200 else ""


@pytest.fixture
def redis_set(tmp_path: Path) -> Iterator[RedisSet]:
    """Nobody is failed over unasked."""
    with RedisSet(tmp_path / "set", patient=True) as found:
        found.start()
        found.wait()
        yield found


@pytest.fixture
def start(redis_set: RedisSet, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Start a proxy, which ends with the test."""
    started: list[Proxy] = []

    def begin(**options: float) -> Proxy:
        directory = tmp_path / f"proxy-{len(started)}"
        directory.mkdir()
        started.append(Proxy(redis_set, directory, **options))
        return started[-1]

    yield begin
    for proxy in started:
        proxy.process.kill()
        proxy.process.wait()


@pytest.fixture
def proxy(redis_set: RedisSet, start: Callable[..., Proxy]) -> Proxy:
    """One that leads to the master."""
    found = start()
    leads_to(found, redis_set.leader())
    return found


def leads_to(proxy: Proxy, server: RedisProcess | None) -> None:
    """Wait until it does; None: to nobody."""
    name = server.name if server else ""
    proxy.set.until(f"the proxy leads to {name or 'nobody'}", proxy.master, holds=lambda seen: seen == name)


def behind(client: redis.Redis) -> str:
    """Which server is at the other end."""
    return str(client.info("server")["run_id"])


def test_it_follows_the_master_and_ends_old_connections(redis_set: RedisSet, proxy: Proxy) -> None:
    before = redis_set.leader()
    old = proxy.client()
    assert old.set("x", 1)
    assert proxy.asks("live")[0] == 200
    after = redis_set.failover()
    leads_to(proxy, after)
    with pytest.raises(redis.ConnectionError):  # not an answer, which would be that it is read only
        old.set("x", 2)
    assert behind(proxy.client()) == str(after.info("server")["run_id"]) != str(before.info("server")["run_id"])


def test_who_connects_without_a_master_waits_for_one(redis_set: RedisSet, proxy: Proxy) -> None:
    before = redis_set.leader()
    before.kill()
    leads_to(proxy, None)
    assert proxy.asks("ready")[0] == 503
    assert proxy.asks("live")[0] == 200
    written: list[object] = []
    waiting = threading.Thread(target=lambda: written.append(proxy.client().set("x", 1)), daemon=True)
    waiting.start()
    time.sleep(1)
    assert waiting.is_alive(), "it is held"
    after = redis_set.failover(before)
    waiting.join(PATIENCE)
    assert written == [True]
    leads_to(proxy, after)


def test_who_waits_too_long_is_sent_away(redis_set: RedisSet, start: Callable[..., Proxy]) -> None:
    proxy = start(patience=3)
    leads_to(proxy, redis_set.leader())
    redis_set.kill()
    leads_to(proxy, None)
    began = time.monotonic()
    with pytest.raises(redis.ConnectionError):  # not a time-out, which would be the client's
        proxy.client().ping()
    assert time.monotonic() - began > 3 * 0.8


def test_nobody_is_led_to_a_master_without_a_majority_of_the_sentinels(redis_set: RedisSet, proxy: Proxy) -> None:
    """It says that it is the master, and may have been replaced on the other side of a network that is cut."""
    redis_set.kill(*redis_set.sentinels[1:])
    leads_to(proxy, None)
    redis_set.start(*redis_set.sentinels[1:])
    leads_to(proxy, redis_set.members[0])


def test_nobody_is_led_to_who_promoted_himself(redis_set: RedisSet, proxy: Proxy) -> None:
    master = redis_set.leader()
    impostor = redis_set.replicas()[0]

    def promote(one: RedisProcess) -> None:
        with contextlib.suppress(redis.RedisError):
            one.ask("REPLICAOF", "NO", "ONE")

    seen = set()
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        promote(impostor)
        seen.add(proxy.master())
        time.sleep(0.05)
    assert impostor.name not in seen
    leads_to(proxy, master)


@pytest.mark.parametrize("dead", [0, 2], ids=["all answer", "two sentinels are dead"])
def test_at_its_start_it_leads_to_nobody_else(redis_set: RedisSet, start: Callable[..., Proxy], dead: int) -> None:
    """HAProxy takes servers for up that it has not asked yet: who is none would get clients for longer than a moment."""
    master = redis_set.leader()
    if dead:  # none given would be all
        redis_set.kill(*redis_set.sentinels[:dead])
    proxy = start()
    redis_set.until(
        "it has asked about each server", lambda: asked(proxy), holds=lambda number: number == len(redis_set.members), pause=0.005
    )
    seen = set()
    ends = time.monotonic() + 4
    while time.monotonic() < ends:
        seen.add(proxy.master())
        time.sleep(0.01)
    assert seen <= ({""} if dead else {"", master.name}), proxy.asks("ready")
    leads_to(proxy, None if dead else master)


def asked(proxy: Proxy) -> int:
    """About how many servers it has made up its mind."""
    return proxy.asks("metrics")[1].count('haproxy_server_check_duration_seconds{proxy="master"')
