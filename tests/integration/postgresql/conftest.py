# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server, and the tasks that are run against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from actions import perform
from postgres_server import PASSWORD, SUPERUSER, PatroniApi, PostgresServer, programs
from waiting import PATIENCE

from ansible_collections.stackgate.k3s.plugins.action import patroni_cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import client
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Address, Credentials, Member


class Cluster:
    """One server that leads, under the API of Patroni. said: what the tasks printed."""

    def __init__(self, server: PostgresServer, api: PatroniApi) -> None:
        self.server, self.api = server, api
        self.said: list[str] = []

    def task(self, *, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        """stackgate.k3s.patroni_cluster. Raises StackgateError."""
        where = {"name": "postgresql-0", "host": "127.0.0.1", "port": self.server.port, "api_port": self.api.server_port}
        login = {"login_user": SUPERUSER, "login_password": PASSWORD, "rest_user": "patroni", "rest_password": "x"}
        given = {"scope": "postgresql", "members": [where], "timeout": PATIENCE, **login, **options}
        return perform(patroni_cluster, given, check=check, diff=diff, say=self.said.append)

    def member(self) -> Member:
        """The server, as the collection reaches it."""
        where = Address("postgresql-0", host="127.0.0.1", port=self.server.port, api_port=self.api.server_port)
        return client.reach("postgresql", [where], Credentials(SUPERUSER, PASSWORD))["postgresql-0"]

    def rows(self, query: str, database: str = "postgres", **login: str) -> list[tuple[Any, ...]]:
        """What the server says, asked without the code under test."""
        with self.server.connect(database, **login) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]


def running_server() -> Iterator[PostgresServer]:
    """What a fixture yields that wants a server of its own."""
    if programs() is None:
        pytest.skip("no PostgreSQL server here, and no apt-get to fetch one: set STACKGATE_POSTGRES")
    with PostgresServer() as made:
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """One server for all tests: each uses names of its own."""
    yield from running_server()


@pytest.fixture
def cluster(server: PostgresServer) -> Iterator[Cluster]:
    api = PatroniApi()
    yield Cluster(server, api)
    api.shutdown()
    api.server_close()
