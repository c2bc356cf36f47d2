# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation with one PostgreSQL server, by psycopg, over a socket that somebody else makes; see tunnel.py for what it is given."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial, Tunnel

# What libpq looks for in the directory that it is given as host.
SOCKET = ".s.PGSQL.5432"
WRONG_PASSWORD = "28P01"  # noqa: S105  # not a password
# Seconds for one statement. A large database may take a while to be made.
STATEMENT_PATIENCE = 120.0
# A lock that somebody holds for longer than a minute is not waited for. No statement goes to the server's log, where this user may say so.
SILENT = (
    "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic"
    " -c client_min_messages=warning -c lock_timeout=60s"
)


class Failed(StackgateError):
    """The server refused a statement or a login. state: PostgreSQL's code (SQLSTATE); empty when it is not known, or nobody answered."""

    def __init__(self, where: str, doing: str, error: Exception, waited: float | None = None) -> None:
        diagnostics = getattr(error, "diag", None)
        self.state = str(getattr(error, "sqlstate", None) or "")
        said = str(getattr(diagnostics, "message_primary", None) or error).strip()
        if not self.state and "authentication failed" in said:  # libpq keeps the code of a refused login to itself
            self.state = WRONG_PASSWORD
        super().__init__(f"{where}: {doing}", f"{self.state}: {said}" if self.state else said, waited=waited)


class Session:
    """A connection, made when the `with` begins; every statement is a transaction of its own. Raises StackgateError.

    where: what errors call the server. timeout: seconds for connecting; patience: seconds for one statement.
    silent: what is sent is kept out of the server's log, which only a superuser may ask for.
    """

    def __init__(
        self,
        dial: Dial,
        where: str,
        username: str,
        password: str,
        database: str,
        timeout: float,
        silent: bool = True,
        patience: float = STATEMENT_PATIENCE,
    ) -> None:
        self._dial, self._where, self._timeout, self._patience = dial, where, timeout, patience
        self._login: dict[str, Any] = {"user": username, "password": password, "dbname": database}
        if silent:
            self._login["options"] = SILENT
        self._tunnel: Tunnel | None = None
        self._connection: Any = None

    def __enter__(self) -> Session:
        import psycopg

        self._tunnel = tunnel = Tunnel(self._dial, SOCKET)
        tunnel.patience = self._timeout
        begun = time.monotonic()
        try:
            self._connection = psycopg.connect(
                host=tunnel.directory,
                port=5432,
                autocommit=True,
                connect_timeout=max(int(self._timeout), 2),
                application_name="stackgate",
                # Through a pooler that hands sessions from one client to the next, nothing may be prepared.
                prepare_threshold=None,
                **self._login,
            )
        except psycopg.Error as error:
            tunnel.close()
            doing = f"user {self._login['user']} logs in to database {self._login['dbname']}"
            said = Exception(tunnel.trouble) if _cut(error) and tunnel.trouble else error
            raise Failed(self._where, doing, _plain(said), time.monotonic() - begun) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def rows(self, query: Any, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return list(self._run(query, values, "answers a query").fetchall())

    def do(self, statement: Any, values: Sequence[Any] = (), doing: str = "carries out a statement") -> None:
        """Carry a statement out. doing: what errors call it."""
        self._run(statement, values, doing)

    def verifier(self, username: str, password: str) -> str:
        """What the server keeps of a password (SCRAM-SHA-256), computed here: no password leaves this process."""
        made: bytes = self._connection.pgconn.encrypt_password(password.encode(), username.encode(), b"scram-sha-256")
        return made.decode()

    def _run(self, statement: Any, values: Sequence[Any], doing: str) -> Any:
        import psycopg

        begun = time.monotonic()
        tunnel = self._tunnel
        # A server on a node without power sends nothing, not even an end.
        late = threading.Timer(self._patience, tunnel.cut if tunnel else lambda: None)
        late.daemon = True
        late.start()
        try:
            return self._connection.execute(statement, values or None)
        except psycopg.Error as error:
            said = Exception(tunnel.trouble) if tunnel and tunnel.trouble and not error.sqlstate else error
            raise Failed(self._where, doing, said, time.monotonic() - begun) from error
        finally:
            late.cancel()


def _cut(error: Exception) -> bool:
    """Whether libpq only knows that the connection ended: the way to the server knows why."""
    return "server closed the connection" in str(error) or "timeout expired" in str(error)


def _plain(error: Exception) -> Exception:
    """libpq begins with the socket's path, which means nothing to anybody."""
    return Exception(re.sub(r'^(connection failed: )?connection to server on socket "[^"]*" failed: ', "", str(error)))
