# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Initial sync: an empty member copies everything from another one (recorded: 07, 07b)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import bson
from bson.int64 import Int64
from bson.timestamp import Timestamp

from .errors import CommandError
from .network import Unreachable
from .registry import Document, command
from .states import State

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node
    from .replication import Replication

# Seconds between two attempts, and for one answer.
RETRY, PATIENCE = 1.0, 30.0
# Bytes of documents in one answer, about.
CHUNK = 4_000_000


@dataclass
class SyncProgress:
    """What replSetGetStatus tells while it lasts."""

    started: datetime
    ended: datetime | None = None
    failures: int = 0
    attempts: list[Document] = field(default_factory=list)
    databases: dict[str, Any] = field(default_factory=dict)
    copied_bytes: int = 0
    last: Timestamp = field(default_factory=lambda: Timestamp(0, 0))

    def document(self, now: datetime) -> Document:
        end = self.ended or now
        elapsed = int((end - self.started).total_seconds() * 1000)
        names = [name for name in self.databases if isinstance(self.databases[name], dict)]
        return {
            "failedInitialSyncAttempts": Int64(self.failures),
            "maxFailedInitialSyncAttempts": Int64(10),
            "initialSyncStart": self.started,
            **({} if self.ended is None else {"initialSyncEnd": self.ended}),
            "totalInitialSyncElapsedMillis": Int64(elapsed),
            "initialSyncAttempts": self.attempts,
            "approxTotalDataSize": Int64(self.copied_bytes),
            "approxTotalBytesCopied": Int64(self.copied_bytes),
            "remainingInitialSyncEstimatedMillis": Int64(0),
            "appliedOps": Int64(0),
            "initialSyncOplogStart": self.last,
            "initialSyncOplogEnd": self.last,
            "totalTimeUnreachableMillis": Int64(0),
            "databases": {"databasesToClone": 0, "databasesCloned": len(names), **self.databases},
        }


async def run(node: Node, replication: Replication) -> None:
    """One attempt; at its end the member is a secondary, or tries again after a moment."""
    topology, store = node.topology, node.store
    if topology.sync_progress is None:
        # The first look is before any heartbeat and finds nobody (recorded: 02, 07).
        topology.sync_progress = SyncProgress(topology.now())
        await node.clock.sleep(RETRY)
    progress = topology.sync_progress
    source = replication.choose(at_all=True)
    if source is None:
        await topology.changed.wait(RETRY)
        return
    words = "syncing from primary" if source.state is State.PRIMARY else "syncing from"
    topology.sync_source, topology.info_message = source.host, f"{words}: {source.host}"
    begun = topology.now()
    try:
        last = await _copy(node, source.host, progress)
        progress.ended, progress.last = topology.now(), last["ts"]
        duration = int((progress.ended - begun).total_seconds() * 1000)
        progress.attempts = [
            {"durationMillis": duration, "status": "OK", "syncSource": source.host, "rollBackId": 1, "operationsRetried": 0}
            | {"totalTimeUnreachableMillis": Int64(0)}
        ]
        topology.pending_position = last
        topology.info_message = ""
        await node.faults.changed.until(lambda: not node.faults.hold_initial_sync)
        if topology.follower is State.STARTUP2 and topology.me is not None:
            await store.end_copy(last)
            topology.set_follower(State.SECONDARY)
            node.elections.put_off()
            topology.progress.notify()
    except (Unreachable, CommandError):
        progress.failures += 1
        replication.failed(source.host)
        await topology.changed.wait(RETRY)
    finally:
        topology.sync_source = topology.info_message = ""
        topology.pending_position = None
        if topology.follower is not State.STARTUP2:
            topology.sync_progress = None


async def _copy(node: Node, host: str, progress: SyncProgress) -> Document:
    """Copy all documents; the operation as of which they are."""
    node.store.begin_copy()
    progress.copied_bytes, progress.databases = 0, {}
    body: Document = {"replSetCopyData": 1, "from": node.host}
    while True:
        reply = await node.network.command(host, body, PATIENCE, use="oplog")
        for part in reply["parts"]:
            node.store.copied(part["ns"], part["documents"])
            _count(progress, part["ns"], part["documents"])
        if reply["done"]:
            last: Document = reply["last"]
            return last
        body = {"replSetCopyData": 1, "copy": reply["copy"], "from": node.host}


def _count(progress: SyncProgress, namespace: str, documents: list[Document]) -> None:
    size = sum(len(bson.encode(document)) for document in documents)
    progress.copied_bytes += size
    database = progress.databases.setdefault(namespace.partition(".")[0], {"collections": 0, "clonedCollections": 0})
    if namespace not in database:
        database["collections"] += 1
        database["clonedCollections"] += 1
    counted = database.setdefault(namespace, {"documentsToCopy": Int64(0), "documentsCopied": Int64(0), "indexes": 1})
    counted["documentsToCopy"] = counted["documentsCopied"] = Int64(counted["documentsCopied"] + len(documents))


@dataclass
class Copies:
    """Copies that other members are taking, each as of the moment it began."""

    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _parts: dict[int, Iterator[list[Document]]] = field(default_factory=dict)
    _last: dict[int, Document] = field(default_factory=dict)

    def begin(self, node: Node) -> int:
        number = next(self._numbers)
        store = node.store
        collections = {name: list(docs.values()) for name, docs in store.collections.items() if not name.startswith("local.")}
        self._parts[number], self._last[number] = _chunks(collections), store.oplog[-1].document
        return number

    def next(self, number: int) -> Document:
        if number not in self._parts:
            raise CommandError(43, f"copy id {number} not found")
        parts = next(self._parts[number], None)
        if parts is None:
            del self._parts[number]
            return {"parts": [], "done": True, "last": self._last.pop(number)}
        return {"parts": parts, "done": False, "copy": Int64(number)}


def _chunks(collections: dict[str, list[Document]]) -> Iterator[list[Document]]:
    parts: list[Document] = []
    size = 0
    for namespace, documents in collections.items():
        part: list[Document] = []
        parts.append({"ns": namespace, "documents": part})
        for document in documents:
            part.append(document)
            size += len(bson.encode(document))
            if size >= CHUNK:
                yield parts
                part, size = [], 0
                parts = [{"ns": namespace, "documents": part}]
    yield parts


@command("replSetCopyData", admin_only=True, internal=True)
async def copy_data(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    if not node.topology.readable or not node.store.oplog:
        raise CommandError(13436, "node is not in primary or recovering state")
    number = int(body["copy"]) if "copy" in body else node.copies.begin(node)
    return node.copies.next(number)
