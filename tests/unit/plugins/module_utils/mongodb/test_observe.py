# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of whom. What the replies mean is tested in test_observation."""

from __future__ import annotations

import datetime
import socket
import time
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client, observe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials, Member, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer

OK = {"ok": 1.0}
BUILD = {"ok": 1.0, "version": "5.0.7", "versionArray": [5, 0, 7, 0]}
NO_CONFIG = {"ok": 0.0, "errmsg": "no replset config has been received", "code": 94, "codeName": "NotYetInitialized"}
UNAUTHORIZED = {"ok": 0.0, "errmsg": "command requires authentication", "code": 13, "codeName": "Unauthorized"}
WRONG = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18, "codeName": "AuthenticationFailed"}
GHOST = {"ok": 1.0, "isWritablePrimary": False, "secondary": False, "isreplicaset": True, "topologyVersion": {"processId": 1}}
CONFIG = {"_id": "rs0", "version": 1, "term": 1, "members": [{"_id": 0, "host": "m0:1"}, {"_id": 1, "host": "m1:1"}]}


def primary(**more: Any) -> dict[str, Any]:
    hello = {"ok": 1.0, "isWritablePrimary": True, "secondary": False, "setName": "rs0", "topologyVersion": {"processId": 1}}
    return {
        "hello": {**hello, "localTime": datetime.datetime.now(datetime.UTC)},
        "replSetGetStatus": {"ok": 1.0, "myState": 1, "term": 1, "members": []},
        "replSetGetConfig": {"ok": 1.0, "config": CONFIG, "commitmentStatus": True},
        "buildInfo": BUILD,
        "getParameter": {"ok": 1.0, "featureCompatibilityVersion": {"version": "5.0"}},
        "getDefaultRWConcern": OK,
        **more,
    }


def empty(**more: Any) -> dict[str, Any]:
    refused = {"replSetGetStatus": NO_CONFIG, "replSetGetConfig": NO_CONFIG, "getParameter": {"ok": 0.0, "errmsg": "unknown", "code": 258}}
    return {"hello": GHOST, **refused, "buildInfo": BUILD, "serverStatus": OK, "getCmdLineOpts": OK, **more}


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    def login(connection: Any, username: str, password: str, source: str, timeout: float = 1) -> None:
        connection.command({"saslStart": 1}, source, timeout)

    monkeypatch.setattr(client.Connection, "login", login)


def look(servers: dict[str, Any], credentials: Credentials | None = None, rounds: int = 1) -> Observation:
    """Observe m0, and whomever it names."""
    with Members(
        [Member("m0:1", servers["m0:1"].dial, credentials)], lambda host: Member(host, servers[host].dial, credentials)
    ) as members:
        observer = Observer(members, "rs0", ["m0:1"])
        return [observer.observe() for _round in range(rounds)][-1]


def test_members_that_the_set_names_are_asked_too(canned: Any) -> None:
    servers = {"m0:1": canned(primary()), "m1:1": canned(empty())}
    observed = look(servers)
    assert {member.host: member.standing for member in observed.members} == {"m0:1": Standing.MEMBER, "m1:1": Standing.UNINITIALISED}


def test_a_primary_is_asked_what_only_a_primary_knows_and_its_build_only_once(canned: Any) -> None:
    servers = {"m0:1": canned(primary()), "m1:1": canned(empty())}
    observed = look(servers, rounds=2)
    assert servers["m0:1"].commands.count("buildInfo") == 1 and servers["m0:1"].commands.count("getDefaultRWConcern") == 2
    assert all(body["commitmentStatus"] for name, body in servers["m0:1"].seen if name == "replSetGetConfig")
    found = observed.primary
    assert found and found.version == (5, 0, 7) and found.fcv == (5, 0) and found.commitment is True
    assert abs(found.clock_offset_s or 9) < 5


def test_one_connection_for_all_rounds(canned: Any) -> None:
    servers = {"m0:1": canned(primary()), "m1:1": canned(empty())}
    look(servers, rounds=3)
    assert (servers["m0:1"].connections, servers["m1:1"].connections) == (1, 1)


@pytest.mark.parametrize(("collections", "data"), [(0, False), (3, True)])
def test_an_uninitialised_member_is_asked_for_data_of_users(canned: Any, collections: int, data: bool) -> None:
    server = canned(empty(serverStatus={"ok": 1.0, "catalogStats": {"collections": collections}}))
    assert look({"m0:1": server}).members[0].has_user_data is data


def test_through_the_localhost_exception_a_refused_login_is_not_tried_for_every_question(canned: Any) -> None:
    server = canned(primary(saslStart=WRONG, replSetGetConfig=UNAUTHORIZED, getParameter=UNAUTHORIZED, getDefaultRWConcern=UNAUTHORIZED))
    observed = look({"m0:1": server}, Credentials("root", "x"), rounds=3)
    assert server.commands.count("saslStart") == 1
    assert observed.members[0].config is None and observed.members[0].state == "PRIMARY"


def test_where_users_exist_the_login_is_tried_again_each_time(canned: Any) -> None:
    """A user that was made on the primary reaches a secondary a little later."""
    answers = primary(saslStart=[WRONG, WRONG, OK], replSetGetConfig={"ok": 1.0, "config": {**CONFIG, "members": CONFIG["members"][:1]}})
    answers["replSetGetStatus"] = [UNAUTHORIZED, UNAUTHORIZED, {"ok": 1.0, "myState": 2, "members": []}]
    server = canned(answers)
    observed = look({"m0:1": server}, Credentials("root", "x"), rounds=2)
    assert server.commands.count("saslStart") == 3 and observed.members[0].state == "SECONDARY"


def test_a_silent_member_is_named_and_does_not_hold_up_the_others_again(canned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "SHORT_TIMEOUT", 0.1)
    servers = {"m0:1": canned(primary()), "m1:1": canned({"hello": 60})}
    with Members([Member(host, server.dial) for host, server in servers.items()]) as members:
        observer = Observer(members, "rs0", servers, timeout=2)
        begun = time.monotonic()
        first = observer.observe()
        between = time.monotonic()
        observer.observe()
        assert between - begun > 1.9 and time.monotonic() - between < 1.5
    assert first.members[1].standing is Standing.UNREACHABLE and first.members[1].error == "no answer in time"


def test_a_refused_connection_is_known_at_once() -> None:
    def refuse(_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    with Members([Member("m0:1", refuse)]) as members:
        begun = time.monotonic()
        assert Observer(members, "rs0", ["m0:1"], timeout=5).observe().members[0].error == "Connection refused"
        assert time.monotonic() - begun < 4


def test_a_member_that_is_shutting_down(canned: Any) -> None:
    quiesce = {"ok": 0.0, "errmsg": "The server is in quiesce mode and will shut down", "code": 91, "codeName": "ShutdownInProgress"}
    found = look({"m0:1": canned({"hello": quiesce})}).members[0]
    assert found.standing is Standing.UNREACHABLE and "quiesce" in found.error


def test_a_member_that_goes_away_between_two_questions(canned: Any) -> None:
    found = look({"m0:1": canned(primary(replSetGetStatus=EOFError))}).members[0]
    assert found.standing is Standing.UNREACHABLE and found.error == "it closed the connection"


def test_a_member_that_gets_its_configuration_between_two_questions(canned: Any) -> None:
    answers = primary(replSetGetConfig={"ok": 1.0, "config": {**CONFIG, "members": CONFIG["members"][:1]}})
    answers["hello"] = [GHOST, answers["hello"]]
    assert look({"m0:1": canned(answers)}).members[0].standing is Standing.MEMBER
