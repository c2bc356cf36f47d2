# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replica sets of processes, and what this project knows to ask and to do with them."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pymongo
import pytest
from mongodb_servers import PASSWORD, MongodServer, ReplicaSetServers
from waiting import PATIENCE, until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client, health, probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.rollout import Rollout

# How much faster than the wall clock the double's timers run.
SPEED = 10.0


class Cluster:
    """A running, initiated set."""

    def __init__(self, servers: ReplicaSetServers) -> None:
        self.servers = servers
        self.hosts = tuple(servers.hosts)
        self.names = {host: f"member-{n}" for n, host in enumerate(self.hosts)}
        login = client.Credentials("root", PASSWORD) if servers.auth else None
        self.members = client.reach(dict.fromkeys(self.hosts, ""), login)
        self.observer = Observer(self.members, "rs0", self.hosts)
        self.lines: list[str] = []

    def server(self, host: str) -> MongodServer:
        return next(server for server in self.servers.members if server.host == host)

    def observe(self) -> Observation:
        return self.observer.observe()

    def judge(self, bounds: health.Bounds | None = None) -> health.Verdict:
        return health.judge(self.observe(), bounds or health.Bounds(), self.hosts)

    def write(self) -> health.Verdict:
        """The verdict with a write, as the gate does it."""
        seen = self.observe()
        return health.judge(seen, health.Bounds(), self.hosts, probe.write_and_read(self.members, seen, "rs0"))

    def failing(self, *conditions: str) -> health.Verdict:
        """The verdict, once one of these conditions does not hold."""
        found: health.Verdict = until(
            f"{' or '.join(conditions)} does not hold", self.judge, holds=lambda verdict: verdict.condition in conditions
        )
        return found

    def wait_in_order(self) -> None:
        until("all is in order", self.judge, holds=lambda verdict: verdict.holds)

    def wait_written(self) -> health.Verdict:
        """The verdict with a write, once all is in order."""
        found: health.Verdict = until("all is in order, and a write", self.write, holds=lambda verdict: verdict.holds)
        return found

    def command(self, host: str, body: Mapping[str, Any], timeout: float = PATIENCE) -> Mapping[str, Any]:
        return self.members[host].command(body, timeout=timeout)

    def rolling(self, processes: Any, **more: Any) -> Rollout:
        more.setdefault("sleep", lambda seconds: time.sleep(seconds / self.servers.members[0].speed))
        return Rollout(self.observe, self.command, processes, self.names, health.Bounds(), self.lines.append, PATIENCE, **more)


class Processes:
    """In place of pods: a process is replaced by one with the options that are wanted by then."""

    def __init__(self, cluster: Cluster, pending: tuple[str, ...] = (), frozen_between: Callable[[str], None] = lambda host: None) -> None:
        self.cluster = cluster
        self.why = dict.fromkeys(pending, "revision 1 -> 2")
        self.order: list[str] = []
        self.before = frozen_between

    def pending(self) -> dict[str, str]:
        return dict(self.why)

    def down(self, host: str) -> bool:
        return not self.cluster.server(host).running

    def trouble(self) -> StackgateError | None:
        return None

    def replace(self, host: str) -> None:
        self.before(host)
        self.order.append(self.cluster.names[host])
        self.cluster.server(host).restart()
        del self.why[host]


class Ledger:
    """An application that goes on writing, and remembers what a majority acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        login = {"username": "root", "password": PASSWORD} if cluster.servers.auth else {}
        self.hosts = list(cluster.hosts)
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            self.hosts, replicaSet="rs0", w="majority", serverSelectionTimeoutMS=30_000, socketTimeoutMS=30_000, retryWrites=False, **login
        )
        self.acknowledged: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Ledger:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            with contextlib.suppress(pymongo.errors.PyMongoError):
                self.client.ledger.entries.insert_one({"_id": number})
                self.acknowledged.append(number)
            time.sleep(0.01)

    def more(self, number: int = 20) -> None:
        """Wait until so many further writes are acknowledged."""
        wanted = len(self.acknowledged) + number
        until(f"{wanted} writes are acknowledged", lambda: len(self.acknowledged), holds=lambda done: done >= wanted)

    def lost(self) -> list[int]:
        """Acknowledged entries that are not there any more; it also closes the client."""
        with self.client:
            there = {entry["_id"] for entry in self.client.ledger.entries.find()}
        return [number for number in self.acknowledged if number not in there]


def _starter() -> Iterator[Callable[..., Cluster]]:
    with contextlib.ExitStack() as stack:

        def make(count: int = 3, **more: Any) -> Cluster:
            servers = stack.enter_context(ReplicaSetServers(count, speed=SPEED, **more))
            servers.initiate()
            if servers.auth:
                servers.create_admin()
            cluster = Cluster(servers)
            stack.callback(cluster.members.close)
            cluster.wait_in_order()
            return cluster

        yield make


start = pytest.fixture(_starter, name="start")
start.__doc__ = "Makes an initiated set; ends it after the test."
start_for_module = pytest.fixture(_starter, scope="module", name="start_for_module")


@pytest.fixture
def cluster(start: Callable[..., Cluster]) -> Cluster:
    """Three members without authentication, for one test."""
    return start()


@pytest.fixture(scope="module")
def kept(start_for_module: Callable[..., Cluster]) -> Cluster:
    return start_for_module()


@pytest.fixture
def shared(kept: Cluster) -> Iterator[Cluster]:
    """The same for all tests of a file, in order again after each."""
    yield kept
    for member in kept.servers.members:
        if not member.running:
            member.start()
    if not kept.servers.members[0].real:
        kept.servers.heal()
    kept.wait_in_order()
