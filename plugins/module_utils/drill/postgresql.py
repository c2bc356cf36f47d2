# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill on PostgreSQL: rows, each committed by itself, through the pooler."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Dial, Series
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Client, Refused, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Failed, Session

COMMIT = "commit"
TABLE = "stackgate_drill"
# Seconds for connecting, and for an answer: longer than a pooler has a client wait for a server.
ANSWER = 20.0
# What a server or a pooler says when it ends a connection, whatever had become of the statement: connection exceptions, and
# operator intervention (PostgreSQL's manual, appendix A).
ENDED = ("08", "57")


@dataclass
class PostgresqlStore:
    """See store.Store. lead: finds the leader's pod. takeover: has another member lead, and says which.

    synchronous: whether a commit is acknowledged only when a standby has it, too.
    """

    members: Sequence[str]
    credentials: Credentials
    database: str
    lead: Callable[[], str]
    takeover: Callable[[], str]
    synchronous: bool = True
    name: str = "postgresql"
    leader_word: str = "leader"
    port: int = 5432
    processes: Sequence[str] = ("postgres",)
    patience: float = 3 * ANSWER

    @property
    def series(self) -> Sequence[Series]:
        """Commits."""
        return (Series(COMMIT, promised=self.synchronous),)

    def leader(self) -> str:
        """The leader's pod."""
        return self.lead()

    def switchover(self) -> str:
        """Have another member lead; its pod."""
        return self.takeover()

    def route(self, dial: Dial) -> PostgresqlRoute:
        """The way through the pooler."""
        return PostgresqlRoute(dial, self.credentials, self.database)


@dataclass
class PostgresqlRoute:
    """See store.Route."""

    dial: Dial
    credentials: Credentials
    database: str

    def prepare(self) -> None:
        """An empty table."""
        with self._session(self.dial) as session:
            session.do(f"DROP TABLE IF EXISTS {TABLE}")
            session.do(f"CREATE TABLE {TABLE} (sequence bigint PRIMARY KEY)")

    def connect(self, series: str) -> Client:
        """Connect and log in, as far as to the leader."""
        return PostgresqlClient(self.dial, self._session)

    def present(self, series: str, sequences: Collection[int]) -> set[int]:
        """Which rows the leader has."""
        with self._session(self.dial) as session:
            return {int(row[0]) for row in session.rows(f"SELECT sequence FROM {TABLE}")}  # noqa: S608  # a constant

    def clean(self) -> None:
        """Remove the table."""
        with self._session(self.dial) as session:
            session.do(f"DROP TABLE {TABLE}")

    def _session(self, dial: Dial) -> Session:
        user = self.credentials
        return Session(dial, "PostgreSQL through the pooler", user.username, user.password, self.database, ANSWER, silent=False)


class PostgresqlClient:
    """One connection, cut when an answer takes too long: libpq itself waits without limit."""

    def __init__(self, dial: Dial, session: Callable[[Dial], Session]) -> None:
        self._far: socket.socket | None = None

        def kept(timeout: float) -> socket.socket:
            self._far = dial(timeout)
            return self._far

        self._session = session(kept)
        try:
            self._session.__enter__()
        except Failed as error:
            raise Refused(f"no connection: {error.seen}") from error

    def write(self, sequence: int) -> None:
        """One row, one commit."""
        late = threading.Timer(ANSWER, self._cut)
        late.daemon = True
        late.start()
        try:
            self._session.do(f"INSERT INTO {TABLE} VALUES (%s)", (sequence,))  # noqa: S608  # a constant
        except Failed as error:
            if not error.state or error.state.startswith(ENDED):
                raise Unanswered(error.seen) from error
            raise Refused(error.seen) from error
        finally:
            late.cancel()

    def close(self) -> None:
        """Hang up."""
        self._session.__exit__(None, None, None)

    def _cut(self) -> None:
        if self._far is not None:
            with contextlib.suppress(OSError):
                self._far.shutdown(socket.SHUT_RDWR)
