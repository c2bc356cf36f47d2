# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands over one socket to one server: OP_MSG frames with BSON documents.

The driver's MongoClient is made for applications: it finds the primary by itself, opens a pool and one more connection per
server to watch it, and wants a port to connect to. Asking every member of a set for its own opinion, over a socket into a
pod, is the opposite: one connection per member, nothing in the background, and no local port through which another user of
this machine would come from 127.0.0.1 and so make use of the localhost exception. What is shared with the driver is `bson`.
"""

from __future__ import annotations

import datetime
import itertools
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import scram

# int32: length of the message, its id, the id that it answers, operation.
HEADER = struct.Struct("<iiii")
# int32: flags; byte: kind of the section that follows, 0 = one document.
SECTION = struct.Struct("<ib")
OP_MSG = 2013
# maxMessageSizeBytes of every server (recorded: 02).
LONGEST = 48_000_000
# Fields whose value is a password, wherever a server might repeat them.
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


def _without_secrets(text: str, body: Mapping[str, Any]) -> str:
    """Servers repeat a refused command in their message."""
    for name in SECRET_FIELDS:
        value = body.get(name)
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return text


class Connection:
    """A conversation with one server. After Unreachable it is closed for good.

    where: what the server is called in errors.
    """

    def __init__(self, sock: socket.socket, where: str) -> None:
        from bson.codec_options import CodecOptions

        self._socket = sock
        self._where = where
        self._ids = itertools.count(1)
        self._options: Any = CodecOptions(tz_aware=True, tzinfo=datetime.timezone.utc)  # noqa: UP017  # bson compares it by identity
        self.closed = False

    def command(self, body: Mapping[str, Any], database: str = "admin", timeout: float = 10.0) -> dict[str, Any]:
        """Send a command and return its reply. timeout: seconds for all of it. Raises CommandFailed, Unreachable."""
        begun = time.monotonic()
        try:
            reply = self._exchange({**body, "$db": database}, begun + timeout)
        except Exception as error:
            self.close()
            if isinstance(error, (OSError, EOFError, ValueError)) or type(error).__module__.startswith("bson"):
                raise Unreachable(self._where, self._reason(error), time.monotonic() - begun) from error
            raise
        if reply.get("ok") != 1:
            raise CommandFailed(self._where, body, reply)
        return reply

    def login(self, username: str, password: str, source: str, timeout: float = 10.0) -> None:
        """Authenticate this connection. Raises CommandFailed (18: wrong user or password), Unreachable."""
        from bson import Binary

        talk = scram.Conversation(username, password)
        start = {"saslStart": 1, "mechanism": scram.MECHANISM, "payload": Binary(talk.first()), "options": {"skipEmptyExchange": True}}
        reply = self.command(start, source, timeout)
        try:
            proof = talk.final(bytes(reply["payload"]))
            go_on = {"saslContinue": 1, "conversationId": reply["conversationId"]}
            reply = self.command({**go_on, "payload": Binary(proof)}, source, timeout)
            talk.verify(bytes(reply["payload"]))
            if not reply["done"]:  # a server that does not know skipEmptyExchange, before 4.4
                self.command({**go_on, "payload": Binary(b"")}, source, timeout)
        except (scram.ScramError, KeyError, ValueError) as error:
            self.close()
            raise Unreachable(self._where, f"login: {error}", 0.0) from error

    def close(self) -> None:
        """End it; may be called again."""
        self.closed = True
        self._socket.close()

    def _exchange(self, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        import bson

        document = bson.encode(body)
        number = next(self._ids)
        message = HEADER.pack(HEADER.size + SECTION.size + len(document), number, 0, OP_MSG) + SECTION.pack(0, 0) + document
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(message)
        while True:
            length, _number, answered, operation = HEADER.unpack(self._read(HEADER.size, deadline))
            if operation != OP_MSG or not HEADER.size + SECTION.size < length <= LONGEST:
                raise ValueError("what answers does not speak MongoDB's protocol")
            content = self._read(length - HEADER.size, deadline)
            if answered == number:
                return dict(bson.decode(content[SECTION.size :], self._options))

    def _read(self, size: int, deadline: float) -> bytes:
        read = bytearray()
        while len(read) < size:
            self._socket.settimeout(_left(deadline))
            block = self._socket.recv(size - len(read))
            if not block:
                raise EOFError("it closed the connection")
            read += block
        return bytes(read)

    def _reason(self, error: Exception) -> str:
        # The kubelet's words, when the port in the pod could not be reached (see portforward.PodSocket).
        said = str(getattr(self._socket, "error", "")).strip()
        return reason(error, said)


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


def _left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
