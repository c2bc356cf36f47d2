# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of one scenario: started and disturbed as the recorded ones were."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pymongo
from mongodb_servers import MongodServer, real_mongod
from waiting import PATIENCE, until

from .recording import Document, Recording

KEY, OTHER_KEY = "c3RhZ2VnYXRl" * 4, "b3RoZXJrZXk+" * 4
DRIVER = {"directConnection": True, "serverSelectionTimeoutMS": 1500, "connectTimeoutMS": 3000, "socketTimeoutMS": 60_000, "tz_aware": True}


# What differs is played again at these speeds before it counts: the recorded times are milliseconds, and a busy machine has hiccups.
SLOWER = (2.0, 1.0)


def speeds() -> tuple[float, ...]:
    """How much faster than the wall clock a recording is played, and played again; a real server knows one speed."""
    return (1.0,) * 2 if real_mongod() else (float(os.environ.get("STACKGATE_DOUBLE_SPEED", "4")), *SLOWER)


def own_network() -> str:
    """The first three numbers of a loopback network of this process, so that two runs do not meet."""
    number = os.getpid()
    return f"127.{64 + number // 200 % 100}.{1 + number % 200}."


class Stage:
    """Servers by their names in the recording. speed: how much faster than the wall clock their timers run."""

    def __init__(self, recording: Recording, network: str, speed: float) -> None:
        self.recording, self.network = recording, network
        self.directory = Path(tempfile.mkdtemp(prefix="mongodb-replay-"))
        self.servers: dict[str, MongodServer] = {}
        self.speed = speed
        self._clients: dict[tuple[str, str], pymongo.MongoClient[Document]] = {}
        self._silent: list[socket.socket] = []
        self.hosts_file = self.directory / "hosts"
        self._names: dict[str, str] | None = None
        # Who is logged in where: name of a member -> options of the client.
        self.login: dict[str, Any] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        for listener in self._silent:
            listener.close()
        for server in self.servers.values():
            if server.running:
                server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Servers

    def server(self, name: str, place: str = "", *, set_name: str | None = "rs0", key: str | None = None) -> MongodServer:
        """Start one more. place: the last number of its address and its port, "24:27124", if the recording does not name it."""
        address = f"{self.network}{place}" if place else self.recording.addresses[name][0]
        host, _colon, port = address.rpartition(":")
        options = ["--replSet", set_name] if set_name else []
        if key is not None:
            options += ["--keyFile", str(self.key_file(key)), "--auth"]
        server = MongodServer(host, int(port), self.directory / name, options, self.speed)
        self.servers[name] = server
        self.speed = server.speed
        self._start([name])
        return server

    def key_file(self, key: str) -> Path:
        path = self.directory / f"key-{key[:4]}"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(key, encoding="utf-8")
            path.chmod(0o400)
        return path

    def start(self, *names: str) -> None:
        """Start stopped servers, side by side."""
        self._start(names)

    def _start(self, names: Sequence[str]) -> None:
        prefix = self._namespace() if self._names is not None else ()
        for name in names:
            self.servers[name].start(wait=False, prefix=prefix)
        for name in names:
            self.servers[name].wait_listening()
        for name in names:
            # Connect now: a poll's first look must not wait for it.
            self.glance(name, {"hello": 1})

    def kill(self, *names: str) -> None:
        for name in names:
            self.servers[name].kill()

    def stop(self, *names: str) -> None:
        """SIGTERM, and wait for the end."""
        for name in names:
            self.servers[name].signal(signal.SIGTERM)
        for name in names:
            self.servers[name].wait()

    def freeze(self, *names: str) -> None:
        for name in names:
            self.servers[name].freeze()

    def thaw(self, *names: str) -> None:
        for name in names:
            self.servers[name].thaw()

    def silent(self, place: str) -> None:
        """An address that accepts connections and never answers."""
        host, _colon, port = f"{self.network}{place}".rpartition(":")
        listener = socket.create_server((host, int(port)), backlog=64)
        self._silent.append(listener)

    def tunnel(self, place: str, target: str) -> None:
        """A TCP proxy at an address, which leads to a member."""
        host, _colon, port = f"{self.network}{place}".rpartition(":")
        listener = socket.create_server((host, int(port)), backlog=64)
        self._silent.append(listener)
        server = self.servers[target]
        threading.Thread(target=_forward, args=(listener, (server.address, server.port)), daemon=True).start()

    # Names

    def names(self, names: Mapping[str, str] | None) -> None:
        """What the servers' /etc/hosts says from now on, in a mount namespace of their own: name -> last number of the address."""
        self._names = dict(names or {})
        lines = [f"{self.network}{number} {name}\n" for name, number in self._names.items()]
        # In place: the file is mounted over the servers' /etc/hosts.
        with self.hosts_file.open("w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n" + "".join(lines))

    def _namespace(self) -> list[str]:
        script = f'mount --bind {self.hosts_file} /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    def resolve(self, name: Any) -> Any:
        """A name's address; others unchanged. Raises socket.gaierror for a name of the scenario that does not resolve now."""
        if self._names is None or not isinstance(name, str) or not name.endswith(".cluster.local"):
            return name
        if name not in self._names:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return f"{self.network}{self._names[name]}"

    # Commands

    def host(self, name: str) -> str:
        return self.servers[name].host

    def client(self, member: str, tag: str = "") -> pymongo.MongoClient[Document]:
        """The connection of the scenario to a member, kept while the process lives; another one for another tag."""
        options = {**DRIVER, **self.login}
        key = (member, tag + repr(options) + (str(self.servers[member].pid) if member in self.servers else ""))
        if key not in self._clients:
            if member.startswith("mongodb://"):
                self._clients[key] = pymongo.MongoClient(member.partition(" ")[0], **{k: v for k, v in DRIVER.items() if "direct" not in k})
            else:
                server = self.servers[member]
                self._clients[key] = pymongo.MongoClient(server.address, server.port, **options)
        return self._clients[key]

    def ask(self, member: str, command: Mapping[str, Any], db: str = "admin", tag: str = "") -> Document | None:
        """The reply, of ok 0, too; None when there is none."""
        try:
            return self.client(member, tag)[db].command(command)
        except (pymongo.errors.OperationFailure, pymongo.errors.NotPrimaryError) as error:
            details = error.details
            return dict(details) if isinstance(details, Mapping) else None
        except pymongo.errors.PyMongoError:
            return None

    def glance(self, member: str, command: Mapping[str, Any]) -> Document | None:
        """As ask(), for polls: a member that is gone is not waited for."""
        login = self.login
        self.login = {**login, "serverSelectionTimeoutMS": 250}
        try:
            return self.ask(member, command)
        finally:
            self.login = login

    def tell(self, member: str, command: Mapping[str, Any], db: str = "admin") -> Document:
        """As ask(), for preparations: they have to succeed."""
        reply = self.ask(member, command, db)
        assert reply is not None and reply.get("ok") == 1, f"{member}: {command}: {reply}"
        return reply

    # Preparations

    def initiate(self, members: Sequence[Document], version: int = 1, name: str = "rs0") -> None:
        """A set whose first member becomes primary, with all members up, and with this version of the configuration."""
        first = next(key for key, server in self.servers.items() if server.host == members[0]["host"])
        self.tell(first, {"replSetInitiate": {"_id": name, "members": list(members)}})
        self.wait_states(first, ["PRIMARY", *["SECONDARY"] * (len(members) - 1)])
        self.settle(first)
        if version > 1:
            config = self.tell(first, {"replSetGetConfig": 1})["config"]
            self.tell(first, {"replSetReconfig": {**config, "version": version}})
            self.settle(first)

    def settle(self, primary: str) -> None:
        """Wait until the configuration is at a majority, and every member has it."""

        def settled(seen: tuple[Document, Document]) -> bool:
            config, status = seen
            if "config" not in config or "members" not in status:
                return False
            wanted = (config["config"]["version"], config["config"].get("term"))
            up = [member for member in status["members"] if member["health"] == 1]
            return config["commitmentStatus"] and all((member["configVersion"], member["configTerm"]) == wanted for member in up)

        def look() -> tuple[Document, Document]:
            config = self.ask(primary, {"replSetGetConfig": 1, "commitmentStatus": True})
            return config or {}, self.ask(primary, {"replSetGetStatus": 1}) or {}

        self.until(f"{primary}: the configuration settles", look, holds=settled)

    def wait_version(self, member: str, version: int) -> None:
        """Wait for the server's own reconfiguration, which gives a new voter its vote."""
        self.until(
            f"{member} reaches version {version}",
            lambda: self.tell(member, {"replSetGetConfig": 1})["config"]["version"],
            holds=lambda reached: reached >= version,
        )

    def wait_states(self, member: str, states: Sequence[str]) -> None:
        """Wait until a member sees the others in these states."""

        def look() -> list[str]:
            reply = self.ask(member, {"replSetGetStatus": 1}) or {}
            return [other["stateStr"] for other in reply.get("members", [])]

        self.until(f"{member} sees {list(states)}", look, holds=lambda seen: seen == list(states))

    def wait_primary(self, member: str) -> None:
        self.until(f"{member} becomes primary", lambda: (self.ask(member, {"hello": 1}) or {}).get("isWritablePrimary"))

    def sleep(self, seconds: float) -> None:
        """Seconds of the server's clock."""
        time.sleep(seconds / self.speed)

    def until(self, what: str, look: Callable[[], Any], *, holds: Callable[[Any], object] = bool) -> Any:
        """As of waiting.py; often enough for servers whose clock is fast."""
        return until(what, look, PATIENCE, holds=holds, pause=0.02)


def can_change_names() -> bool:
    """Whether a mount namespace of their own can be made for servers."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None


def _forward(listener: socket.socket, target: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _address = listener.accept()
            try:
                far = socket.create_connection(target, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for side in (source, sink):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
