# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers, and the tasks that are run against them: the double, or a real mongod when there is one (see mongodb_servers.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from actions import perform
from mongodb_servers import PASSWORD, MongodServer, ReplicaSetServers
from waiting import PATIENCE, until

from ansible_collections.stackgate.k3s.plugins.action import mongodb_replica_set, mongodb_replica_set_info
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.execute import Execution

# How much faster than on a real server the double's timers run: an election takes about one second.
SPEED = 10.0


class ReplicaSet:
    """Servers, and the set that a task makes of them.

    members: what the task is told of each, by name; m0 is the first server. said: what the tasks printed.
    """

    def __init__(self, servers: ReplicaSetServers) -> None:
        self.servers = servers
        self.members: dict[str, dict[str, Any]] = {}
        self.said: list[str] = []
        self.take(*servers.members)

    def take(self, *servers: MongodServer, **fields: Any) -> list[str]:
        """List these servers as members; their names."""
        names = [f"m{self.servers.members.index(server)}" for server in servers]
        for name, server in zip(names, servers, strict=True):
            self.members[name] = {"name": name, "host": server.host, **fields}
        return names

    def add(self, count: int = 1, **fields: Any) -> list[str]:
        """Start more servers and list them."""
        return self.take(*[self.servers.add() for _one in range(count)], **fields)

    def server(self, name: str) -> MongodServer:
        return self.servers.members[int(name[1:])]

    def task(self, *, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        """stackgate.k3s.mongodb_replica_set with the listed members. Raises StackgateError."""
        return self._run(mongodb_replica_set, check, diff, {"timeout": PATIENCE, **options})

    def info(self) -> dict[str, Any]:
        """stackgate.k3s.mongodb_replica_set_info."""
        return self._run(mongodb_replica_set_info, False, False, {})

    def refused(self, **options: Any) -> StackgateError:
        """The error of a task that must fail."""
        with pytest.raises(StackgateError) as caught:
            self.task(**options)
        return caught.value

    def states(self) -> dict[str, str]:
        """The state of each member by name."""
        return {member["name"]: member["state"] or member["standing"] for member in self.info()["members"]}

    def reach(self, states: Sequence[str]) -> None:
        """Wait until the members are in these states, in whatever order."""
        until(f"the members are {states}", lambda: sorted(self.states().values()), holds=lambda seen: seen == sorted(states))

    def configured(self) -> dict[str, dict[str, Any]]:
        """What the set's configuration has for each member, by name."""
        names = {server.host: f"m{number}" for number, server in enumerate(self.servers.members)}
        return {names[member["host"]]: member for member in self.info()["config"]["members"]}

    def _run(self, module: Any, check: bool, diff: bool, options: Mapping[str, Any]) -> dict[str, Any]:
        login = {"login_user": "root", "login_password": PASSWORD} if self.servers.auth else {}
        given = {"name": "rs0", "members": list(self.members.values()), **login, **options}
        return perform(module, given, check=check, diff=diff, say=self.said.append)


@pytest.fixture
def replica_set() -> Iterator[Callable[..., ReplicaSet]]:
    """Makes servers, started and not initiated, and ends them."""
    started: list[ReplicaSetServers] = []

    def make(count: int = 3, **options: Any) -> ReplicaSet:
        servers = ReplicaSetServers(count, **{"speed": SPEED, **options})
        started.append(servers)
        servers.start()
        return ReplicaSet(servers)

    yield make
    for servers in started:
        servers.close()


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Call a function with the name of each point before and after a command of the tasks that follow."""
    original = Execution.__init__

    def install(between: Callable[[str], None]) -> None:
        def init(self: Execution, *arguments: Any, **more: Any) -> None:
            original(self, *arguments, **more)
            self._between = between

        monkeypatch.setattr(Execution, "__init__", init)

    return install
