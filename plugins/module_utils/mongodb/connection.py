# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with one server, by pymongo, over a socket that somebody else makes: into a pod, or to an address.

pymongo connects to addresses only; see tunnel.py for what it is given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial, Tunnel

# Seconds after which pymongo, waiting for a server to answer at all, is asked whether the way there is known to be closed.
PATIENCE = 0.25
# Seconds between two questions of pymongo's own: none in the life of a task.
HEARTBEAT = 3600
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
        self._tunnel = Tunnel(dial, "mongodb.sock")
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


def _without_secrets(text: str, body: Mapping[str, Any]) -> str:
    for name in SECRET_FIELDS:
        value = body.get(name)
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return text
