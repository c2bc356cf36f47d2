# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, databases and extensions on a real server."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import catalogue, slots
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Session


def wanted(name: str, password: str = "app-s3cret", **more: Any) -> dict[str, Any]:
    """An application's role and database, and an exporter that may connect to it."""
    return {
        "roles": [
            {"name": name, "password": password, **more},
            {"name": f"{name}-exporter", "password": "exporter-s3cret", "member_of": ["pg_monitor"]},
        ],
        "databases": [{"name": name, "owner": name, "extensions": ["hstore", "btree_gin"], "connect": [f"{name}-exporter"]}],
    }


def test_a_prediction_is_what_is_done_and_the_second_run_does_nothing(cluster: Any) -> None:
    options = {**wanted("forum"), "settings": {"ttl": 30, "postgresql": {"parameters": {"work_mem": "8MB"}}}}
    predicted = cluster.task(check=True, diff=True, **options)
    assert cluster.rows("SELECT 1 FROM pg_roles WHERE rolname = 'forum'") == [] and cluster.api.asked == []
    done = cluster.task(diff=True, **options)
    assert predicted["plan"] == done["plan"] == done["performed"]
    assert predicted["diff"] == done["diff"]
    assert done["plan"] == [
        "set postgresql.parameters.work_mem 8MB; ttl 30 in place of 20",
        "create role forum (login)",
        "create role forum-exporter (login)",
        "make role forum-exporter a member of pg_monitor",
        "create database forum of forum",
        "let only its users connect to database forum",
        "let forum-exporter connect to database forum",
        "create extension hstore in database forum",
        "create extension btree_gin in database forum",
    ]
    assert cluster.api.asked == [("PATCH", "/config", {"ttl": 30, "postgresql": {"parameters": {"work_mem": "8MB"}}})]
    again = cluster.task(diff=True, **options)
    assert (again["changed"], again["plan"], again["performed"]) == (False, [], [])
    assert len(cluster.api.asked) == 1
    assert cluster.rows("SELECT 'a=>1'::hstore -> 'a'", "forum", user="forum", password="app-s3cret") == [("1",)]


def test_nobody_else_may_connect(cluster: Any) -> None:
    cluster.task(**wanted("closed"), update_password="always")
    cluster.task(roles=[{"name": "stranger", "password": "stranger-s3cret"}])
    assert cluster.rows("SELECT current_user", "closed", user="closed-exporter", password="exporter-s3cret")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        cluster.rows("SELECT 1", "closed", user="stranger", password="stranger-s3cret")


def test_a_changed_password(cluster: Any) -> None:
    cluster.task(**wanted("renewed"))
    left = cluster.task(**wanted("renewed", "other-s3cret"), update_password="on_create")
    assert not left["changed"] and "renewed has another password" in left["warnings"][0]
    done = cluster.task(diff=True, **wanted("renewed", "other-s3cret"))
    assert done["performed"] == ["give role renewed the password of its Secret"]
    assert cluster.rows("SELECT 1", "renewed", user="renewed", password="other-s3cret") == [(1,)]
    assert "s3cret" not in repr(done)


@pytest.mark.parametrize("password", ["plain", "with 'quotes' and \\", "pässwörd \u2168 \u00aa", "%s %(a)s {}"])
def test_any_password_works_and_is_known_again(cluster: Any, password: str) -> None:
    role = {"name": "any", "password": password}
    cluster.task(roles=[role])
    assert not cluster.task(roles=[role])["changed"]
    assert cluster.rows("SELECT current_user", user="any", password=password) == [("any",)]


def test_no_password_reaches_the_server_or_the_terminal(cluster: Any) -> None:
    """The server logs every statement, of which a superuser's session says that it is not to be logged."""
    cluster.task(diff=True, **wanted("quiet", "quiet-s3cret"))
    cluster.task(diff=True, **wanted("quiet", "quieter-s3cret"))
    with pytest.raises(StackgateError):
        cluster.task(roles=[{"name": "quiet", "password": "quietest-s3cret", "member_of": ["nobody"]}])
    log = cluster.server.log()
    assert "SCRAM" not in log and "s3cret" not in log.replace("super-s3cret", "")
    assert "s3cret" not in "".join(cluster.said)
    with cluster.server.connect() as connection:
        connection.execute("SELECT 'seen in the log'")
    assert "seen in the log" in cluster.server.log()


def test_what_is_sent_is_a_verifier(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    do = Session.do

    def watched(session: Session, statement: Any, *more: Any, **named: Any) -> None:
        sent.append(statement if isinstance(statement, str) else statement.as_string())
        do(session, statement, *more, **named)

    monkeypatch.setattr(Session, "do", watched)
    cluster.task(roles=[{"name": "sent", "password": "first-s3cret"}])
    cluster.task(roles=[{"name": "sent", "password": "second-s3cret"}])
    assert len(sent) == 2 and all("PASSWORD 'SCRAM-SHA-256$4096:" in statement for statement in sent)
    assert "s3cret" not in "".join(sent)


def test_names_with_anything_in_them(cluster: Any) -> None:
    name = 'a "quoted" name; DROP'
    options = {"roles": [{"name": name, "password": "x"}], "databases": [{"name": name, "owner": name, "extensions": ["pg_trgm"]}]}
    assert cluster.task(**options)["changed"]
    assert not cluster.task(**options)["changed"]


def test_everything_about_a_role_and_its_database_changes(cluster: Any) -> None:
    cluster.task(**wanted("shifting"), settings={})
    after = {
        "roles": [
            {"name": "shifting", "login": False, "createdb": True, "connection_limit": 5, "password": "app-s3cret"},
            {"name": "shifting-exporter", "password": "exporter-s3cret", "member_of": ["pg_read_all_data"]},
        ],
        "databases": [{"name": "shifting", "owner": "shifting-exporter", "extensions": ["hstore"], "public": True}],
    }
    assert cluster.task(**after)["performed"] == [
        "give role shifting nologin, createdb, connection limit 5 in place of -1",
        "make role shifting-exporter a member of pg_read_all_data",
        "end role shifting-exporter's membership of pg_monitor",
        "make shifting-exporter the owner of database shifting, in place of shifting",
        "let everybody connect to database shifting",
    ]
    assert not cluster.task(**after)["changed"]
    back = cluster.task(**wanted("shifting", connection_limit=-1))
    assert back["changed"] and not cluster.task(**wanted("shifting"))["changed"]


@pytest.mark.parametrize("steps", range(7))
def test_a_run_that_is_cut_off_is_continued(cluster: Any, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    options = wanted(f"cut{steps}")
    original = catalogue.Change

    class Cut(BaseException):
        """Ends the run."""

    done: list[str] = []

    def apply(leader: Any, changes: Any, told: Any) -> None:
        def count(change: original) -> None:
            told(change)
            done.append(change.sentence)
            if len(done) > steps:
                raise Cut

        original_apply(leader, changes, count)

    original_apply = catalogue.apply
    monkeypatch.setattr(catalogue, "apply", apply)
    with pytest.raises(Cut):
        cluster.task(**options)
    monkeypatch.undo()
    rest = cluster.task(**options)["performed"]
    assert len(done) + len(rest) == 8 and not set(done) & set(rest)
    assert not cluster.task(**options)["changed"]


def test_an_extension_that_is_not_installed(cluster: Any) -> None:
    options = {"roles": [{"name": "x", "password": "x"}], "databases": [{"name": "x", "owner": "x", "extensions": ["no_such_thing"]}]}
    with pytest.raises(StackgateError, match=r"create extension no_such_thing in database x\nseen .*: 0A000: extension") as caught:
        cluster.task(**options)
    assert "create database x of x" in caught.value.details["performed"]


def test_an_owner_that_nobody_made(cluster: Any) -> None:
    with pytest.raises(StackgateError, match=r'42704: role "nobody" does not exist'):
        cluster.task(databases=[{"name": "orphan", "owner": "nobody"}])


def test_slots_of_members_that_have_gone(cluster: Any) -> None:
    with cluster.server.connect() as connection:
        for name in ("postgresql_1", "postgresql_3", "archive", "postgresql_4_backup"):
            connection.execute("SELECT pg_create_physical_replication_slot(%s)", (name,))
    try:
        assert slots.leftovers(cluster.member(), ["postgresql-0", "postgresql-1"]) == {"postgresql_3": False}
        assert slots.leftovers(cluster.member(), ["db.example"]) == {}
    finally:
        with cluster.server.connect() as connection:
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
