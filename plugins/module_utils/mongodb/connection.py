# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with one server, by pymongo, over a socket that somebody else makes: into a pod, or to an address.

pymongo connects to addresses only. What it is given is a UNIX socket in a directory that nobody else may enter: a local port
would let every user of this machine come to the server from 127.0.0.1, and so make use of its localhost exception.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Gives a socket; the argument is seconds for connecting. Raises StackgateError or OSError.
Dial = Callable[[float], socket.socket]

# Seconds after which pymongo, waiting for a server to answer at all, is asked whether the way there is known to be closed.
PATIENCE = 0.25
# Seconds between two questions of pymongo's own: none in the life of a task.
HEARTBEAT = 3600
# Bytes carried at once.
BLOCK = 65536
# Fields whose value is a password: a server repeats a refused command in its message.
SECRET_FIELDS = ("pwd",)


class CommandFailed(StackgateError):
    """The server answered ok: 0.

    code: None for the two errors that come without (recorded: 13); code_name: empty then. reply: the whole document.
    """

    def __init__(self, where: str, body: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
        self.command = next(iter(body))
        self.code: int | None = reply.get("code")
        self.code_name = str(reply.get("codeName") or "")
        self.message = _without_secrets(str(reply.get("errmsg") or "no reason given"), body)
        self.reply = {**reply, "errmsg": self.message}
        code = f"{self.code} {self.code_name}: ".replace(" : ", ": ") if self.code is not None else ""
        super().__init__(f"{where} accepts {self.command}", f"{code}{self.message}")


class Unreachable(StackgateError):
    """No answer: not connected, cut off, or too late. reason: why, in a few words; waited: seconds."""

    def __init__(self, where: str, reason: str, waited: float) -> None:
        self.reason = reason
        super().__init__(f"{where} answers", reason, waited=waited)


class Connection:
    """A conversation with one server; connected with the first command. After Unreachable it is closed for good.

    where: what the server is called in errors.
    """

    def __init__(self, dial: Dial, where: str) -> None:
        self._where = where
        self._tunnel = Tunnel(dial)
        self._client: Any = None
        self.closed = False

    def command(self, body: Mapping[str, Any], database: str = "admin", timeout: float = 10.0) -> dict[str, Any]:
        """Send a command and return its reply. timeout: seconds for all of it. Raises CommandFailed, Unreachable."""
        if self._client is None:
            self._client = self._connect()
        return self._run(self._client, body, database, timeout)

    def login(self, username: str, password: str, source: str, timeout: float = 10.0) -> None:
        """Authenticate this connection. Raises CommandFailed (18: wrong user or password), Unreachable."""
        client = self._connect(username=username, password=password, authSource=source)
        try:
            self._run(client, {"ping": 1}, source, timeout)
        except CommandFailed:
            client.close()
            raise
        if self._client is not None:
            self._client.close()
        self._client = client

    def close(self) -> None:
        """End it; may be called again."""
        self.closed = True
        if self._client is not None:
            self._client.close()
        self._tunnel.close()

    def _connect(self, **login: Any) -> Any:
        """A client that has not connected yet."""
        import pymongo

        return pymongo.MongoClient(
            f"mongodb://{quote(self._tunnel.address, safe='')}",
            directConnection=True,
            serverSelectionTimeoutMS=int(PATIENCE * 1000),
            heartbeatFrequencyMS=HEARTBEAT * 1000,
            serverMonitoringMode="poll",
            maxPoolSize=1,
            tz_aware=True,
            appname="stackgate",
            **login,
        )

    def _run(self, client: Any, body: Mapping[str, Any], database: str, timeout: float) -> dict[str, Any]:
        from pymongo import errors

        begun = time.monotonic()
        self._tunnel.patience = timeout
        # pymongo's own time-outs hold for a client, or change the command's maxTimeMS.
        late = threading.Timer(timeout, self._tunnel.cut)
        late.daemon = True
        late.start()
        try:
            while True:
                try:
                    return dict(client[database].command(dict(body), codec_options=client.codec_options))
                except errors.ServerSelectionTimeoutError as error:
                    _raise_refusal(client)
                    if self._tunnel.trouble or time.monotonic() - begun >= timeout:
                        raise self._unreachable(error, begun) from error
        except (errors.OperationFailure, errors.NotPrimaryError) as error:
            reply: Mapping[str, Any] = error.details if isinstance(error.details, Mapping) else {}
            raise CommandFailed(self._where, body, {"ok": 0.0, "errmsg": str(error), **reply}) from error
        except (errors.PyMongoError, OSError) as error:
            raise self._unreachable(error, begun) from error
        finally:
            late.cancel()

    def _unreachable(self, error: Exception, begun: float) -> Unreachable:
        trouble = self._tunnel.trouble
        self.close()
        return Unreachable(self._where, trouble or str(error), time.monotonic() - begun)


def _raise_refusal(client: Any) -> None:
    """Raise the server's own error, when it answers but refuses to be watched: it is shutting down (91), for one."""
    from pymongo import errors

    for server in client.topology_description.server_descriptions().values():
        if isinstance(server.error, (errors.OperationFailure, errors.NotPrimaryError)):
            raise server.error


class Tunnel:
    """A UNIX socket whose connections are carried on over sockets that `dial` makes.

    address: of the socket. patience: seconds for connecting. trouble: why the way is closed, in a few words; empty while it is open.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._directory = tempfile.TemporaryDirectory(prefix="stackgate-")
        self.address = os.path.join(self._directory.name, "mongodb.sock")
        self.patience = 10.0
        self.trouble = ""
        self._carried: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End what is under way: it took too long."""
        self.trouble = self.trouble or "no answer in time"
        for carried in tuple(self._carried):
            with contextlib.suppress(OSError):
                carried.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything; may be called again."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._directory.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, from its begin to its end. Never raises: it runs in a thread of its own."""
        self._carried.add(near)
        with near:
            try:
                with self._dial(self.patience) as far:
                    if _join(near, far) is far:
                        # The kubelet's words, when the port in the pod could not be reached (see portforward.PodSocket).
                        said = str(getattr(far, "error", "")).strip()
                        self.trouble = self.trouble or reason(EOFError("it closed the connection"), said)
            except (StackgateError, OSError) as error:
                self.trouble = self.trouble or reason(error)
            finally:
                self._carried.discard(near)


def _join(near: socket.socket, far: socket.socket) -> socket.socket:
    """Carry bytes both ways until one side ends. Returns the side that did."""
    far.settimeout(None)
    while True:
        for sock, other in ((near, far), (far, near)):
            if select.select([sock], [], [], 0)[0]:
                block = sock.recv(BLOCK)
                if not block:
                    return sock
                other.sendall(block)
        select.select([near, far], [], [])


def reason(error: Exception, said: str = "") -> str:
    """Why a server could not be asked, in a few words. said: what the way to it had to say."""
    if said:
        return "connection refused, nothing listens on that port in the pod" if "refused" in said else said
    if isinstance(error, StackgateError):
        return error.seen
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve here ({error.strerror or error})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _without_secrets(text: str, body: Mapping[str, Any]) -> str:
    for name in SECRET_FIELDS:
        value = body.get(name)
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return text
