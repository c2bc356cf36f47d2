# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users: the first one, the others, and nothing when nothing differs."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Timestamp

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client, users
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials, Member
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.users import User, apply, review, roles_of

OK = {"ok": 1.0}
UNAUTHORIZED = {"ok": 0.0, "errmsg": "command replSetGetStatus requires authentication", "code": 13, "codeName": "Unauthorized"}
WRONG = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18, "codeName": "AuthenticationFailed"}
ADMIN = User(Credentials("root", "adminpw"), users.ADMIN_ROLES)
SHOP = User(Credentials("shop", "shoppw", "shop"), roles_of(["readWrite"], "shop"))
EXPORTER = User(Credentials("exporter", "exppw"), roles_of(["clusterMonitor", {"role": "read", "db": "local"}], "admin"))


class Server:
    """A primary that has users: name@db to (password, roles)."""

    def __init__(self, canned: Any, has: dict[str, tuple[str, list[tuple[str, str]]]]) -> None:
        self.has = has
        self.logged_in: set[str] = set()
        self.server = canned(
            {
                "saslStart": lambda body: OK if self.has.get(body["user"], ("",))[0] == body["password"] else WRONG,
                "usersInfo": self._info,
                "createUser": self._create,
                "updateUser": self._update,
                "replSetGetStatus": lambda body: UNAUTHORIZED if self.has else OK,
                "hello": {"ok": 1.0, "isWritablePrimary": True, "secondary": False},
            }
        )

    def _info(self, body: dict[str, Any]) -> dict[str, Any]:
        found = [(key, self.has.get(f"{key['user']}@{key['db']}")) for key in body["usersInfo"]]
        infos = [{**key, "roles": [{"role": r, "db": d} for r, d in has[1]]} for key, has in found if has]
        return {"ok": 1.0, "users": infos}

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.has[f"{body['createUser']}@{body['$db']}"] = (body["pwd"], [(role["role"], role["db"]) for role in body["roles"]])
        return OK

    def _update(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"{body['updateUser']}@{body['$db']}"
        password, roles = self.has[name]
        roles = [(role["role"], role["db"]) for role in body["roles"]] if "roles" in body else roles
        self.has[name] = (body.get("pwd", password), roles)
        return OK

    def member(self, admin: User | None = ADMIN) -> Member:
        return Member("m1:27017", self.server.dial, admin.credentials if admin else None)


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    def login(connection: Any, username: str, password: str, source: str, timeout: float = 1) -> None:
        connection.command({"saslStart": 1, "user": f"{username}@{source}", "password": password}, source, timeout)

    monkeypatch.setattr(client.Connection, "login", login)


def done(server: Server, *others: User, admin: User | None = ADMIN) -> list[str]:
    member = server.member(admin)
    found = review(member, admin, others)
    for change in found.changes:
        apply(member, change)
    return [change.sentence for change in found.changes]


def test_the_first_user_then_the_others_then_nothing(canned: Any) -> None:
    server = Server(canned, {})
    assert done(server, SHOP, EXPORTER) == [
        "create user root@admin with root@admin",
        "create user shop@shop with readWrite@shop",
        "create user exporter@admin with clusterMonitor@admin, read@local",
    ]
    assert server.has["exporter@admin"] == ("exppw", [("clusterMonitor", "admin"), ("read", "local")])
    assert done(server, SHOP, EXPORTER) == []


def test_a_majority_is_asked_for_and_only_the_newer_mechanism(canned: Any) -> None:
    server = Server(canned, {})
    done(server)
    body = next(body for name, body in server.server.seen if name == "createUser")
    assert body["writeConcern"] == {"w": "majority", "wtimeout": 10_000} and body["mechanisms"] == ["SCRAM-SHA-256"]


def test_review_writes_nothing(canned: Any) -> None:
    server = Server(canned, {})
    assert len(review(server.member(), ADMIN, [SHOP]).changes) == 2
    assert server.has == {}


def test_a_wrong_admin_password_where_users_exist(canned: Any) -> None:
    server = Server(canned, {"root@admin": ("other", [("root", "admin")])})
    with pytest.raises(StackgateError, match=r"takes the password of root@admin\n.*it has users already"):
        review(server.member(), ADMIN, [SHOP])


def test_roles_are_made_exactly_what_they_should_be(canned: Any) -> None:
    server = Server(canned, {"root@admin": ("adminpw", [("root", "admin")]), "shop@shop": ("shoppw", [("dbOwner", "shop"), ("read", "x")])})
    assert done(server, SHOP) == ["give user shop@shop roles readWrite@shop in place of dbOwner@shop, read@x"]
    assert server.has["shop@shop"] == ("shoppw", [("readWrite", "shop")])


def test_another_password_is_left_alone_and_told(canned: Any) -> None:
    server = Server(canned, {"root@admin": ("adminpw", [("root", "admin")]), "shop@shop": ("old", [("readWrite", "shop")])})
    found = review(server.member(), ADMIN, [SHOP])
    assert found.changes == () and "shop@shop has another password than the one given" in found.warnings[0]
    assert "shoppw" not in str(found)


def test_another_password_is_set_when_asked(canned: Any) -> None:
    server = Server(canned, {"root@admin": ("adminpw", [("root", "admin")]), "shop@shop": ("old", [("readWrite", "shop")])})
    asked = User(SHOP.credentials, SHOP.roles, reset=True)
    assert done(server, asked) == ["give user shop@shop the new password"]
    assert done(server, asked) == [] and server.has["shop@shop"][0] == "shoppw"


def test_a_server_without_access_control(canned: Any) -> None:
    server = Server(canned, {})
    assert done(server, SHOP, admin=None) == ["create user shop@shop with readWrite@shop"]
    assert done(server, SHOP, admin=None) == []


def test_no_users_no_questions(canned: Any) -> None:
    server = Server(canned, {})
    assert review(server.member(None), None, []).changes == () and server.server.commands == []


def test_a_user_that_only_the_primary_has_is_waited_for(canned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded (08b): ok 1 with a writeConcernError; the user exists, and would be lost with the primary."""
    monkeypatch.setattr(users, "PAUSE", 0.05)
    late = [{"majorityOpTime": {"ts": Timestamp(100, 1), "t": 1}}, {"majorityOpTime": {"ts": Timestamp(105, 1), "t": 1}}]
    answers = [{"ok": 1.0, "isWritablePrimary": True, "lastWrite": one} for one in late]
    error = {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out"}
    server = canned({"createUser": {"ok": 1.0, "operationTime": Timestamp(103, 2), "writeConcernError": error}, "hello": answers})
    member = Member("m1:27017", server.dial)
    apply(member, review(Server(canned, {}).member(), ADMIN, []).changes[0])
    assert server.commands == ["createUser", "hello", "hello"]
    monkeypatch.setattr(users, "PATIENCE", 0.5)
    answers[:] = answers[:1] * 2
    server.answers["hello"] = {"ok": 1.0, "isWritablePrimary": True, "lastWrite": late[0]}
    with pytest.raises(StackgateError, match="only the primary has it"):
        apply(member, review(Server(canned, {}).member(), ADMIN, []).changes[0])


def test_no_password_in_what_is_shown(canned: Any) -> None:
    found = review(Server(canned, {}).member(), ADMIN, [SHOP])
    assert "pw" not in " ".join(change.sentence for change in found.changes)
    assert "shoppw" not in repr(SHOP) + repr(found)
