# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users on servers with access control: from the localhost exception on."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest

USERS = [
    {"name": "shop", "database": "shop", "roles": ["readWrite"], "password": "shop-password"},
    {"name": "exporter", "roles": ["clusterMonitor", {"role": "read", "db": "local"}], "password": "exporter-password"},
    {"name": "backup", "roles": ["backup"], "password": "backup-password"},
]


@pytest.fixture
def rs(replica_set: Any) -> Any:
    return replica_set(3, auth=True)


def login(rs: Any, user: str, password: str, source: str = "admin") -> pymongo.MongoClient[dict[str, Any]]:
    return rs.servers.primary.client(username=user, password=password, authSource=source)  # type: ignore[no-any-return]


def test_a_set_with_its_users_then_nothing(rs: Any) -> None:
    result = rs.task(users=USERS)
    assert [entry["kind"] for entry in result["performed"]] == ["initiate", *["user"] * 4]
    again = rs.task(users=USERS)
    assert (again["changed"], again["plan"]) == (False, [])
    with login(rs, "shop", "shop-password", "shop") as client:
        client.shop.orders.insert_one({"_id": 1})
        with pytest.raises(pymongo.errors.OperationFailure):
            client.other.orders.insert_one({"_id": 1})
    with login(rs, "exporter", "exporter-password") as client:
        assert client.admin.command("replSetGetStatus")["set"] == "rs0"


def test_no_password_is_told(rs: Any) -> None:
    result = rs.task(users=USERS, diff=True)
    told = str(result) + str(rs.said)
    assert not [user["password"] for user in USERS if user["password"] in told] and "secret-1" not in told


def test_a_password_is_changed_only_when_asked(rs: Any) -> None:
    rs.task(users=USERS)
    changed = [{**USERS[0], "password": "another-password"}]
    left = rs.task(users=changed)
    assert not left["changed"] and "shop@shop has another password" in left["warnings"][0]
    assert rs.task(users=changed, update_password="always", check=True)["changed"]
    assert rs.task(users=changed, update_password="always")["performed"] == [
        {"kind": "user", "sentence": "give user shop@shop the new password"}
    ]
    assert not rs.task(users=changed, update_password="always")["changed"]
    with login(rs, "shop", "another-password", "shop") as client:
        client.shop.orders.find_one({"_id": 1})


def test_roles_are_put_right(rs: Any) -> None:
    rs.task(users=USERS)
    changed = [{**USERS[0], "roles": ["read"]}]
    assert rs.task(users=changed)["performed"][0]["sentence"] == "give user shop@shop roles read@shop in place of readWrite@shop"
    assert not rs.task(users=changed)["changed"]
    with login(rs, "shop", "shop-password", "shop") as client, pytest.raises(pymongo.errors.OperationFailure):
        client.shop.orders.insert_one({"_id": 2})


def test_a_wrong_admin_password_is_said(rs: Any) -> None:
    rs.task()
    error = rs.refused(login_password="wrong", timeout=5)
    assert "password" in str(error) or "login" in str(error)
    assert "wrong-password" not in str(error)


def test_check_mode_before_anything_is_there(rs: Any) -> None:
    planned = rs.task(users=USERS, check=True)
    assert [entry["kind"] for entry in planned["plan"] if "wait" not in entry["kind"]] == ["initiate", *["user"] * 4]
    assert set(rs.states().values()) == {"uninitialised"}


def test_members_that_come_later_have_the_users_too(rs: Any) -> None:
    rs.task(users=USERS)
    rs.add(2)
    rs.task(users=USERS)
    rs.reach(["PRIMARY", *["SECONDARY"] * 4])
    assert not rs.task(users=USERS)["changed"]


def test_an_arbiter_has_no_users_and_is_asked_all_the_same(rs: Any) -> None:
    rs.task(users=USERS)
    (name,) = rs.add(1, arbiter=True)
    rs.task(users=USERS)
    assert rs.states()[name] == "ARBITER" and not rs.task(users=USERS)["changed"]
