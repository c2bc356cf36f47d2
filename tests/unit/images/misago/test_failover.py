# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cache's client makes of a server that is no master for a while. Django is a stand-in; client and parser are redis-py's."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

import pytest

redis = pytest.importorskip("redis")
pytest.importorskip("redis.backoff")


class Answers(socketserver.ThreadingTCPServer):
    """Gives each command on a key the next of some answers, and everything else what a client wants to hear when it connects."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: list[bytes]) -> None:
        self.answers, self.asked = answers, 0
        super().__init__(("127.0.0.1", 0), Conversation)


class Conversation(socketserver.StreamRequestHandler):
    server: Answers

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _word in range(int(line[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2])
            if words[0] != b"SET":
                self.wfile.write(b"+OK\r\n")
                continue
            self.server.asked += 1
            self.wfile.write(self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0])


def client(failover: Any, answers: list[bytes]) -> tuple[Any, Answers]:
    server = Answers(answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Later versions of redis-py than the image's try again by themselves, too.
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return failover.PatientRedis(port=server.server_address[1], socket_timeout=2, retry=once), server


@pytest.mark.parametrize(
    "refusal", ["NOREPLICAS Not enough good replicas to write.", "READONLY You can't write against a read only replica."]
)
def test_a_server_that_is_no_master_is_asked_again(failover: Any, refusal: str) -> None:
    patient, server = client(failover, [f"-{refusal}\r\n".encode(), b"+OK\r\n"])
    assert patient.set("session", "1") is True
    assert server.asked == 2


def test_a_wrong_command_is_an_error_at_once(failover: Any) -> None:
    patient, server = client(failover, [b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"])
    with pytest.raises(redis.exceptions.ResponseError, match="wrong kind"):
        patient.set("session", "1")
    assert server.asked == 1


def test_a_wrong_password_is_an_error_at_once(failover: Any) -> None:
    patient, server = client(failover, [b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"])
    with pytest.raises(failover.Refused, match="invalid username-password"):
        patient.set("session", "1")
    assert server.asked == 1


def test_patience_has_an_end(failover: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "PATIENCE", 0.5)
    patient, _server = client(failover, [b"-NOREPLICAS Not enough good replicas to write.\r\n"])
    with pytest.raises(failover.NoMaster):
        patient.set("session", "1")
