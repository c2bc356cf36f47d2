# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statements wait for a new leader, and which must not. Django is a stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


class OperationalError(Exception):
    """Django's."""


class InterfaceError(Exception):
    """Django's."""


class Server:
    """refusals: how many connections it refuses from now on; deaf: how many of those that it takes answer no statement."""

    def __init__(self, refusals: int = 0, deaf: int = 0) -> None:
        self.refusals, self.deaf, self.connects = refusals, deaf, 0


class DatabaseWrapper:
    """Django's, as far as the backend builds on it. A connection is the text `usable` or `deaf`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.connection: str | None = None
        self.in_atomic_block = False
        self.health_check_enabled, self.health_check_done = True, False
        self.errors_occurred = False

    def ensure_connection(self) -> None:
        if self.connection is not None:
            return
        self.server.connects += 1
        if self.server.refusals > 0:
            self.server.refusals -= 1
            raise OperationalError("the database system is starting up")
        self.connection = "deaf" if self.server.deaf > 0 else "usable"
        self.server.deaf -= 1

    def is_usable(self) -> bool:
        return self.connection == "usable"

    def close(self) -> None:
        self.connection = None


class Connections(list[Any]):
    """Django's: those of this thread."""

    def all(self, initialized_only: bool) -> list[Any]:
        assert initialized_only, "no connection is to be made for a look at them"
        return self


@pytest.fixture
def backend(stand_in: Callable[..., None], imported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in("django.db", connections=Connections())
    stand_in("django.db.backends.postgresql.base", DatabaseWrapper=DatabaseWrapper)
    stand_in("django.db.utils", InterfaceError=InterfaceError, OperationalError=OperationalError)
    monkeypatch.setattr("forum.patience.PAUSE", 0.0)
    return imported("forum.database.base")


def test_a_new_connection_waits_for_the_new_leader(backend: Any) -> None:
    wrapper = backend.DatabaseWrapper(Server(refusals=3))
    wrapper.ensure_connection()
    assert (wrapper.connection, wrapper.server.connects) == ("usable", 4)


def test_a_pooler_that_takes_connections_without_a_server_is_no_leader(backend: Any) -> None:
    wrapper = backend.DatabaseWrapper(Server(deaf=2))
    wrapper.ensure_connection()
    assert (wrapper.connection, wrapper.server.connects) == ("usable", 3)


def test_an_old_connection_is_tried_before_the_first_statement_and_replaced(backend: Any) -> None:
    wrapper = backend.DatabaseWrapper(Server(refusals=2))
    wrapper.connection = "deaf"
    wrapper.close_if_health_check_failed()
    assert (wrapper.connection, wrapper.health_check_done, wrapper.server.connects) == ("usable", True, 3)


def test_one_that_answers_is_kept_and_not_tried_again(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = backend.DatabaseWrapper(Server())
    wrapper.connection = "usable"
    wrapper.close_if_health_check_failed()
    monkeypatch.setattr(DatabaseWrapper, "is_usable", lambda _self: pytest.fail("asked once more in the same request"))
    wrapper.close_if_health_check_failed()
    assert wrapper.server.connects == 0


def test_within_a_transaction_nothing_is_tried_again(backend: Any) -> None:
    """What the transaction had done before is lost with its leader: the rest alone must not be done."""
    wrapper = backend.DatabaseWrapper(Server(refusals=1))
    wrapper.in_atomic_block = True
    with pytest.raises(OperationalError, match="starting up"):
        wrapper.ensure_connection()
    assert wrapper.server.connects == 1


def test_patience_has_an_end(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 0.05)
    monkeypatch.setattr("forum.patience.PAUSE", 0.01)
    with pytest.raises(OperationalError, match="takes a connection, and no statement"):
        backend.DatabaseWrapper(Server(deaf=10**9)).ensure_connection()


def test_a_database_that_goes_away_is_counted_once(backend: Any) -> None:
    wrapper = backend.DatabaseWrapper(Server())
    backend.connections.append(wrapper)
    wrapper.ensure_connection()
    assert backend.interruptions() == 0
    wrapper.connection, wrapper.errors_occurred = "deaf", True
    assert backend.interruptions() == 1
    wrapper.close()  # what Django does with a transaction that it cannot end
    wrapper.errors_occurred = False
    wrapper.ensure_connection()
    assert backend.interruptions() == 1


def test_a_statement_that_is_wrong_is_no_loss(backend: Any) -> None:
    wrapper = backend.DatabaseWrapper(Server())
    backend.connections.append(wrapper)
    wrapper.ensure_connection()
    wrapper.errors_occurred = True
    wrapper.close()
    assert backend.interruptions() == 0
