# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MongoDB servers for tests: processes of the double, or of a real mongod when STACKGATE_MONGOD or PATH has one.

    with ReplicaSetServers(3, speed=10) as servers:
        servers.initiate()
        servers.members[0].kill()

Each member has a loopback address of its own (127.0.1.1, 127.0.1.2, ...), a free port and a data directory, and is a process:
kill and freeze are signals. Leaving the context ends them all.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pymongo
from ports import free_ports
from waiting import PATIENCE, until

PROJECT = Path(__file__).resolve().parents[2]
DOUBLE = PROJECT / "tests/doubles/mongodb"
LISTENING = '"id":23016,'
PR_SET_PDEATHSIG = 1
# Of a real server, so that it neither fills the disk nor the memory.
REAL_OPTIONS = ("--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--setParameter", "enableTestCommands=1")
PASSWORD = "secret-1"
# Milliseconds that a look at a server may take, which is repeated.
LOOK_MS = 1000


def real_mongod() -> str | None:
    """The real server's program, if there is one."""
    return os.environ.get("STACKGATE_MONGOD") or shutil.which("mongod")


class MongodServer:
    """One member. start() may be called again after kill() or terminate(), with other options."""

    def __init__(self, address: str, port: int, directory: Path, options: Sequence[str], speed: float) -> None:
        self.address, self.port, self.directory = address, port, directory
        self.options = list(options)
        self.real = real_mongod()
        # How many of the server's seconds pass in one of ours.
        self.speed = 1.0 if self.real else speed
        self._control = 0 if self.real else free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "log"
        (directory / "db").mkdir(parents=True, exist_ok=True)

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command_line(self) -> list[str]:
        common = ["--bind_ip", self.address, "--port", str(self.port), "--dbpath", str(self.directory / "db"), *self.options]
        if self.real:
            return [self.real, *REAL_OPTIONS, *common]
        return [sys.executable, "-m", "mongodb_double", *common, "--speed", str(self.speed), "--control", str(self._control)]

    def start(self, *, wait: bool = True, prefix: Sequence[str] = ()) -> None:
        """Start the process; wait: until it listens. prefix: a program that starts it. Raises RuntimeError when it ends."""
        assert not self.running, f"{self.host} is running already"
        log = self._log.open("ab")
        # Counted from here, so that an earlier start's line is not taken for this one's.
        self._log_start = log.tell()
        environment = {**os.environ, "PYTHONPATH": str(DOUBLE), "PYTHONDONTWRITEBYTECODE": "1"}
        die_with_us = _die_with_parent if threading.current_thread() is threading.main_thread() else None
        with log:
            self._process = subprocess.Popen(
                [*prefix, *self.command_line()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=die_with_us,
            )
        if wait:
            self.wait_listening()

    def wait_listening(self) -> None:
        """Raises RuntimeError when the process has ended; AssertionError when it does not listen."""

        def listens() -> bool:
            if not self.running:
                raise RuntimeError(f"{self.host} has ended:\n{self.log()[-2000:]}")
            return LISTENING in self.log()

        until(f"{self.host} listens", listens, details=self.log, pause=0.02)

    def log(self) -> str:
        """What the process has written since it was started."""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace") if self._log.exists() else ""

    def kill(self) -> None:
        """kill -9, frozen or not."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self) -> int:
        """The exit code, when the process has ended. Raises AssertionError with its log."""
        assert self._process is not None
        code: int = until(f"{self.host} ends", self._process.poll, holds=lambda seen: seen is not None, details=self.log, pause=0.02)
        return code

    def wipe(self) -> None:
        """Empty the data directory of a member that does not run."""
        assert not self.running, f"{self.host} is running"
        shutil.rmtree(self.directory / "db")
        (self.directory / "db").mkdir()

    def restart(self, *, kill: bool = False) -> None:
        if self.running:
            self.kill() if kill else self.terminate()
        self.start()

    def order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Give the double an order (a partition, slowness); a real server takes none: NotImplementedError."""
        if self.real:
            raise NotImplementedError("a real mongod takes no orders")
        with socket.create_connection(("127.0.0.1", self._control), timeout=PATIENCE) as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(order) + "\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
        assert answer.get("ok") == 1, answer
        return answer

    def client(self, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
        """Connected to this member alone. The caller closes it."""
        defaults = {"directConnection": True, "serverSelectionTimeoutMS": 30_000, "connectTimeoutMS": 30_000}
        return pymongo.MongoClient(self.address, self.port, **{**defaults, **options})

    def command(self, command: str | Mapping[str, Any], db: str = "admin", **options: Any) -> dict[str, Any]:
        """One command over a connection of its own. Raises pymongo's errors."""
        with self.client(**options) as client:
            return client[db].command(command)

    def _end(self, number: int) -> int:
        if self.running:
            self.signal(number)
        return self.wait()


class ReplicaSetServers:
    """Servers of one set, not initiated. add() makes one more. speed: how much faster than the wall clock the double's timers run."""

    def __init__(
        self,
        count: int = 3,
        *,
        auth: bool = False,
        speed: float = 1.0,
        name: str | None = "rs0",
        options: Sequence[str] = (),
        first_address: str = "127.0.1.1",
        ports: Sequence[int] = (),
    ) -> None:
        """name None: standalone servers. ports: fixed ones instead of free ones."""
        self.name, self.auth, self.speed = name, auth, speed
        self._options, self._ports = list(options), list(ports)
        self._first_address = first_address
        self._directory = Path(tempfile.mkdtemp(prefix="mongodb-"))
        self.key_file = self.write_key("key", secrets.token_hex(32))
        self.members: list[MongodServer] = []
        atexit.register(self.close)
        for _number in range(count):
            self.add(start=False)

    def __enter__(self) -> ReplicaSetServers:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def hosts(self) -> list[str]:
        return [member.host for member in self.members]

    @property
    def primary(self) -> MongodServer:
        """The one that says it is writable, as soon as one does. Raises AssertionError."""
        return self.wait_primary()

    def look_for_primary(self) -> MongodServer | None:
        """The one that says now that it is writable."""
        for member in self.members:
            with contextlib.suppress(pymongo.errors.PyMongoError):
                if member.running and member.command("hello", serverSelectionTimeoutMS=LOOK_MS).get("isWritablePrimary"):
                    return member
        return None

    @property
    def secondaries(self) -> list[MongodServer]:
        primary = self.primary
        return [member for member in self.members if member is not primary and member.running]

    def write_key(self, file: str, *keys: str) -> Path:
        """A key file, for rotation with several keys; the file that members were started with is `key`."""
        path = self._directory / file
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(keys[0] if len(keys) == 1 else "".join(f"- {key}\n" for key in keys), encoding="utf-8")
        path.chmod(0o400)
        return path

    def add(self, *, start: bool = True, name: str | None = "", auth: bool | None = None) -> MongodServer:
        """One more server, as the others, or of another set (name), or without the key."""
        number = len(self.members)
        first = [int(part) for part in self._first_address.split(".")]
        address = ".".join(map(str, [*first[:3], first[3] + number]))
        options = list(self._options)
        set_name = self.name if name == "" else name
        if set_name is not None:
            options += ["--replSet", set_name]
        if self.auth if auth is None else auth:
            options += ["--keyFile", str(self.key_file), "--auth"]
        port = self._ports[number] if number < len(self._ports) else free_ports(1, address)[0]
        member = MongodServer(address, port, self._directory / f"member-{number}", options, self.speed)
        self.members.append(member)
        if start:
            member.start()
        return member

    def start(self) -> None:
        """Start every member that does not run, and wait until all listen."""
        starting = [member for member in self.members if not member.running]
        for member in starting:
            member.start(wait=False)
        for member in starting:
            member.wait_listening()

    def initiate(self, **settings: Any) -> MongodServer:
        """The shortest way to a set of all members, without the module under test: the primary."""
        config = {"_id": self.name, "members": [{"_id": i, "host": host} for i, host in enumerate(self.hosts)]}
        if settings:
            config["settings"] = settings
        self.members[0].command({"replSetInitiate": config})
        return self.wait_primary()

    def wait_primary(self) -> MongodServer:
        """The primary, as soon as there is one. Raises AssertionError with the logs."""
        found: MongodServer = until("there is a primary", self.look_for_primary, details=self._logs, pause=0.05)
        return found

    def _logs(self) -> str:
        return "\n".join(f"--- {member.host}\n{member.log()[-2000:]}" for member in self.members)

    def create_admin(self, user: str = "root", password: str = PASSWORD) -> None:
        """The first user, through the localhost exception of the primary."""
        command = {"createUser": user, "pwd": password, "roles": ["root"], "writeConcern": {"w": "majority", "wtimeout": 60_000}}
        self.wait_primary().command(command)

    def partition(self, *sides: Sequence[MongodServer]) -> None:
        """Members of different sides no longer reach each other; clients reach all."""
        for side in sides:
            others = [member.host for other in sides if other is not side for member in other]
            for member in side:
                member.order({"order": "partition", "hosts": others})

    def slow(self, seconds: float, *members: MongodServer) -> None:
        """Delay every message between these members (default: all) and others; seconds of the server's clock."""
        for member in members or self.members:
            member.order({"order": "slow", "seconds": seconds})

    def heal(self) -> None:
        """End partitions and slowness."""
        for member in self.members:
            if member.running:
                member.order({"order": "heal"})

    def close(self) -> None:
        """End every process and forget the data."""
        atexit.unregister(self.close)
        for member in self.members:
            if member.running:
                member.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def _die_with_parent() -> None:
    """Between fork and exec: SIGKILL for the server when the test's process dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
