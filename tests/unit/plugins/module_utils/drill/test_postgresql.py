# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's client: which failures mean that a row is not there, and which mean nothing."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import postgresql
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.postgresql import PostgresqlClient, PostgresqlRoute, PostgresqlStore
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Refused, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Failed


class Session:
    """Keeps what it is asked for. fails: SQLSTATE of each statement's error, None for none. login: of the login's error."""

    def __init__(self, dial: Any, fails: str | None = None, login: str | None = None) -> None:
        self.dial, self.fails, self.login = dial, fails, login
        self.statements: list[tuple[str, Any]] = []
        self.open = False

    def __enter__(self) -> Session:
        self.dial(1.0)
        if self.login is not None:
            raise Failed("the pooler", "logs in", Exception(self.login))
        self.open = True
        return self

    def __exit__(self, *_error: object) -> None:
        self.open = False

    def do(self, statement: str, values: Any = ()) -> None:
        self.statements.append((statement, values))
        if self.fails is not None:
            error: Any = Exception("said so")
            error.sqlstate = self.fails
            raise Failed("the pooler", "inserts", error)

    def rows(self, query: str) -> list[tuple[int]]:
        self.statements.append((query, ()))
        return [(1,), (3,)]


def client(**how: Any) -> tuple[PostgresqlClient, Session]:
    made: list[Session] = []

    def session(dial: Any) -> Any:
        made.append(Session(dial, **how))
        return made[0]

    return PostgresqlClient(lambda timeout: socket.socketpair()[0], session), made[0]


def test_one_row_is_one_statement() -> None:
    made, session = client()
    made.write(7)
    assert session.statements == [("INSERT INTO stackgate_drill VALUES (%s)", (7,))]
    made.close()
    assert not session.open


@pytest.mark.parametrize("state", ["25006", "42501", "53300"])
def test_a_statement_that_was_refused(state: str) -> None:
    with pytest.raises(Refused, match=state):
        client(fails=state)[0].write(1)


@pytest.mark.parametrize("state", ["", "57P01", "08006", "08P01"])
def test_a_connection_that_ended_says_nothing_of_the_row(state: str) -> None:
    with pytest.raises(Unanswered, match="said so"):
        client(fails=state)[0].write(1)


def test_a_login_that_was_refused() -> None:
    with pytest.raises(Refused, match="no connection: no leader"):
        client(login="no leader")


def test_an_answer_that_takes_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "ANSWER", 0.1)
    near, far = socket.socketpair()
    hangs = SimpleNamespace(recv=far.recv)

    class Hanging(Session):
        def do(self, statement: str, values: Any = ()) -> None:
            assert hangs.recv(1) == b""  # until it is cut
            raise Failed("the pooler", "inserts", Exception("server closed the connection"))

    made = PostgresqlClient(lambda timeout: near, Hanging)  # type: ignore[arg-type]
    with pytest.raises(Unanswered, match="closed the connection"):
        made.write(1)
    assert threading.active_count() < 50


def test_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[Session] = []

    def session(self: Any, dial: Any) -> Any:
        sessions.append(Session(dial))
        return sessions[-1]

    monkeypatch.setattr(PostgresqlRoute, "_session", session)
    store = PostgresqlStore(("a", "b"), Credentials("app", "x"), "app", lambda: "a", lambda: "b", synchronous=False)
    assert [(series.name, series.promised) for series in store.series] == [("commit", False)]
    assert (store.leader(), store.switchover()) == ("a", "b")
    route = store.route(lambda timeout: socket.socketpair()[0])
    route.prepare()
    assert route.present("commit", [1, 2, 3]) == {1, 3}
    route.clean()
    said = [statement for one in sessions for statement, _values in one.statements]
    assert said == [
        "DROP TABLE IF EXISTS stackgate_drill",
        "CREATE TABLE stackgate_drill (sequence bigint PRIMARY KEY)",
        "SELECT sequence FROM stackgate_drill",
        "DROP TABLE stackgate_drill",
    ]
    assert not any(one.open for one in sessions)
