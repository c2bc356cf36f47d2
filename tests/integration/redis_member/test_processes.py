# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the program ends, what it gives away, and who may do what."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError
from redis.sentinel import Sentinel
from redis_programs import redis_member
from redis_servers import USERS, RedisProcess, RedisSet
from redis_writer import RedisLedger
from waiting import PATIENCE


def probe(command: str, process: RedisProcess) -> subprocess.CompletedProcess[str]:
    port = str(process.port + 1)
    return subprocess.run(
        [redis_member(), command, "-address", process.address, "-port", port], capture_output=True, text=True, check=False
    )


def passes(command: str, process: RedisProcess) -> None:
    """Wait until it does."""
    process.owner.until(f"{process.name} is {command}", lambda: probe(command, process), holds=lambda ended: ended.returncode == 0)


def priorities(redis_set: RedisSet) -> list[str]:
    """Of the replicas, as all sentinels know them."""
    known = [sentinel.ask("SENTINEL", "REPLICAS", redis_set.master_name) for sentinel in redis_set.sentinels]
    return [dict(zip(words[::2], words[1::2], strict=True))["slave-priority"] for replicas in known for words in replicas]


def test_a_master_that_ends_hands_over(make_set: Callable[..., RedisSet]) -> None:
    redis_set = make_set(patient=True, options=["-handover", f"{PATIENCE / 2:.0f}s"])
    redis_set.start()
    master = redis_set.wait()
    redis_set.until("the sentinels may choose any replica", lambda: priorities(redis_set), holds=lambda seen: seen == ["100"] * 6)
    with RedisLedger(redis_set) as ledger:
        ledger.more()
        assert master.terminate() == 0
        assert "follows as master" in master.log()
        ledger.more()
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


def test_a_replica_that_writes_its_first_file_ends_when_it_has(make_set: Callable[..., RedisSet]) -> None:
    """Until then redis-server refuses to end, and forgets that it was told to."""
    redis_set = make_set(
        settings=["rdb-key-save-delay 30000"], options=["-patience", "2s"], patient=True
    )  # microseconds: 100 keys take 3 s
    new = redis_set.members[2]
    redis_set.start(*(process for process in redis_set.everyone if process is not new))
    with redis_set.leader().client() as client:
        for number in range(100):
            redis_set.until("the master takes writes", lambda number=number: client.set(f"key-{number}", "value"))
    new.start()
    redis_set.until("it writes its first file", lambda: new.info("persistence").get("aof_rewrite_in_progress"), pause=0.02)
    assert new.terminate() == 0
    assert "Writing initial AOF, can't exit" in (new.directory / "log").read_text()


def test_a_sentinel_that_starts_again_has_forgotten_whom_it_was_to_forget(redis_set: RedisSet) -> None:
    """Its pod may be older than that, and list them still."""
    sentinel, gone, stays = redis_set.sentinels[0], *redis_set.replicas()

    def known() -> set[str]:
        replicas = sentinel.ask("SENTINEL", "REPLICAS", redis_set.master_name)
        return {dict(zip(words[::2], words[1::2], strict=True))["ip"] for words in replicas}

    def others() -> int:
        return len(sentinel.ask("SENTINEL", "SENTINELS", redis_set.master_name))

    gone.kill()
    master = redis_set.master()
    redis_set.until("the master knows that it is gone", lambda: master.info()["connected_slaves"] == 1)
    sentinel.ask("SENTINEL", "RESET", redis_set.master_name)
    redis_set.until("it knows the rest anew", lambda: (known(), others()), holds=lambda seen: seen == ({stays.address}, 2))
    before = sentinel.server_pid
    sentinel.kill_server()
    redis_set.until("it runs again", lambda: sentinel.server_pid != before and sentinel.ask("PING"))
    assert (known(), others()) == ({stays.address}, 2)


def test_probes(redis_set: RedisSet, make_set: Callable[..., RedisSet]) -> None:
    for process in redis_set.everyone:
        passes("live", process)
        passes("ready", process)
    master, replica = redis_set.wait(), redis_set.replicas()[0]
    master.freeze()
    assert probe("live", master).returncode == 1
    master.kill()
    redis_set.until("a replica without a master is not ready", lambda: probe("ready", replica), holds=lambda said: "link" in said.stderr)
    passes("live", replica)
    alone = make_set()
    alone.start(alone.members[0], alone.sentinels[0])
    for process in (alone.members[0], alone.sentinels[0]):
        passes("live", process)  # one that waits
        said = probe("ready", process)
        assert said.returncode == 1
        assert "waiting: " in said.stderr


def test_no_password_is_in_an_argument_or_the_environment(kept_set: RedisSet) -> None:
    passwords = [kept_set.password(user).encode() for user in USERS]
    for process in kept_set.everyone:
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


def test_users_may_do_what_they_need(kept_set: RedisSet) -> None:
    master = kept_set.wait()
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
    with pytest.raises(redis.AuthenticationError), redis.Redis(master.address, master.port, retry=None) as nobody:
        nobody.ping()


def test_an_application_that_knows_sentinels_finds_the_master(kept_set: RedisSet) -> None:
    login = {"username": "app", "password": kept_set.password("app")}
    addresses = [(sentinel.address, sentinel.port) for sentinel in kept_set.sentinels]
    client = Sentinel(addresses, sentinel_kwargs=login, **login).master_for("redis")
    assert client.set("key", "value")
    with kept_set.sentinels[0].client("app") as app:
        for words in (("PUBLISH", "__sentinel__:hello", "forged"), ("SENTINEL", "FAILOVER", "redis"), ("SENTINEL", "CONFIG", "GET", "*")):
            with pytest.raises(NoPermissionError):
                app.execute_command(*words)
    with kept_set.sentinels[0].client("check") as check:
        assert check.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "redis")[0] == kept_set.wait().address
