# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members: when they are connected to, when a login is tried, and all of them at once."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials, Member, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable

OK = {"ok": 1.0}
WANTS_LOGIN = {"ok": 0.0, "errmsg": "command replSetGetStatus requires authentication", "code": 13, "codeName": "Unauthorized"}
WRONG = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18, "codeName": "AuthenticationFailed"}
PRIMARY = {"ok": 1.0, "isWritablePrimary": True, "secondary": False, "setName": "rs0"}
GHOST = {"ok": 1.0, "isWritablePrimary": False, "secondary": False, "isreplicaset": True}
ADMIN = Credentials("admin", "hunter2")


@pytest.fixture(autouse=True)
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A login is one command: the conversation is the driver's."""
    tried: list[str] = []

    def login(connection: Any, username: str, password: str, source: str, timeout: float = 1) -> None:
        tried.append(f"{username}@{source}")
        connection.command({"saslStart": 1, "for": f"{username}:{password}"}, source, timeout)

    monkeypatch.setattr(client.Connection, "login", login)
    return tried


def test_a_password_is_in_no_text() -> None:
    assert "hunter2" not in repr(ADMIN)


def test_one_connection_made_when_it_is_needed(canned: Any) -> None:
    server = canned({"hello": PRIMARY, "ping": OK})
    member = Member("m1:27017", server.dial)
    assert server.connections == 0
    member.hello()
    member.command({"ping": 1})
    assert (server.connections, server.commands) == (1, ["hello", "ping"])


def test_a_login_comes_first_and_once(canned: Any, logins: list[str]) -> None:
    server = canned({"hello": PRIMARY, "saslStart": OK})
    member = Member("m1:27017", server.dial, ADMIN)
    member.hello()
    member.hello()
    assert member.logged_in and logins == ["admin@admin"]


@pytest.mark.parametrize("refusal", [WRONG, {"ok": 0.0, "errmsg": "in no state to tell", "code": 17}])
def test_a_member_without_users_is_asked_without_a_login(canned: Any, logins: list[str], refusal: dict[str, Any]) -> None:
    member = Member("m1:27017", canned({"hello": GHOST, "saslStart": refusal}).dial, ADMIN)
    assert member.hello()["isreplicaset"] and member.hello()
    assert member.logged_in is False and len(logins) == 1


def test_a_login_when_the_server_wants_one(canned: Any) -> None:
    server = canned({"replSetGetStatus": [WANTS_LOGIN, {"ok": 1.0, "myState": 1}], "saslStart": OK})
    member = Member("m1:27017", server.dial, ADMIN)
    assert member.command({"replSetGetStatus": 1})["myState"] == 1
    assert server.commands == ["replSetGetStatus", "saslStart", "replSetGetStatus"]


def test_a_wrong_password_leaves_the_servers_answer(canned: Any) -> None:
    server = canned({"replSetGetStatus": WANTS_LOGIN, "saslStart": WRONG})
    member = Member("m1:27017", server.dial, ADMIN)
    with pytest.raises(CommandFailed) as caught:
        member.command({"replSetGetStatus": 1})
    assert (caught.value.code, member.logged_in) == (13, False)


def test_a_lost_connection_is_made_again_and_logged_in_again(canned: Any, logins: list[str]) -> None:
    server = canned({"hello": [PRIMARY, EOFError, PRIMARY], "saslStart": OK})
    member = Member("m1:27017", server.dial, ADMIN)
    member.hello()
    with pytest.raises(Unreachable):
        member.hello()
    member.hello()
    assert server.connections == 2 and len(logins) == 2


def test_another_login_uses_a_connection_of_its_own(canned: Any) -> None:
    server = canned({"hello": PRIMARY, "saslStart": lambda body: OK if body["for"] == "app:right" else WRONG})
    member = Member("m1:27017", server.dial)
    member.hello()
    assert member.accepts(Credentials("app", "right", "shop")) and not member.accepts(Credentials("app", "wrong", "shop"))
    assert member.logged_in is None


def test_all_are_asked_at_once_and_errors_are_answers(canned: Any) -> None:
    slow = [Member(f"m{n}:27017", canned({"ping": 0.8}).dial) for n in range(4)]

    def refuse(_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    with Members([*slow, Member("gone:27017", refuse)]) as members:
        begun = time.monotonic()
        answers = members.ask(lambda member: member.command({"ping": 1})["ok"])
        assert time.monotonic() - begun < 2.4
    assert [answers[f"m{n}:27017"] for n in range(4)] == [1.0] * 4
    gone = answers["gone:27017"]
    assert isinstance(gone, Unreachable) and gone.reason == "Connection refused"


def test_a_defect_is_not_an_answer(canned: Any) -> None:
    with Members([Member("m1:27017", canned({}).dial)]) as members, pytest.raises(ZeroDivisionError):
        members.ask(lambda member: 1 / 0)


@pytest.mark.parametrize(
    ("host", "parts"), [("m:1", ("m", 1)), ("m", ("m", 27017)), ("[::1]:5", ("::1", 5)), ("a.b.c:27018", ("a.b.c", 27018))]
)
def test_hosts(host: str, parts: tuple[str, int]) -> None:
    assert client.split(host) == parts


class Ways:
    """A cluster that notes which pods are connected to."""

    def __init__(self) -> None:
        self.made = 0
        self.pods: list[tuple[str, str, int]] = []

    def __call__(self) -> Ways:
        self.made += 1
        return self

    def connect_pod(self, pod: str, namespace: str, port: int, timeout: float) -> socket.socket:
        self.pods.append((pod, namespace, port))
        raise ConnectionRefusedError(111, "refused")


def test_pods_are_reached_through_the_api_server_also_those_found_later() -> None:
    ways = Ways()
    hosts = {"db-0.db.shop.svc:27017": "db-0", "db-1.db.shop.svc:27018": "db-1"}
    members = client.reach(hosts, None, "shop", ways)  # type: ignore[arg-type]
    members.ask(Member.hello)
    late = members["db-4.db.shop.svc:27017"]
    with pytest.raises(Unreachable, match=r"db-4\.db\.shop\.svc:27017 \(Pod/db-4\) answers"):
        late.hello()
    assert (ways.made, set(ways.pods)) == (1, {("db-0", "shop", 27017), ("db-1", "shop", 27018), ("db-4", "shop", 27017)})


def test_addresses_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(client.socket, "create_connection", lambda address, timeout: asked.append(address))
    client.reach({"10.0.0.1:27018": ""}, None)["10.0.0.1:27018"]._dial(1)
    assert asked == [("10.0.0.1", 27018)]
