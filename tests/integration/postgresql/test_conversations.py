# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations with a server: a commit that is read back, logins that fail, servers that fall silent."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import probe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Failed, Session


@pytest.fixture
def application(cluster: Any) -> probe.Application:
    cluster.task(roles=[{"name": "app", "password": "app-s3cret"}], databases=[{"name": "app", "owner": "app"}])
    return probe.Application(Credentials("app", "app-s3cret"), "app")


def end(cluster: Any, label: str = "proxy") -> probe.End:
    return probe.End(label, lambda seconds: socket.create_connection(("127.0.0.1", cluster.server.port), timeout=seconds))


def test_a_commit_is_read_back_and_nothing_grows(cluster: Any, application: probe.Application) -> None:
    for _time in range(2):
        found = probe.write_and_read(application, [end(cluster, "one"), end(cluster, "two")], end(cluster, "replica"))
        assert (found.through, found.read_from, found.write_error, found.read_error) == ("each of 2 poolers", "replica", "", "")
    assert len(cluster.rows("SELECT * FROM stackgate.gate", "app")) == 2


def test_a_server_that_takes_no_writes(cluster: Any, application: probe.Application) -> None:
    probe.write_and_read(application, [end(cluster)], end(cluster))
    cluster.rows("SELECT 1")
    with cluster.server.connect() as connection:
        connection.execute("ALTER ROLE app SET default_transaction_read_only = on")
    try:
        found = probe.write_and_read(application, [end(cluster)], end(cluster))
    finally:
        with cluster.server.connect() as connection:
            connection.execute("ALTER ROLE app RESET default_transaction_read_only")
    assert found.write_error == "25006: cannot execute INSERT in a read-only transaction"


def test_the_second_pooler_refuses(cluster: Any, application: probe.Application) -> None:
    nobody = probe.End("two", lambda seconds: socket.create_connection(("127.0.0.1", 1), timeout=seconds))
    found = probe.write_and_read(application, [end(cluster, "one"), nobody], end(cluster))
    assert (found.through, found.write_error) == ("two", "user app logs in to database app: Connection refused")


def test_a_replica_that_does_not_have_it(cluster: Any, application: probe.Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "READ_TIMEOUT", 0.1)
    monkeypatch.setattr(probe, "READ", "SELECT 'older'::text WHERE %s <> ''")
    assert probe.write_and_read(application, [end(cluster)], end(cluster)).read_error == "an older value after 0.1 s"


def test_a_wrong_password(cluster: Any, application: probe.Application) -> None:
    wrong = probe.Application(Credentials("app", "wr0ng"), "app")
    found = probe.write_and_read(wrong, [end(cluster)], end(cluster))
    assert found.write_error == 'user app logs in to database app: 28P01: FATAL:  password authentication failed for user "app"'
    with (
        pytest.raises(Failed, match="postgresql-0: user app logs in to database none") as caught,
        cluster.member().connect("none", Credentials("app", "app-s3cret")),
    ):
        pass
    assert 'database "none" does not exist' in caught.value.seen


def test_a_server_that_falls_silent(cluster: Any) -> None:
    dial = end(cluster).dial
    session = Session(dial, "postgresql-0", "postgres", "super-s3cret", "postgres", 5.0, patience=0.5)
    with session:
        cluster.server.freeze()
        try:
            with pytest.raises(StackgateError, match="no answer in time"):
                session.rows("SELECT 1")
        finally:
            cluster.server.thaw()


def test_a_server_that_dies_and_comes_back(cluster: Any) -> None:
    cluster.server.kill()
    try:
        with pytest.raises(StackgateError, match="Connection refused"):
            cluster.task(roles=[{"name": "later", "password": "x"}], timeout=1)
    finally:
        cluster.server.start()
    assert cluster.task(roles=[{"name": "later", "password": "x"}])["changed"]


def test_a_wrong_superuser_s_password_is_told_at_once(cluster: Any) -> None:
    with pytest.raises(
        StackgateError, match=r"user postgres logs in to database postgres\nseen .*: 28P01: FATAL:  password auth"
    ) as caught:
        cluster.task(login_password="wr0ng", roles=[{"name": "x", "password": "x"}])
    assert "wr0ng" not in str(caught.value)
    assert cluster.said == [], "nothing was waited for"
