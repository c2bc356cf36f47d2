# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A played cluster: members that answer as Patroni does, and do what it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import settings
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Address, Members, Refused
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import Recorded


class PlayedSession:
    """In place of a connection to a member's server: rows() by the query's first match, statements are noted."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def rows(self, query: str, values: Any = ()) -> list[tuple[Any, ...]]:
        return next((found for begin, found in self._world.tables.items() if begin in query), [])

    def do(self, statement: Any, values: Any = (), doing: str = "") -> None:
        self._world.done.append(f"{self._name}: {doing or statement}")
        self._world.tables.update(self._world.after.get(doing, {}))


class PlayedMember:
    """A member of the played cluster."""

    def __init__(self, world: World, name: str) -> None:
        self.name = self.label = name
        self.address = Address(name, pod=name)
        self._world = world

    def get(self, path: str, timeout: float = 5.0) -> Any:
        self._world.look()
        if self.name in self._world.silent:
            raise StackgateError(f"{self.name} answers", f"{self.name}: {self._world.silent[self.name]}")
        if path == "/patroni":
            return self._world.status[self.name]
        if path == "/config":
            return self._world.config
        if self._world.cluster is None:
            raise Refused(self.name, f"GET {path}", 503, "no store")
        return self._world.cluster

    def status_of(self, path: str) -> int:
        status = self._world.status[self.name]
        return 200 if path == "/primary" and status.get("role") == "primary" and status.get("state") == "running" else 503

    def status(self, path: str, timeout: float = 5.0) -> int:
        self._world.look()
        return self.status_of(path)

    def send(self, method: str, path: str, body: Mapping[str, Any], timeout: float) -> str:
        self._world.done.append(f"{self.name}: {method} {path} {dict(body)}")
        if self._world.refusals:
            status, said = self._world.refusals.pop(0)
            raise Refused(self.name, f"{method} {path}", status, said)
        if path == "/switchover":
            self._world.lead(body["candidate"])
        elif path == "/restart":
            self._world.restart(self.name)
        elif path == "/config":
            self._world.config = settings.patched(self._world.config, body)
        return ""

    @contextlib.contextmanager
    def connect(self, database: str = "postgres", credentials: Any = None, timeout: float = 5.0) -> Iterator[PlayedSession]:
        if self._world.no_login:
            raise StackgateError("a user to log in to PostgreSQL as", "none is given")
        yield PlayedSession(self._world, f"{self.name}/{database}")


class World(Recorded):
    """Everything that is played.

    done: what was sent to members. refusals: what Patroni answers next, as (status, words). tables: part of a query -> its rows;
    after: what a statement changes there. later: changes that come with the nth question from now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        self.tables: dict[str, list[tuple[Any, ...]]] = {}
        self.after: dict[str, dict[str, list[tuple[Any, ...]]]] = {}
        self.no_login = False
        self.later: dict[int, Any] = {}
        self._looks = 0

    def look(self) -> None:
        self._looks += 1
        for number in [number for number in self.later if number <= self._looks]:
            self.later.pop(number)()

    def restart(self, name: str) -> None:
        """Patroni restarts a server: what waits for that is done."""
        for where in (self.status[name], self.entry(name)):
            where.pop("pending_restart", None)
            where.pop("pending_restart_reason", None)

    def members(self, *names: str) -> Members:
        """The members of these names, or all; the others can be reached, too."""

        def make(name: str) -> PlayedMember:
            return PlayedMember(self, name)

        return Members("postgresql", map(make, names or self.status), make=make)  # type: ignore[arg-type]
