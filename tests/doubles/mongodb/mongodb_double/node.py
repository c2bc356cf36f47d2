# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member: the parts put together, and the way of a command through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from . import dispatch, fcv
from .clock import Clock
from .concerns import Concerns
from .connection import ConnectionState
from .elections import Elections
from .errors import CommandError
from .faults import HOLD_INITIAL_SYNC, Faults
from .heartbeats import Heartbeats
from .initial_sync import Copies
from .network import Network, PeerFactory
from .optime import OpTime, Position
from .options import Options
from .reconfigurations import Reconfigurations
from .registry import Document
from .replication import Replication
from .self_detection import default_host
from .states import Leader
from .stepdown import step_down
from .store import Entry, Store
from .topology import Topology

T = TypeVar("T")
# (connection, node, database, name of the command, body): raises CommandError 13
Authorizer = Callable[[ConnectionState, "Node", str, str, Document], None]

# Seconds after which a primary without writes makes an entry that says nothing, so that the commit point moves.
IDLE_ENTRY = 10.0
# Seconds that SIGTERM waits for others to catch up, and then tells clients that it will go.
SHUTDOWN_CATCH_UP, QUIESCE = 10.0, 15.0


def allow_everyone(connection: ConnectionState, node: Node, db: str, name: str, body: Document) -> None:
    """No --auth."""


class Node:
    """A member. The wire calls `command` for every request, the entry point `start`, `quiesce` and `stop`."""

    def __init__(self, options: Options, clock: Clock, peers: PeerFactory, authorize: Authorizer = allow_everyone) -> None:
        self.options = options
        self.clock = clock
        self.authorize = authorize
        parameters = options.parsed.get("setParameter", {})
        self.faults = Faults(clock, hold_initial_sync="alwaysOn" in parameters.get(f"failpoint.{HOLD_INITIAL_SYNC}", ""))
        self.network = Network(clock, self.faults, peers, options.keys)
        self.store = Store(options.dbpath)
        self.topology = Topology(clock, self.store, options.repl_set)
        self.concerns = Concerns(self)
        self.heartbeats = Heartbeats(self)
        self.elections = Elections(self)
        self.reconfigurations = Reconfigurations(self)
        self.replication = Replication(self)
        self.copies = Copies()
        self.statistics = dispatch.statistics()
        # How we are called before we know it from a configuration.
        self.assumed_host = default_host(self)
        # Cleared while fsync holds the lock.
        self.unlocked = asyncio.Event()
        self.unlocked.set()
        self.locks = 0
        self.cluster_time = Timestamp(0, 0)
        # Set by the shutdown command and by the end of the quiesce time: the entry point waits for it and exits.
        self.stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last_timestamp = self.store.applied.optime.ts

    # Life

    async def start(self) -> None:
        """Read the data directory and take part in the set. The wire must be listening already."""
        topology = self.topology
        topology.term = max(self.store.vote[0], self.store.applied.optime.term, 0)
        if not topology.replicated:
            if self.store.find(fcv.NAMESPACE, fcv.DOCUMENT_ID) is None:
                self.store.write_local("i", fcv.NAMESPACE, fcv.document(fcv.LATEST))
            return
        await self.reconfigurations.load()
        self.spawn(self.store.flush(self._flushed))
        self.spawn(self.replication.run())
        self.spawn(self.replication.report())
        self.spawn(self._idle_entries())

    async def quiesce(self, seconds: float = QUIESCE) -> None:
        """Go as SIGTERM makes it: step down, tell those who ask hello (91), end after so many seconds."""
        topology = self.topology
        if topology.quiesce_until is not None:
            return
        if topology.leader is Leader.WRITABLE:
            try:
                await step_down(self, 60.0, SHUTDOWN_CATCH_UP, force=False)
            except CommandError:
                self.elections.step_down_now()
        topology.quiesce_until = self.clock.monotonic() + seconds
        topology.bump()
        if topology.config is not None and topology.me is not None:
            await self.clock.sleep(seconds)
        self.stopped.set()

    async def stop(self) -> None:
        """End all tasks and close the data directory."""
        self.elections.stop()
        self.heartbeats.stop()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.network.close()
        self.store.close()
        self.stopped.set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside, as long as the member lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            task.get_loop().call_exception_handler({"message": "a member's task failed", "exception": task.exception(), "task": task})

    def _flushed(self) -> None:
        self.topology.advance_commit()
        self.topology.progress.notify()

    async def _idle_entries(self) -> None:
        while True:
            before = self.store.applied
            await self.clock.sleep(IDLE_ENTRY)
            if self.topology.writable and self.store.applied == before and self.unlocked.is_set():
                self.replicate("n", "", {"msg": "periodic noop"})

    # Commands

    async def command(self, connection: ConnectionState, db: str, body: Document) -> Document:
        """The reply to a request. Raises CommandError (its reply() goes to the client) and ConnectionDropped."""
        return await dispatch.run(self, connection, db, body)

    async def control(self, order: dict[str, Any]) -> dict[str, Any]:
        """A fault on order: see faults.py."""
        return self.faults.order(order)

    # Who we are

    @property
    def host(self) -> str:
        """Our address as other members know it."""
        me = self.topology.me
        return self.assumed_host if me is None else me.host

    @property
    def is_arbiter(self) -> bool:
        return self.topology.me is not None and self.topology.me.arbiter

    @property
    def fcv(self) -> str:
        stored = self.store.find(fcv.NAMESPACE, fcv.DOCUMENT_ID)
        return fcv.LATEST if stored is None else str(stored["version"])

    def applied_position(self) -> Position:
        """How far our data is: of an arbiter what it heard of, of a member that copies what it will have."""
        pending = self.topology.pending_position
        if pending is not None:
            return Position(OpTime.parse(pending), pending["wall"])
        return self.topology.committed if self.is_arbiter else self.store.applied

    # The data

    @property
    def writable(self) -> bool:
        """A primary, past its draining, or no member of a set."""
        return self.topology.writable

    def documents(self, namespace: str) -> list[Document]:
        """All documents of a collection such as admin.system.users, as this member has them now."""
        return self.store.documents(namespace)

    def insert(self, namespace: str, document: Document) -> None:
        """Write and log for the others. The document needs its _id. Raises 10107, 11000."""
        if self.store.find(namespace, document["_id"]) is not None:
            raise CommandError(11000, f"E11000 duplicate key error collection: {namespace} index: _id_")
        self.replicate("i", namespace, document)

    def replace(self, namespace: str, document: Document) -> None:
        """Write the document in place of the one with its _id. Raises 10107."""
        self.replicate("u", namespace, document)

    def delete(self, namespace: str, identity: Any) -> None:
        """Delete by _id. Raises 10107."""
        self.replicate("d", namespace, {"_id": identity})

    def replicate(self, op: str, namespace: str, change: Document, session: Document | None = None) -> Entry:
        """Do an operation here and log it for the others. Raises CommandError 10107 where we are not writable."""
        local = namespace.startswith("local.")
        if not self.topology.writable and not local:
            raise CommandError(10107, "not primary")
        if not self.topology.replicated or local:
            self.store.write_local(op, namespace, change)
            return Entry(self.store.applied.optime, {"op": op, "ns": namespace, "o": change, "wall": self.clock.now()})
        entry = self._entry(op, namespace, change, self.topology.term, session)
        applied = self.store.write(entry)
        self.cluster_time = max(self.cluster_time, applied.optime.ts)
        self.topology.advance_commit()
        self.topology.progress.notify()
        return applied

    def apply(self, entry: Document) -> None:
        """Do what another member did."""
        self._last_timestamp = max(self._last_timestamp, entry["ts"])
        self.cluster_time = max(self.cluster_time, entry["ts"])
        self.store.write(entry)

    def _entry(self, op: str, namespace: str, change: Document, term: int, session: Document | None = None) -> Document:
        stamp = {"ts": self.next_timestamp(), "t": Int64(term), "v": Int64(2), "wall": self.clock.now()}
        return {"op": op, "ns": namespace, "o": change, **stamp, **(session or {})}

    def next_timestamp(self) -> Timestamp:
        """Greater than every one before."""
        seconds = int(self.clock.now().timestamp())
        last = max(self._last_timestamp, self.store.applied.optime.ts, self.cluster_time)
        self._last_timestamp = Timestamp(last.time, last.inc + 1) if last.time >= seconds else Timestamp(seconds, 1)
        return self._last_timestamp

    def begin_history(self) -> None:
        """The first entry of a set's oplog, before there is a term."""
        if self.store.find(fcv.NAMESPACE, fcv.DOCUMENT_ID) is None:
            self.store.write_local("i", fcv.NAMESPACE, fcv.document(fcv.LATEST))
        entry = self.store.write(self._entry("n", "", {"msg": "initiating set"}, term=-1))
        self.topology.committed = entry.position
        self.cluster_time = max(self.cluster_time, entry.optime.ts)

    def prepare_first_primary(self) -> None:
        """What the first primary of a set makes: keys for signing times, and the collection of transactions."""
        if "admin.system.keys" not in self.store.collections:
            for number in (1, 2):
                key = {"_id": Int64(self._last_timestamp.time * 2**32 + number), "purpose": "HMAC", "key": ObjectId().binary}
                self.replicate("i", "admin.system.keys", key)
            self.replicate("c", "config.$cmd", {"create": "transactions"})
