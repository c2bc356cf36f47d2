# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of canned replies behind a real socket."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import bson
import pytest

OK = {"ok": 1.0}
# What the driver learns when it connects and when it looks whether the server is still there. Its own questions belong to no session.
HANDSHAKE = {
    "ismaster": True,
    "helloOk": True,
    "maxBsonObjectSize": 16777216,
    "logicalSessionTimeoutMinutes": 30,
    "minWireVersion": 0,
    "maxWireVersion": 13,
    "ok": 1.0,
}


class CannedServer:
    """Answers each command by `answers[name]`: a document, a list of documents (one after the other), or a function of the body.

    An exception as an answer closes the connection; a number waits for so many seconds first and then says ok.
    connections: those that commands came over; the driver makes one more, to watch the server.
    """

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.handshake: dict[str, Any] = HANDSHAKE

    def dial(self, _seconds: float = 1.0) -> socket.socket:
        near, far = socket.socketpair()
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()
        return near

    @property
    def commands(self) -> list[str]:
        return [name for name, _body in self.seen]

    def _serve(self, sock: socket.socket) -> None:
        numbers = itertools.count(1000)
        commanded = False
        try:
            while True:
                length, number, _answered, operation = struct.unpack("<iiii", self._read(sock, 16))
                content = self._read(sock, length - 16)
                assert operation == 2013 and content[:5] == b"\0\0\0\0\0"
                body = bson.decode(content[5:])
                if "lsid" not in body:
                    reply = self.handshake
                else:
                    self.connections += not commanded
                    commanded = True
                    reply = self._answer(body)
                document = bson.encode(reply)
                sock.sendall(struct.pack("<iiii", 21 + len(document), next(numbers), number, 2013) + b"\0\0\0\0\0" + document)
        except (EOFError, OSError, ConnectionError):
            sock.close()

    def _read(self, sock: socket.socket, size: int) -> bytes:
        read = b""
        while len(read) < size:
            block = sock.recv(size - len(read))
            if not block:
                raise EOFError
            read += block
        return read

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(body))
        if name == "endSessions":
            return OK
        self.seen.append((name, body))
        answer = self.answers.get(name, {"ok": 0.0, "errmsg": f"no such command: '{name}'", "code": 59, "codeName": "CommandNotFound"})
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, type):
            raise EOFError
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, (int, float)):
            time.sleep(answer)
            answer = OK
        return answer


@pytest.fixture
def canned() -> Callable[..., CannedServer]:
    return CannedServer
