# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for the database, and for its schema to be what this image needs. Without Django: many pods wait at the same time.

A plain connection and the list of migrations that the image carries answer within a tenth of a second of processor time,
where loading Django takes more than one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from forum.environment import Environment, database_parts

PAUSE = 1.0  # seconds between two looks
TELL = 5.0  # seconds between two different states told: migrations are applied several a second
REPEAT = 15.0  # seconds after which an unchanged state is told again


def read_migrations(file: Path) -> frozenset[tuple[str, str]]:
    """Pairs of application and migration, from lines like `misago_users 0001_initial`."""
    return frozenset((app, name) for app, name in (line.split() for line in file.read_text(encoding="utf-8").splitlines() if line))


def describe_missing(needed: Iterable[tuple[str, str]], applied: Iterable[tuple[str, str]]) -> str:
    """One sentence about the migrations that are not applied; empty when all are."""
    missing = sorted(set(needed) - set(applied))
    if not missing:
        return ""
    return f"{len(missing)} migrations are not applied, the first is {missing[0][0]}.{missing[0][1]}"


def look(parts: dict[str, object], needed: frozenset[tuple[str, str]]) -> str:
    """What is still lacking, as one sentence; empty when nothing is. `needed` empty: the database answers, no more."""
    import psycopg  # here, so that the rest of this module is tested without a driver

    try:
        with psycopg.connect(
            host=str(parts["host"]),
            port=str(parts["port"]),
            dbname=str(parts["name"]),
            user=str(parts["user"]),
            password=str(parts["password"]),
            connect_timeout=3,
        ) as connection:
            if not needed:
                connection.execute("SELECT 1")
                return ""
            return describe_missing(needed, connection.execute("SELECT app, name FROM django_migrations").fetchall())
    except psycopg.errors.UndefinedTable:
        return "no migration has run yet"
    except psycopg.Error as error:
        return f"{parts['host']}:{parts['port']} does not take a connection: {' '.join(str(error).split())}"


def wait(
    check: Callable[[], str],
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda line: print(line, flush=True),
) -> bool:
    """Call `check` until it finds nothing lacking, at most `limit` seconds; says what is lacking now and then."""
    started = told_at = clock()
    told = ""
    while True:
        lacking = check()
        now = clock()
        if not lacking:
            tell(f"ready after {now - started:.1f} s")
            return True
        if not told or now - told_at >= (REPEAT if lacking == told else TELL):
            tell(f"waiting: {lacking}")
            told, told_at = lacking, now
        if now - started >= limit:
            tell(f"gave up after {now - started:.0f} s: {lacking}")
            return False
        pause(PAUSE)


def wait_for_database(environment: Environment, migrations_file: Path | None) -> bool:
    """Block until the database answers, and has every migration of `migrations_file` when one is given. FORUM_WAIT: seconds, 600."""
    parts = database_parts(environment)
    needed = read_migrations(migrations_file) if migrations_file else frozenset()
    return wait(lambda: look(parts, needed), environment.number("FORUM_WAIT", 600, minimum=1))
