# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit as an application makes it, through the pooler, and read back from a replica.

One small row for each pooler is replaced again and again, so that nothing grows.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.health import Probe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Session
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial

# Seconds for connecting, and for a commit: a pooler holds its clients while there is no leader.
CONNECT_TIMEOUT, COMMIT_TIMEOUT = 5.0, 10.0
# Seconds in which a replica has applied what was committed: a synchronous one has received it by then.
READ_TIMEOUT, READ_INTERVAL = 3.0, 0.02
THERE = "SELECT to_regclass('stackgate.gate') IS NOT NULL"
MAKE = (
    "CREATE SCHEMA IF NOT EXISTS stackgate",
    "CREATE TABLE IF NOT EXISTS stackgate.gate (name text PRIMARY KEY, value text NOT NULL)",
)
WRITE = "INSERT INTO stackgate.gate VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
READ = "SELECT value FROM stackgate.gate WHERE name = %s"


@dataclass(frozen=True)
class End:
    """A server or a pooler, and the way to it."""

    label: str
    dial: Dial


@dataclass(frozen=True)
class Application:
    """Whom it logs in as, and to which database."""

    credentials: Credentials
    database: str

    def session(self, end: End) -> Session:
        login = self.credentials
        return Session(
            end.dial, end.label, login.username, login.password, self.database, CONNECT_TIMEOUT, silent=False, patience=COMMIT_TIMEOUT
        )


def write_and_read(application: Application, through: Sequence[End], reader: End) -> Probe:
    """Commit through each of these at the same time, and read from `reader`. What went wrong first is told; never raises StackgateError."""
    value = secrets.token_hex(8)
    label = through[0].label if len(through) == 1 else f"each of {len(through)} poolers"
    begun = time.monotonic()
    try:
        with application.session(through[0]) as session:
            if session.rows(THERE) != [(True,)]:
                for statement in MAKE:
                    session.do(statement, doing="makes the table stackgate.gate")
            begun = time.monotonic()
            session.do(WRITE, ("0", value), "commits")
            seconds = time.monotonic() - begun
    except StackgateError as error:
        return Probe(through[0].label, write_error=_told(error, through[0]))
    others = list(enumerate(through))[1:]
    with ThreadPoolExecutor(max(len(others), 1)) as pool:
        troubles = list(pool.map(lambda numbered: _write(application, numbered[1], str(numbered[0]), value), others))
    for (_number, end), trouble in zip(others, troubles, strict=True):
        if trouble:
            return Probe(end.label, write_error=trouble)
    try:
        return Probe(label, reader.label, read_error=_read(application, reader, len(through), value), seconds=seconds)
    except StackgateError as error:
        return Probe(label, reader.label, read_error=_told(error, reader))


def _write(application: Application, end: End, name: str, value: str) -> str:
    """What is wrong with a commit; empty when nothing is."""
    try:
        with application.session(end) as session:
            session.do(WRITE, (name, value), "commits")
    except StackgateError as error:
        return _told(error, end)
    return ""


def _read(application: Application, reader: End, rows: int, value: str) -> str:
    """What is wrong with reading the rows; empty when nothing is."""
    until = time.monotonic() + READ_TIMEOUT
    with application.session(reader) as session:
        while True:
            found = [row for number in range(rows) for row in session.rows(READ, (str(number),))]
            if found == [(value,)] * rows:
                return ""
            if time.monotonic() >= until:
                return f"{'an older value' if found else 'nothing'} after {READ_TIMEOUT:g} s"
            time.sleep(READ_INTERVAL)


def _told(error: StackgateError, end: End) -> str:
    """An error without the name of the end, which stands beside it."""
    doing = error.expected.removeprefix(f"{end.label}: ")
    return error.seen if doing == "commits" else f"{doing}: {error.seen}"
