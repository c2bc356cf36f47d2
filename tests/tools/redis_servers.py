# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis servers and sentinels as processes of this machine, for tests.

    with RedisSet(tmp_path, replicas=3, sentinels=3) as redis_set:
        redis_set.start()
        redis_set.wait()
        redis_set.master().kill()

Every process has a loopback address of its own and the usual port, as pods have. They are started plainly (`program=""`: the first
member is the master, every user has all rights), or by redis-member, as in a pod. Leaving the context ends them all.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis_programs import redis_server
from waiting import PATIENCE, until

SERVER_PORT, SENTINEL_PORT = 6379, 26379
USERS = ("admin", "app", "check", "exporter", "replication", "sentinel")
PR_SET_PDEATHSIG = 1
# Seconds that an answer may take: to a look, which is repeated, and to a command.
LOOK_S, ANSWER_S = 2.0, 30.0
# Shorter than in a cluster, so that tests are quick; a busy machine may stand still for a second.
DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS = 1500, 4000
# For sets that nobody is to fail over unasked, however busy the machine is.
PATIENT_DOWN_AFTER_MS, PATIENT_FAILOVER_TIMEOUT_MS = 30_000, 20_000


class RedisProcess:
    """One server or sentinel (by its port), or the program that supervises it: in `program` mode kill() is the death of the pod."""

    def __init__(self, owner: RedisSet, name: str, address: str, port: int) -> None:
        self.owner, self.name, self.address, self.port = owner, name, address, port
        self.directory = owner.directory / name
        self.data = self.directory / "data"
        self.run = self.directory / "run"
        self._process: subprocess.Popen[bytes] | None = None
        for path in (self.data, self.run):
            path.mkdir(parents=True)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started. Raises LookupError when none was."""
        if self._process is None:
            raise LookupError(f"{self.name} was never started")
        return self._process.pid

    @property
    def server_pid(self) -> int:
        """Of redis-server itself; 0 when redis-member does not run it."""
        if not self.owner.program:
            return self.pid
        with contextlib.suppress(OSError):
            tasks = list(Path(f"/proc/{self.pid}/task").iterdir())
            children = [child for task in tasks for child in (task / "children").read_text().split()]
            return int(children[0]) if children else 0
        return 0

    def start(self) -> None:
        """Start it; does not wait."""
        assert not self.running, f"{self.name} is running already"
        command = self.owner.command_line(self)
        # A process dies with the thread that started it, which only the main thread outlives.
        die_with_us = _die_with_parent if threading.current_thread() is threading.main_thread() else None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_us)

    def kill(self) -> None:
        """kill -9, frozen or not, of all its processes; what its run directory held is gone, as with a pod."""
        self.owner.kill(self)

    def kill_server(self) -> None:
        """kill -9 of redis-server alone."""
        os.kill(self.server_pid, signal.SIGKILL)

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code, when it has ended. Raises AssertionError with its log after timeout seconds."""
        process = self._process
        assert process is not None
        code: int = until(f"{self.name} ends", process.poll, timeout, holds=lambda seen: seen is not None, details=self.log, pause=0.02)
        return code

    def terminate(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def freeze(self) -> None:
        """SIGSTOP of the server: connections stay, nothing answers."""
        os.kill(self.server_pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.server_pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Empty the volume of a process that does not run."""
        assert not self.running, f"{self.name} is running"
        shutil.rmtree(self.data)
        self.data.mkdir()

    def client(self, user: str = "admin", **options: Any) -> redis.Redis:
        """A client of this process alone, texts decoded. The caller closes it."""
        defaults = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S, "decode_responses": True, "retry": None}
        return redis.Redis(self.address, self.port, username=user, password=self.owner.password(user), **{**defaults, **options})

    def ask(self, *words: str | int, timeout: float = ANSWER_S) -> Any:
        """One command over a connection of its own. Raises redis.RedisError."""
        with self.client(socket_timeout=timeout, socket_connect_timeout=timeout) as client:
            return client.execute_command(*words)

    def info(self, section: str = "replication") -> dict[str, Any]:
        """INFO; empty when nobody answers."""
        with contextlib.suppress(redis.RedisError):
            found: dict[str, Any] = self.ask("INFO", section, timeout=LOOK_S)
            return found
        return {}

    def log(self) -> str:
        """The end of what it said."""
        return (self.directory / "log").read_text(errors="replace")[-4000:]


class RedisSet:
    """Members and sentinels that belong together. program: the path of redis-member, empty for none."""

    def __init__(
        self,
        directory: Path,
        replicas: int = 3,
        sentinels: int = 3,
        *,
        program: str = "",
        master_name: str = "redis",
        settings: Sequence[str] = (),
        options: Sequence[str] = (),
        patient: bool = False,
    ) -> None:
        """settings: further lines of redis.conf. options: further flags of redis-member server. patient: nobody fails over unasked."""
        self.down_after_ms, self.failover_timeout_ms = DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS
        if patient:
            self.down_after_ms, self.failover_timeout_ms = PATIENT_DOWN_AFTER_MS, PATIENT_FAILOVER_TIMEOUT_MS
        self.directory, self.program, self.master_name = directory, program, master_name
        self.settings, self.options = list(settings), list(options)
        self.network = free_network()
        self.users = directory / "users"
        self.users.mkdir(parents=True)
        for user in USERS:
            (self.users / user).write_text(secrets.token_hex(16), encoding="utf-8")
        self.members: list[RedisProcess] = []
        self.sentinels: list[RedisProcess] = []
        for _number in range(replicas):
            self.add_member()
        for _number in range(sentinels):
            self.add_sentinel()
        (directory / "redis.conf").write_text("\n".join((*self.common_settings(), "")), encoding="utf-8")
        atexit.register(self.close)

    def __enter__(self) -> RedisSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def add_member(self) -> RedisProcess:
        """One more server, not started; the plain ones replicate from the first."""
        number = len(self.members)
        self.members.append(RedisProcess(self, f"redis-{number}", f"{self.network}.{number + 1}", SERVER_PORT))
        return self.members[-1]

    def add_sentinel(self) -> RedisProcess:
        """One more sentinel, not started."""
        number = len(self.sentinels)
        self.sentinels.append(RedisProcess(self, f"redis-sentinel-{number}", f"{self.network}.{number + 101}", SENTINEL_PORT))
        return self.sentinels[-1]

    @property
    def everyone(self) -> list[RedisProcess]:
        return [*self.members, *self.sentinels]

    @property
    def quorum(self) -> int:
        return len(self.sentinels) // 2 + 1

    def password(self, user: str) -> str:
        return (self.users / user).read_text(encoding="utf-8")

    def start(self, *processes: RedisProcess) -> None:
        """Start these, or all that do not run. Does not wait."""
        for process in processes or [process for process in self.everyone if not process.running]:
            process.start()

    def kill(self, *processes: RedisProcess) -> None:
        """kill -9 of these at the same moment; of all without one."""
        running = [process for process in processes or self.everyone if process.running]
        # The programs first: they would start their servers again.
        pids = [pid for pids in ([one.pid for one in running], [one.server_pid for one in running]) for pid in pids if pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in running:
            process.wait()
            if self.program:
                shutil.rmtree(process.run)
                process.run.mkdir()
        self.until("what was killed ends", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))

    def master(self) -> RedisProcess:
        """The one running member that says master and has the sentinels' majority, if there are any. Raises LookupError."""
        masters = [member for member in self.members if member.running and member.info().get("role") == "master"]
        if self.sentinels:
            views = [self.view(sentinel) for sentinel in self.sentinels]
            masters = [member for member in masters if views.count(member.address) >= self.quorum]
        if len(masters) != 1:
            raise LookupError(f"{len(masters)} masters")
        return masters[0]

    def replicas(self) -> list[RedisProcess]:
        """The running members that are not the master."""
        master = self.master()
        return [member for member in self.members if member is not master and member.running]

    def view(self, sentinel: RedisProcess) -> str:
        """The address of the master that a sentinel names; empty when it does not answer."""
        with contextlib.suppress(redis.RedisError):
            found = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master_name, timeout=LOOK_S)
            return str(found[0]) if found else ""
        return ""

    def sentinel_master(self, sentinel: RedisProcess) -> dict[str, str]:
        """What a sentinel says of the master; empty when it does not answer."""
        with contextlib.suppress(redis.RedisError):
            words = sentinel.ask("SENTINEL", "MASTER", self.master_name, timeout=LOOK_S)
            return dict(zip(words[::2], words[1::2], strict=True))
        return {}

    def whole(self) -> bool:
        """One master that takes writes, all running members its replicas with links up, all running sentinels of one mind and at rest."""
        try:
            master = self.master()
        except LookupError:
            return False
        replicas = [member.info() for member in self.members if member.running and member is not master]
        if any(one.get("master_link_status") != "up" or one.get("master_host") != master.address for one in replicas):
            return False
        # A replica's word that it is near comes once a second: before the first one the master may refuse writes.
        if replicas and master.info().get("min_slaves_good_slaves", 1) < 1:
            return False
        views = [self.sentinel_master(sentinel) for sentinel in self.sentinels if sentinel.running]
        wanted = (master.address, str(len(self.sentinels) - 1), str(len(self.members) - 1), "master")
        return all(tuple(view.get(key) for key in ("ip", "num-other-sentinels", "num-slaves", "flags")) == wanted for view in views)

    def wait(self) -> RedisProcess:
        """The master, as soon as the set is whole. Raises AssertionError."""
        for sentinel in self.sentinels if not self.program else ():
            # As redis-member does: a sentinel finds replicas by the master's INFO, for which it asks every ten seconds.
            if sentinel.running:
                self.until(f"{sentinel.name} answers", lambda asked=sentinel: asked.ask("SENTINEL", "DEBUG", "INFO-PERIOD", 1000))
        self.until("the set is whole", self.whole)
        return self.leader()

    def leader(self, other_than: RedisProcess | None = None) -> RedisProcess:
        """The master, as soon as there is one, and another one if wanted. Raises AssertionError."""
        what = "there is a master" if other_than is None else f"another member than {other_than.name} is master"
        found: RedisProcess = self.until(what, self.master, holds=lambda one: one is not other_than)
        return found

    def until(
        self, what: str, look: Callable[[], Any], timeout: float = PATIENCE, *, holds: Callable[[Any], object] = bool, pause: float = 0.05
    ) -> Any:
        """As of waiting.py. Who does not answer, or has no master, is not there yet; the error has the logs."""
        return until(what, look, timeout, holds=holds, passing=(redis.RedisError, LookupError), details=self._logs, pause=pause)

    def _logs(self) -> str:
        return "\n".join(f"--- {process.name}\n{process.log()}" for process in self.everyone if (process.directory / "log").exists())

    def failover(self, before: RedisProcess | None = None) -> RedisProcess:
        """Have the sentinels choose another master than that one (the present one); that one."""
        old = before or self.leader()

        def other() -> RedisProcess:
            if self.view(self.sentinels[0]) == old.address:
                with contextlib.suppress(redis.RedisError):  # one is under way, or no replica may be chosen yet
                    self.sentinels[0].ask("SENTINEL", "FAILOVER", self.master_name)
            return self.master()

        found: RedisProcess = self.until("another master", other, holds=lambda one: one is not old, pause=0.2)
        return found

    def close(self) -> None:
        """End every process."""
        atexit.unregister(self.close)
        self.kill()

    def common_settings(self) -> list[str]:
        """What the configuration of a deployment says."""
        replicated = ["min-replicas-to-write 1", "min-replicas-max-lag 5", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        return ["appendonly yes", 'save ""', *(replicated if len(self.members) > 1 else []), *self.settings]

    def command_line(self, process: RedisProcess) -> list[str]:
        sentinel = process in self.sentinels
        if not self.program:
            path = process.data / ("sentinel.conf" if sentinel else "redis.conf")
            if not path.exists():  # what the server itself wrote there stays
                path.write_text("\n".join((*(self._plain_sentinel(process) if sentinel else self._plain_server(process)), "")))
            return [redis_server(), str(path), *(["--sentinel"] if sentinel else [])]
        names = {"-members": self.members, "-sentinels": self.sentinels}
        flags = [word for flag, those in names.items() if those for word in (flag, ",".join(f"{one.name}={one.address}" for one in those))]
        flags += ["-name", process.name, "-master", self.master_name, "-users", str(self.users), "-data", str(process.data)]
        flags += ["-run", str(process.run), "-bind", process.address, "-program", redis_server()]
        if sentinel:
            timing = ["-down-after", f"{self.down_after_ms}ms", "-failover-timeout", f"{self.failover_timeout_ms}ms"]
            return [self.program, "sentinel", "-namespace", "tests", *timing, *flags]
        return [self.program, "server", "-config", str(self.directory / "redis.conf"), *flags, *self.options]

    def _plain_users(self) -> list[str]:
        return ["user default off", *(f"user {user} on >{self.password(user)} ~* &* +@all" for user in USERS)]

    def _plain_server(self, process: RedisProcess) -> list[str]:
        first = self.members[0]
        lines = [f"bind {process.address}", f"port {process.port}", f"dir {process.data}", "masteruser replication"]
        lines += [f"masterauth {self.password('replication')}", f"replica-announce-ip {process.address}", *self.common_settings()]
        return [*lines, *self._plain_users(), *([] if process is first else [f"replicaof {first.address} {first.port}"])]

    def _plain_sentinel(self, process: RedisProcess) -> list[str]:
        name, first = self.master_name, self.members[0]
        lines = [f"bind {process.address}", f"port {process.port}", f"dir {process.run}", f"sentinel announce-ip {process.address}"]
        lines += [f"sentinel monitor {name} {first.address} {first.port} {self.quorum}"]
        lines += [
            f"sentinel down-after-milliseconds {name} {self.down_after_ms}",
            f"sentinel failover-timeout {name} {self.failover_timeout_ms}",
        ]
        lines += [f"sentinel auth-user {name} sentinel", f"sentinel auth-pass {name} {self.password('sentinel')}"]
        return [*lines, "sentinel sentinel-user sentinel", f"sentinel sentinel-pass {self.password('sentinel')}", *self._plain_users()]


def free_network() -> str:
    """The first three numbers of a loopback network that no other test uses at the usual ports."""
    while True:
        network = f"127.{random.randint(64, 191)}.{random.randint(0, 255)}"
        with contextlib.suppress(OSError), socket.create_server((f"{network}.1", SERVER_PORT)):
            return network


def _die_with_parent() -> None:
    """Between fork and exec: SIGKILL for the process when the test's dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
