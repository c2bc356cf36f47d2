# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked and answered, errors and time limits of one connection."""

from __future__ import annotations

import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Connection, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import reason


def connection(canned: Any, **answers: Any) -> Connection:
    return Connection(canned(answers).dial, "m1:27017")


def test_a_command_and_its_reply(canned: Any) -> None:
    server = canned({"ping": {"ok": 1.0, "at": 7}})
    talk = Connection(server.dial, "m1:27017")
    assert talk.command({"ping": 1})["at"] == 7
    ((name, body),) = server.seen
    assert (name, body["ping"], body["$db"]) == ("ping", 1, "admin")


def test_a_refusal_has_code_and_words(canned: Any) -> None:
    talk = connection(canned, replSetGetStatus={"ok": 0.0, "errmsg": "no config", "code": 94, "codeName": "NotYetInitialized"})
    with pytest.raises(
        CommandFailed, match=r"expected: m1:27017 accepts replSetGetStatus\nseen: 94 NotYetInitialized: no config"
    ) as caught:
        talk.command({"replSetGetStatus": 1})
    assert (caught.value.code, caught.value.code_name, caught.value.command) == (94, "NotYetInitialized", "replSetGetStatus")
    assert not talk.closed


def test_an_error_without_a_code(canned: Any) -> None:
    talk = connection(canned, replSetReconfig={"ok": 0.0, "errmsg": "no configuration specified"})
    with pytest.raises(CommandFailed, match="seen: no configuration specified") as caught:
        talk.command({"replSetReconfig": 1})
    assert caught.value.code is None


def test_a_password_that_the_server_repeats_is_not_shown(canned: Any) -> None:
    talk = connection(canned, createUser={"ok": 0.0, "errmsg": 'not authorized to { createUser: "a", pwd: "hunter2" }', "code": 13})
    with pytest.raises(CommandFailed) as caught:
        talk.command({"createUser": "a", "pwd": "hunter2"})
    assert "hunter2" not in f"{caught.value}{caught.value.reply}{caught.value.message}"


def test_no_answer_in_time(canned: Any) -> None:
    talk = connection(canned, hello=5)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"seen \(after \d\.\d s\): no answer in time") as caught:
        talk.command({"hello": 1}, timeout=0.2)
    assert 0.1 < time.monotonic() - begun < 4 and 0.1 < (caught.value.waited or 0) < 4
    assert talk.closed, "a late answer must not be taken for the next one's"


def test_a_cut_connection(canned: Any) -> None:
    talk = connection(canned, hello=EOFError)
    with pytest.raises(Unreachable, match="closed the connection"):
        talk.command({"hello": 1})


def test_what_is_not_a_mongodb_server() -> None:
    def dial(_seconds: float) -> socket.socket:
        near, far = socket.socketpair()
        far.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return near

    with pytest.raises(Unreachable, match="seen"):
        Connection(dial, "web:80").command({"hello": 1}, timeout=1)


def test_what_cannot_be_connected_to_is_known_at_once() -> None:
    def dial(_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"seen \(after \d\.\d s\): Connection refused"):
        Connection(dial, "m1:27017").command({"hello": 1}, timeout=10)
    assert time.monotonic() - begun < 8


def test_a_server_that_is_shutting_down(canned: Any) -> None:
    server = canned({})
    server.handshake = {"ok": 0.0, "errmsg": "shutdown in progress", "code": 91, "codeName": "ShutdownInProgress"}
    with pytest.raises(CommandFailed) as caught:
        Connection(server.dial, "m1:27017").command({"hello": 1})
    assert caught.value.code == 91


def test_nobody_else_may_enter_and_nothing_is_left(canned: Any) -> None:
    talk = connection(canned, ping={"ok": 1.0})
    talk.command({"ping": 1})
    socket_file = Path(talk._tunnel.address)
    assert stat.S_IMODE(socket_file.parent.stat().st_mode) == 0o700
    talk.close()
    assert not socket_file.parent.exists()


def test_dates_have_a_time_zone(canned: Any) -> None:
    import datetime

    talk = connection(canned, hello={"ok": 1.0, "localTime": datetime.datetime(2026, 1, 2, 3, 4, 5)})
    assert talk.command({"hello": 1})["localTime"] == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("error", "said", "words"),
    [
        (
            EOFError("it closed the connection"),
            "an error occurred: connection refused",
            "connection refused, nothing listens on that port in the pod",
        ),
        (TimeoutError(), "", "no answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), "", "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "", "its name does not resolve here (Name or service not known)"),
        (StackgateError("a connection", 'pods "m-0" not found'), "", 'pods "m-0" not found'),
    ],
)
def test_reasons(error: Exception, said: str, words: str) -> None:
    assert reason(error, said) == words
