# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with one server or sentinel, by redis-py, over a socket that somebody else makes: into a pod, or to an address."""

from __future__ import annotations

import functools
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils import tunnel
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial

# A command with its arguments, texts and numbers.
Command = tuple[Any, ...]

# Seconds that a member may take to answer.
ANSWER_TIMEOUT = 3.0
# The codes of refusals that say who may not log in.
WRONG_LOGIN = frozenset({"WRONGPASS", "NOAUTH"})


@dataclass(frozen=True)
class Credentials:
    """A user. The password is in no text of this object."""

    username: str
    password: str = field(repr=False)


class Refused(StackgateError):
    """The server answered with an error. code: its first word, such as LOADING or NOQUORUM; message: the rest."""

    def __init__(self, where: str, command: Command, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{where} accepts {words(command)}", f"{code} {message}".strip())


class Unreachable(StackgateError):
    """No answer: not connected, cut off, or too late; whether a command was carried out is not known. reason: why, in a few words."""

    def __init__(self, where: str, reason: str, waited: float) -> None:
        self.reason = reason
        super().__init__(f"{where} answers", reason, waited=waited)


class Endpoint:
    """One server or sentinel. Connected with the first command, and again after it was cut off; may be used from any thread.

    name: what errors call it. address: `ip:port` by which the others know it; empty when that is not known.
    """

    def __init__(self, name: str, dial: Dial, credentials: Credentials | None = None, address: str = "") -> None:
        self.name, self.address = name, address
        self._dial, self._credentials = dial, credentials
        self._connection: Any = None
        self._lock = threading.Lock()

    def command(self, *command: str | int, timeout: float = ANSWER_TIMEOUT) -> Any:
        """One command and its reply. Raises Refused, Unreachable."""
        reply = self.ask([command], timeout)[0]
        if isinstance(reply, Refused):
            raise reply
        return reply

    def ask(self, commands: Sequence[Command], timeout: float = ANSWER_TIMEOUT) -> list[Any]:
        """Several commands in one go; a refused one has its Refused in place of a reply.

        timeout: seconds for connecting, and for each reply. Raises Unreachable, and Refused when the login is.
        """
        from redis.exceptions import RedisError

        with self._lock:
            begun = time.monotonic()
            doing: Command = ("AUTH",)
            try:
                connection = self._open(timeout)
                connection.send_packed_command(connection.pack_commands(commands))
                replies = []
                for command in commands:
                    doing = command
                    replies.append(self._reply(connection, command))
                return replies
            except (RedisError, OSError, StackgateError) as error:
                self._hang_up()
                refusal = _refusal(self.name, doing, error)
                if refusal is not None:
                    raise refusal from error
                raise Unreachable(self.name, _why(error, self._carried), time.monotonic() - begun) from error

    def close(self) -> None:
        """End the connection; the next command opens another."""
        with self._lock:
            self._hang_up()

    @property
    def _carried(self) -> socket.socket | None:
        return getattr(self._connection, "carried", None)

    def _open(self, timeout: float) -> Any:
        if self._connection is None:
            user = self._credentials
            self._connection = _carrier()(
                self._dial,
                username=user.username if user else None,
                password=user.password if user else None,
                decode_responses=True,
                encoding_errors="replace",
                lib_name=None,  # two questions less: CLIENT SETINFO, which older servers do not know
                lib_version=None,
            )
        if self._connection.ended:
            self._hang_up()
        self._connection.allow(timeout)
        self._connection.connect()
        return self._connection

    def _reply(self, connection: Any, command: Command) -> Any:
        from redis.exceptions import ResponseError

        try:
            return connection.read_response()
        except ResponseError as error:
            return _refusal(self.name, command, error)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()


@functools.cache
def _carrier() -> Any:
    """redis-py's connection over a given socket."""
    from redis.connection import AbstractConnection

    class Carrier(AbstractConnection):
        """Its socket is made by `dial`, and kept as `carried` beyond the end of the connection for what it has to say."""

        def __init__(self, dial: Dial, **options: Any) -> None:
            super().__init__(**options)
            self.dial, self.seconds = dial, ANSWER_TIMEOUT
            self.carried: socket.socket | None = None

        def allow(self, seconds: float) -> None:
            """How long connecting and each read from now on may take."""
            self.seconds = seconds
            if self._sock is not None:
                self._sock.settimeout(seconds)

        @property
        def ended(self) -> bool:
            """Whether the server has hung up while nothing was asked, as when it changes its role (CLIENT KILL)."""
            return self._sock is not None and bool(select.select([self._sock], [], [], 0)[0])

        def _connect(self) -> Any:
            self.carried = made = self.dial(self.seconds)
            made.settimeout(self.seconds)
            return made

        def _host_error(self) -> str:
            return "server"

        def repr_pieces(self) -> list[tuple[str, str]]:
            return []

    return Carrier


def _refusal(where: str, command: Command, error: Exception) -> Refused | None:
    """The server's own error, as far as it is one. redis-py has cut the code off where it has an exception of its own for it."""
    from redis import exceptions

    codes: dict[type[Exception], str] = {
        exceptions.AuthenticationError: "WRONGPASS",
        exceptions.BusyLoadingError: "LOADING",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.NoPermissionError: "NOPERM",
        exceptions.OutOfMemoryError: "OOM",
    }
    if isinstance(error, Refused):
        return error
    text = str(error)
    code = codes.get(type(error), "")
    if not code and not isinstance(error, exceptions.ResponseError):
        return None
    first = text.partition(" ")[0]
    if first.isupper() and first.isalpha():
        code, text = first, text.partition(" ")[2]
    elif first == "-NOGOODSLAVE" or first == "-INPROG":  # sentinel.c writes these two with a minus of their own
        code, text = first[1:], text.partition(" ")[2]
    return Refused(where, command, code or "ERR", text)


def _why(error: Exception, sock: socket.socket | None) -> str:
    from redis.exceptions import TimeoutError as TooLate

    said = str(getattr(sock, "error", "")).strip()  # the kubelet's words (see portforward.PodSocket)
    return tunnel.reason(TimeoutError() if isinstance(error, TooLate) else error, said)


def words(command: Command) -> str:
    """The words of a command that name it: SENTINEL CKQUORUM, CONFIG SET, ROLE. Never its values."""
    first = str(command[0])
    return f"{first} {command[1]}" if first in ("SENTINEL", "CONFIG", "CLIENT") and len(command) > 1 else first
