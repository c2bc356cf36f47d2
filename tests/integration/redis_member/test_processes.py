# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the program ends, what it gives away, and who may do what."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError
from redis.sentinel import Sentinel
from redis_programs import redis_member
from redis_servers import USERS, RedisProcess, RedisSet
from redis_writer import RedisLedger


def probe(command: str, process: RedisProcess) -> subprocess.CompletedProcess[str]:
    port = str(process.port + 1)
    return subprocess.run(
        [redis_member(), command, "-address", process.address, "-port", port], capture_output=True, text=True, check=False
    )


def test_a_master_that_ends_hands_over(redis_set: RedisSet) -> None:
    master = redis_set.wait()
    time.sleep(1.5)  # until the sentinels know the replicas' priorities
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        ordered = time.monotonic()
        assert master.terminate() == 0
        assert "follows as master" in master.log()
        ledger.more()
        assert ledger.gap(ordered) < 4
        master.start()
        assert redis_set.wait() is not master
        assert ledger.lost() == []


def test_all_end_orderly_and_come_back(redis_set: RedisSet) -> None:
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        for process in redis_set.everyone:
            os.kill(process.pid, signal.SIGTERM)
        assert [process.wait() for process in redis_set.everyone] == [0] * 6
        redis_set.start()
        redis_set.wait()
        assert ledger.lost() == []


def test_probes(redis_set: RedisSet, make_set: Callable[..., RedisSet]) -> None:
    for process in redis_set.everyone:
        assert probe("live", process).returncode == 0
        redis_set.until(lambda process=process: probe("ready", process).returncode == 0, f"{process.name} is ready")
    master, replica = redis_set.wait(), redis_set.replicas()[0]
    master.freeze()
    assert probe("live", master).returncode == 1
    master.kill()
    redis_set.until(
        lambda: "link" in probe("ready", replica).stderr or redis_set.master() is replica, "a replica without a master is not ready"
    )
    assert probe("live", replica).returncode == 0
    alone = make_set()
    alone.start(alone.members[0], alone.sentinels[0])
    for process in (alone.members[0], alone.sentinels[0]):
        alone.until(lambda process=process: probe("live", process).returncode == 0, "one that waits is alive")
        said = probe("ready", process)
        assert said.returncode == 1
        assert "waiting: " in said.stderr


def test_no_password_is_in_an_argument_or_the_environment(redis_set: RedisSet) -> None:
    passwords = [redis_set.password(user).encode() for user in USERS]
    for process in redis_set.everyone:
        for pid in (process.pid, process.server_pid):
            given = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
            assert not any(password in given for password in passwords)
        assert not any(password.decode() in (process.directory / "log").read_text() for password in passwords)
        for path in (path for path in (*process.data.rglob("*"), *process.run.rglob("*")) if path.is_file()):
            if any(password in path.read_bytes() for password in passwords):
                assert path.stat().st_mode & 0o077 == 0


def test_a_server_that_cannot_start_ends_the_program(make_set: Callable[..., RedisSet]) -> None:
    broken = make_set(replicas=1, sentinels=0, settings=["no-such-setting yes"])
    broken.start()
    assert broken.members[0].wait() == 75
    assert "ended 5 times" in broken.members[0].log()
    (broken.users / "app").write_text("\n")
    broken.start()
    assert broken.members[0].wait() == 78
    assert "the password of the user app" in broken.members[0].log()


def test_users_may_do_what_they_need(redis_set: RedisSet) -> None:
    master = redis_set.wait()
    with master.client("app") as app, app.pubsub() as listener:
        listener.psubscribe("*")
        app.set("key", "value")
        assert app.get("key") == "value"
        assert app.eval("return redis.call('INCR', 'number')", 0) == 1
        assert app.publish("/1.celery.pidbox", "hello") == 1
        for channel in ("__sentinel__:hello", "__stackgate"):
            with pytest.raises(NoPermissionError):
                app.publish(channel, "forged")
        for words in (("REPLICAOF", "NO", "ONE"), ("CONFIG", "GET", "masterauth"), ("SHUTDOWN",), ("ACL", "LIST")):
            with pytest.raises(NoPermissionError):
                app.execute_command(*words)
    with master.client("check") as check:
        assert check.execute_command("ROLE")[0] == "master"
        with pytest.raises(NoPermissionError):
            check.get("key")
    with master.client("exporter") as exporter:
        assert exporter.info()["role"] == "master"
        with pytest.raises(NoPermissionError):
            exporter.execute_command("CONFIG", "GET", "*")
    with pytest.raises(redis.AuthenticationError), redis.Redis(master.address, master.port) as nobody:
        nobody.ping()


def test_an_application_that_knows_sentinels_finds_the_master(redis_set: RedisSet) -> None:
    login = {"username": "app", "password": redis_set.password("app")}
    addresses = [(sentinel.address, sentinel.port) for sentinel in redis_set.sentinels]
    client = Sentinel(addresses, sentinel_kwargs=login, **login).master_for("redis")
    assert client.set("key", "value")
    with redis_set.sentinels[0].client("app") as app:
        for words in (("PUBLISH", "__sentinel__:hello", "forged"), ("SENTINEL", "FAILOVER", "redis"), ("SENTINEL", "CONFIG", "GET", "*")):
            with pytest.raises(NoPermissionError):
                app.execute_command(*words)
    with redis_set.sentinels[0].client("check") as check:
        assert check.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "redis")[0] == redis_set.wait().address
