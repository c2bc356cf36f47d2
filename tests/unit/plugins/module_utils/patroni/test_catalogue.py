# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and databases: what a task's options mean, and what is done about what a server has. The statements run in tests/integration."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import catalogue, desired
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.catalogue import Catalogue, FoundDatabase, FoundRole
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.desired import Database, Desired, Role

FLAGS = dict.fromkeys(catalogue.FLAGS, False)
SECRETS = {("app", "password"): "s3cret-app", ("members", "exporter-password"): "s3cret-exporter"}


def options(roles: list[dict[str, Any]], databases: list[dict[str, Any]] | None = None, reset: bool = True) -> Desired:
    return desired.from_options(roles, databases or [], lambda name, key: SECRETS[name, key], reset)


def sentences(wanted: Desired, found: Catalogue) -> list[str]:
    return [change.sentence for change in catalogue.review(wanted, found).changes]


def verifier(password: str) -> str:
    salt = base64.b64encode(b"salt").decode()
    key = hmac.digest(hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1), b"Client Key", "sha256")
    return f"SCRAM-SHA-256$1:{salt}${base64.b64encode(hashlib.sha256(key).digest()).decode()}:eA=="


def role(name: str, password: str | None = None, groups: tuple[str, ...] = (), limit: int = -1, **flags: bool) -> FoundRole:
    kept = None if password is None else verifier(password)
    return FoundRole(name, {**FLAGS, "login": True, **flags}, limit, frozenset(groups), kept)


def test_options_become_what_is_wanted() -> None:
    wanted = options(
        [{"name": "app", "password_secret": "app"}, {"name": "group", "login": False, "member_of": ["pg_monitor"], "connection_limit": 3}],
        [{"name": "app", "owner": "app", "extensions": ["hstore", "hstore"], "connect": ["group"]}],
    )
    assert wanted.roles[0] == Role("app", password="s3cret-app")
    assert wanted.roles[1] == Role("group", login=False, member_of=frozenset({"pg_monitor"}), connection_limit=3)
    assert wanted.databases == (Database("app", "app", ("hstore",), frozenset({"group"})),)
    assert "s3cret" not in repr(wanted)


@pytest.mark.parametrize(
    ("roles", "databases", "words"),
    [
        ([{"name": "a"}, {"name": "a"}], [], "role a twice"),
        ([{"name": ""}], [], "a role without name"),
        ([{"name": "pg_app"}], [], "names that begin with pg_"),
        ([{"name": "ä" * 32}], [], "longer than 63 bytes"),
        ([{"name": "a", "password": "x", "password_secret": "app"}], [], "role a: password and password_secret"),
        ([], [{"name": "a"}], "database a without owner"),
        ([], [{"name": "a", "owner": "b"}, {"name": "a", "owner": "b"}], "database a twice"),
    ],
)
def test_mistakes_are_told(roles: list[dict[str, Any]], databases: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(StackgateError, match=words) as caught:
        options(roles, databases)
    assert "s3cret" not in str(caught.value)


APP = options(
    [
        {"name": "app", "password_secret": "app"},
        {"name": "exporter", "password_secret": "members", "password_key": "exporter-password", "member_of": ["pg_monitor"]},
    ],
    [{"name": "app", "owner": "app", "extensions": ["hstore", "btree_gin"], "connect": ["exporter"]}],
)


def test_an_empty_server() -> None:
    assert sentences(APP, Catalogue()) == [
        "create role app (login)",
        "create role exporter (login)",
        "make role exporter a member of pg_monitor",
        "create database app of app",
        "let only its users connect to database app",
        "let exporter connect to database app",
        "create extension hstore in database app",
        "create extension btree_gin in database app",
    ]


def in_order() -> Catalogue:
    roles = {"app": role("app", "s3cret-app"), "exporter": role("exporter", "s3cret-exporter", ("pg_monitor",))}
    database = FoundDatabase("app", "app", frozenset({"app", "exporter"}), frozenset({"plpgsql", "hstore", "btree_gin"}))
    return Catalogue(roles, {"app": database})


def test_nothing_to_do() -> None:
    assert sentences(APP, in_order()) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (role("app", "older"), ["give role app the password of its Secret"]),
        (role("app"), ["give role app the password of its Secret"]),
        (role("app", "s3cret-app", superuser=True, login=False), ["give role app login, nosuperuser"]),
        (role("app", "s3cret-app", limit=5), ["give role app connection limit -1 in place of 5"]),
        (role("app", "s3cret-app", ("admins",)), ["end role app's membership of admins"]),
    ],
)
def test_a_role_that_differs(found: FoundRole, expected: list[str]) -> None:
    there = in_order()
    assert sentences(APP, Catalogue({**there.roles, "app": found}, there.databases)) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            FoundDatabase("app", "postgres", frozenset({"postgres", "exporter"}), frozenset({"hstore", "btree_gin"})),
            ["make app the owner of database app, in place of postgres"],
        ),
        (
            FoundDatabase("app", "app", frozenset({"", "app", "exporter"}), frozenset({"hstore", "btree_gin"})),
            ["let only its users connect to database app"],
        ),
        (
            FoundDatabase("app", "app", frozenset({"app", "other"}), frozenset({"hstore", "btree_gin"})),
            ["let exporter connect to database app", "let other no longer connect to database app"],
        ),
        (
            FoundDatabase("app", "app", frozenset({"app", "exporter"}), frozenset({"hstore"})),
            ["create extension btree_gin in database app"],
        ),
    ],
)
def test_a_database_that_differs(found: FoundDatabase, expected: list[str]) -> None:
    assert sentences(APP, Catalogue(in_order().roles, {"app": found})) == expected


def test_a_database_for_everybody() -> None:
    wanted = options([], [{"name": "wiki", "owner": "a", "public": True}])
    assert sentences(wanted, Catalogue()) == ["create database wiki of a"]
    closed = Catalogue(databases={"wiki": FoundDatabase("wiki", "a", frozenset({"a"}))})
    assert sentences(wanted, closed) == ["let everybody connect to database wiki"]


def test_a_password_that_is_only_for_new_roles() -> None:
    wanted = options([{"name": "app", "password_secret": "app"}], reset=False)
    review = catalogue.review(wanted, Catalogue({"app": role("app", "older")}))
    assert (review.changes, len(review.warnings)) == ((), 1)
    assert "s3cret" not in review.warnings[0]


def test_a_password_that_nobody_gave_is_left_alone() -> None:
    assert sentences(options([{"name": "app"}]), Catalogue({"app": role("app", "whatever")})) == []


def test_no_change_shows_a_password() -> None:
    assert "s3cret" not in repr(catalogue.review(APP, Catalogue()))
