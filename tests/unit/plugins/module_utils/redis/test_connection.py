# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversation: replies, refusals by their code, silence, and a server that hangs up in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials, Endpoint, Refused, Unreachable, words
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import ask_all


class Canned:
    """Answers each chunk that it reads by the next of `answers`; then it closes. heard: what came, by connection."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()

    def dial(self, _seconds: float) -> socket.socket:
        near, far = socket.socketpair()
        self.connections += 1
        self.ended.clear()
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()
        return near

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while self.answers:
                self.heard.append(sock.recv(65536))
                answer = self.answers.pop(0)
                sock.sendall(answer.encode())
                if answer.endswith("\r\n\r\n"):  # the mark to hang up
                    break
        self.ended.set()


def test_several_commands_go_at_once_and_a_refusal_is_an_answer_of_its_own() -> None:
    server = Canned("+OK\r\n", "$2\r\nhi\r\n-NOQUORUM 1 usable Sentinels.\r\n*1\r\n:3\r\n")
    endpoint = Endpoint("redis-0", server.dial, Credentials("admin", "hidden"))
    text, refused, numbers = endpoint.ask([("INFO",), ("SENTINEL", "CKQUORUM", "redis"), ("X",)])
    assert (text, numbers) == ("hi", [3])
    assert (refused.code, refused.message, refused.expected) == ("NOQUORUM", "1 usable Sentinels.", "redis-0 accepts SENTINEL CKQUORUM")
    assert b"AUTH" in server.heard[0]
    assert "hidden" not in repr(endpoint._credentials)


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ("-ERR No such master with that name", "ERR", "No such master with that name"),
        ("-LOADING Redis is loading the dataset in memory", "LOADING", "Redis is loading the dataset in memory"),
        ("-READONLY You can't write against a read only replica.", "READONLY", "You can't write against a read only replica."),
        ("-NOPERM no", "NOPERM", "no"),
        ("-NOAUTH Authentication required.", "WRONGPASS", "Authentication required."),
        ("--NOGOODSLAVE No suitable replica to promote", "NOGOODSLAVE", "No suitable replica to promote"),
        ("--INPROG Failover already in progress", "INPROG", "Failover already in progress"),
        ("-NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", "Not enough good replicas to write."),
    ],
)
def test_a_refusal_has_its_code(answer: str, code: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        Endpoint("redis-0", Canned(f"{answer}\r\n").dial).command("PING")
    assert (caught.value.code, caught.value.message) == (code, message)


def test_a_login_that_is_refused() -> None:
    server = Canned("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    with pytest.raises(Refused) as caught:
        Endpoint("redis-0", server.dial, Credentials("admin", "hidden")).command("PING")
    assert caught.value.expected == "redis-0 accepts AUTH"
    assert "hidden" not in str(caught.value)


def test_a_server_that_hung_up_in_between_is_connected_to_again() -> None:
    server = Canned("+PONG\r\n", "+PONG\r\n")
    endpoint = Endpoint("redis-0", server.dial)
    assert endpoint.command("PING") == "PONG"
    server.answers.insert(0, "+PONG\r\n\r\n")
    assert endpoint.command("PING") == "PONG"
    server.ended.wait(1)
    assert endpoint.command("PING") == "PONG"
    assert server.connections == 2


def _silent(_seconds: float) -> socket.socket:
    near, far = socket.socketpair()
    KEPT.append(far)
    return near


def _closed(_seconds: float) -> socket.socket:
    near, far = socket.socketpair()
    far.close()
    return near


def _refusing(_seconds: float) -> socket.socket:
    raise ConnectionRefusedError(111, "Connection refused")


def _no_pod(_seconds: float) -> socket.socket:
    raise StackgateError("a connection", 'pods "redis-0" not found')


KEPT: list[socket.socket] = []


@pytest.mark.parametrize(
    ("dial", "reason"),
    [
        (_silent, "no answer in time"),
        (_closed, ""),
        (_refusing, "Connection refused"),
        (_no_pod, 'pods "redis-0" not found'),
    ],
)
def test_no_answer_has_its_reason(dial: Callable[[float], socket.socket], reason: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Endpoint("redis-0", dial).command("PING", timeout=0.1)
    assert reason in caught.value.reason
    assert caught.value.expected == "redis-0 answers"


def test_all_are_asked_and_errors_are_answers() -> None:
    endpoints = [Endpoint("a", Canned("+PONG\r\n").dial), Endpoint("b", _refusing)]
    answers = ask_all(endpoints, lambda one: one.command("PING"))
    assert answers["a"] == "PONG"
    assert isinstance(answers["b"], Unreachable)
    assert ask_all([], lambda one: one.command("PING")) == {}


def test_the_words_of_a_command_hold_no_value() -> None:
    assert [words(command) for command in (("SENTINEL", "SET", "redis", "auth-pass", "x"), ("AUTH", "x"), ("INFO",))] == [
        "SENTINEL SET",
        "AUTH",
        "INFO",
    ]
