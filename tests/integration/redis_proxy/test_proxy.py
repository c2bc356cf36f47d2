# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxies' configuration, as the role redis renders it, before real servers and sentinels: whom it leads to, and whom not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
import redis
from redis_programs import haproxy, redis_server
from redis_servers import RedisProcess, RedisSet

PROJECT = Path(__file__).parents[3]
TEMPLATES = PROJECT / "roles/redis/templates"
BASE = PROJECT / "images/haproxy/base.cfg"
PATIENCE_S = 10
OWN = 201

pytestmark = pytest.mark.skipif(not redis_server() or not haproxy(), reason="no redis-server or haproxy, and no way to fetch them")


class Proxy:
    """HAProxy on an address of its own, beside the set's."""

    def __init__(self, redis_set: RedisSet, directory: Path) -> None:
        self.set = redis_set
        self.address = f"{redis_set.network}.{OWN}"
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, keep_trailing_newline=True, autoescape=False
        )
        rendered = environment.get_template("haproxy.cfg.j2").render(
            redis_sentinels=len(redis_set.sentinels),
            redis_master_name=redis_set.master_name,
            redis_proxy_patience_s=PATIENCE_S,
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

    def client(self, timeout: float = PATIENCE_S + 5) -> redis.Redis:
        password = self.set.password("app")
        return redis.Redis(
            self.address, 6379, username="app", password=password, socket_timeout=timeout, retry=None, single_connection_client=True
        )

    def asks(self, path: str) -> tuple[int, str]:
        """What it says of itself; 0 while it does not listen."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8404/{path}", timeout=5) as answer:
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
    with RedisSet(tmp_path / "set") as found:
        found.start()
        found.wait(60)
        yield found


@pytest.fixture
def proxy(redis_set: RedisSet, tmp_path: Path) -> Iterator[Proxy]:
    found = Proxy(redis_set, tmp_path)
    try:
        redis_set.until(lambda: found.master() == redis_set.master().name, "the proxy leads to the master")
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def behind(client: redis.Redis) -> str:
    """Which server is at the other end."""
    return str(client.info("server")["run_id"])


def test_it_follows_the_master_and_ends_old_connections(redis_set: RedisSet, proxy: Proxy) -> None:
    before = redis_set.master()
    old = proxy.client()
    assert old.set("x", 1)
    assert proxy.asks("live")[0] == 200
    after = redis_set.failover()
    redis_set.until(lambda: proxy.master() == after.name, "the proxy leads to the new master")
    with pytest.raises(redis.RedisError):
        old.set("x", 2)
    assert behind(proxy.client()) == str(after.info("server")["run_id"]) != str(before.info("server")["run_id"])


def test_who_connects_without_a_master_waits_for_one(redis_set: RedisSet, proxy: Proxy) -> None:
    redis_set.master().kill()
    redis_set.until(lambda: not proxy.master(), "there is no master")
    assert proxy.asks("ready")[0] == 503
    assert proxy.asks("live")[0] == 200
    began = time.monotonic()
    client = proxy.client()
    assert client.set("x", 1)
    print(f"held for {time.monotonic() - began:.1f} s")
    assert proxy.master() == redis_set.master().name


def test_who_waits_too_long_is_sent_away(redis_set: RedisSet, proxy: Proxy) -> None:
    redis_set.kill()
    redis_set.until(lambda: not proxy.master(), "there is no master")
    began = time.monotonic()
    with pytest.raises(redis.RedisError):
        proxy.client().ping()
    assert PATIENCE_S * 0.8 < time.monotonic() - began < PATIENCE_S * 1.4


def test_nobody_is_led_to_a_master_without_a_majority_of_the_sentinels(redis_set: RedisSet, proxy: Proxy) -> None:
    """It says that it is the master, and may have been replaced on the other side of a network that is cut."""
    redis_set.kill(*redis_set.sentinels[1:])
    redis_set.until(lambda: not proxy.master(), "the proxy leads nowhere")
    redis_set.start(*redis_set.sentinels[1:])
    redis_set.until(lambda: proxy.master() == redis_set.members[0].name, "it does again")


def test_nobody_is_led_to_who_promoted_himself(redis_set: RedisSet, proxy: Proxy) -> None:
    master = redis_set.master()
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
    assert seen == {master.name}


@pytest.mark.parametrize("dead", [0, 2], ids=["all answer", "two sentinels are dead"])
def test_at_its_start_it_leads_to_nobody_else(redis_set: RedisSet, proxy: Proxy, tmp_path: Path, dead: int) -> None:
    """HAProxy takes servers for up that it has not asked yet: who is none would get clients for longer than a moment."""
    proxy.process.kill()
    proxy.process.wait()
    master = redis_set.master().name
    if dead:  # none given would be all
        redis_set.kill(*redis_set.sentinels[:dead])
    (tmp_path / "again").mkdir()
    began = Proxy(redis_set, tmp_path / "again")
    try:
        redis_set.until(lambda: began.asks("live")[0] == 200, "it listens")
        time.sleep(0.15)
        seen = set()
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            seen.add(began.master())
            time.sleep(0.005)
        assert seen <= ({""} if dead else {"", master}), began.asks("ready")
        assert dead or began.master() == master, began.asks("ready")
    finally:
        began.process.kill()
        began.process.wait()
