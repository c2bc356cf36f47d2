# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to Patroni's REST API over a socket, as Patroni 4 answers them: HTTP/1.0, and no length of the body."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import client, observe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Address, Credentials, Members, Refused
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import LEADER, NAMES, Recorded

TOKEN = base64.b64encode(b"patroni:s3cret").decode()


class Api(ThreadingHTTPServer):
    """What is asked, and what is answered. linger: seconds from the answer's last byte to the end of the connection."""

    def __init__(self, recorded: Recorded) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.recorded, self.linger = recorded, 0.0
        self.name = LEADER
        self.asked: list[tuple[str, str, Any]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        recorded = self.server.recorded
        if self.path == "/primary":
            self._answer(200 if recorded.status[self.server.name]["role"] == "primary" else 503, "{}")
        elif self.path == "/config" and not recorded.config:
            self._answer(502, "Bad Gateway")
        else:
            self._answer(
                200,
                json.dumps(
                    {"/patroni": recorded.status[self.server.name], "/cluster": recorded.cluster, "/config": recorded.config}[self.path]
                ),
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.command, self.path, body))
        if self.headers.get("Authorization") != f"Basic {TOKEN}":
            self._answer(401, "not authenticated")
        elif self.path == "/switchover":
            self._answer(412, "candidate name does not match with sync_standby")
        else:
            self._answer(200, "restarted successfully")

    do_PATCH = do_POST

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()
        time.sleep(self.server.linger)

    def log_message(self, *_given: Any) -> None:
        """Silent."""


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(Recorded())
    yield made
    made.shutdown()
    made.server_close()


def members(api: Api, password: str = "s3cret", *names: str) -> Members:
    where = [Address(name, host="127.0.0.1", api_port=api.server_port, port=1) for name in names or (LEADER,)]
    return client.reach("postgresql", where, None, Credentials("patroni", password))


def test_a_question(api: Api) -> None:
    member = members(api)[LEADER]
    assert member.get("/patroni")["role"] == "primary"
    assert member.status("/primary") == 200


def test_the_end_of_the_connection_is_not_waited_for(api: Api) -> None:
    api.linger = 2.0
    member = members(api)[LEADER]
    begun = time.monotonic()
    member.get("/cluster")
    member.status("/primary")
    member.status("/primary")
    assert time.monotonic() - begun < 4


def test_something_is_done(api: Api) -> None:
    assert members(api)[LEADER].send("POST", "/restart", {"a": 1}, 5) == "restarted successfully"
    assert api.asked == [("POST", "/restart", {"a": 1})]


def test_a_refusal_in_patroni_s_words(api: Api) -> None:
    with pytest.raises(Refused, match="412 candidate name does not match with sync_standby") as caught:
        members(api)[LEADER].send("POST", "/switchover", {}, 5)
    assert caught.value.status == 412


def test_a_wrong_password_is_not_shown(api: Api) -> None:
    with pytest.raises(Refused, match=r"401 not authenticated\ntry: the REST API's user or password") as caught:
        members(api, "wr0ng")[LEADER].send("PATCH", "/config", {"ttl": 1}, 5)
    assert "wr0ng" not in str(caught.value) and "wr0ng" not in repr(Credentials("a", "wr0ng"))


def test_nobody_answers() -> None:
    silent = client.reach("postgresql", [Address("a", host="127.0.0.1", port=1, api_port=1)])
    found = observe.observe(silent)
    assert found.members[0].error == "Connection refused" and found.listed is None and not found.initialised
    assert observe.configuration(silent, found) is None


def test_all_are_asked_for_both(api: Api) -> None:
    found = observe.observe(members(api, "s3cret", *NAMES))
    assert [member.name for member in found.members] == list(NAMES)
    assert found.holder == LEADER and found.listed is not None and len(found.listed) == 3


def test_the_configuration_and_that_there_is_none(api: Api) -> None:
    reached = members(api)
    found = observe.observe(reached)
    assert observe.configuration(reached, found) == api.recorded.config
    api.recorded.config = {}
    assert observe.configuration(reached, found) is None


def test_a_member_that_nobody_named(api: Api) -> None:
    with pytest.raises(StackgateError, match="these were given: postgresql-0"):
        members(api)["postgresql-9"]
    assert members(api).including(["postgresql-9"]).names == (LEADER,)  # by address only: it cannot be reached


def test_a_login_that_nobody_gave(api: Api) -> None:
    with pytest.raises(StackgateError, match="set credentials_secret or login_user"):
        members(api)[LEADER].connect()
