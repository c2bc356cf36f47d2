# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents and the oplog of a member, in memory, with a journal on disk."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
from bson.objectid import ObjectId

from .journal import Journal
from .optime import NOWHERE, OpTime, Position

Document = dict[str, Any]
Collection = dict[bytes, Document]


@dataclass(frozen=True)
class Entry:
    """One operation of the oplog, and what it takes to undo it."""

    optime: OpTime
    document: Document
    # The document, or for a drop the collection, as it was before; None: there was none.
    before: Any = None

    @property
    def wall(self) -> datetime:
        wall: datetime = self.document["wall"]
        return wall

    @property
    def position(self) -> Position:
        return Position(self.optime, self.wall)


def identity(value: Any) -> bytes:
    """A key for an _id: numbers of different types that are equal are one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        value = int(value)
    return bson.encode({"": value})


class Store:
    """Everything that outlives the process."""

    def __init__(self, dbpath: Path | None) -> None:
        if dbpath is not None:
            dbpath.mkdir(parents=True, exist_ok=True)
        self.collections: dict[str, Collection] = {}
        self.oplog: list[Entry] = []
        self.config: Document | None = None
        # Term and candidate of the last vote given.
        self.vote: tuple[int, int] = (0, -1)
        # Grows with each rollback; tells those who copy from here to begin again.
        self.rollback_id = 1
        # An initial sync has begun and not ended.
        self.copying = False
        self.durable: Position = NOWHERE
        # Statements of retryable writes that were executed, by session and transaction number.
        self._statements: dict[tuple[bytes, int], set[int]] = {}
        self._journal = Journal(None if dbpath is None else dbpath / "journal.bson")
        self._dirty = asyncio.Event()
        for record in self._journal.records():
            self._replay(record)
        self.durable = self.applied

    def _replay(self, record: Document) -> None:
        match record:
            case {"op": entry}:
                self._apply(entry)
            case {"local": entry}:
                self._change(entry)
            case {"config": config}:
                self.config = config
            case {"vote": [term, candidate]}:
                self.vote = (term, candidate)
            case {"truncate": optime, "rollback_id": rollback_id}:
                self._undo(OpTime.parse(optime))
                self.rollback_id = rollback_id
            case {"copying": begun}:
                self._begin_copy() if begun else self._end_copy()
            case {"copied": namespace, "documents": documents}:
                self._copied(namespace, documents)

    # Reading

    @property
    def applied(self) -> Position:
        return self.oplog[-1].position if self.oplog else NOWHERE

    @property
    def has_user_data(self) -> bool:
        return any(namespace.partition(".")[0] not in ("admin", "config", "local") for namespace in self.collections)

    def documents(self, namespace: str, as_of: OpTime | None = None) -> list[Document]:
        """All documents of a collection, in the order of their insertion; or as they were at an optime."""
        collection = self.collections.get(namespace, {})
        if as_of is not None and self.oplog and self.oplog[-1].optime > as_of:
            collection = dict(collection)
            for entry in reversed(self.after(as_of)):
                if entry.document["ns"] == namespace:
                    undo(collection, entry)
        return list(collection.values())

    def find(self, namespace: str, _id: Any) -> Document | None:
        return self.collections.get(namespace, {}).get(identity(_id))

    def after(self, optime: OpTime) -> list[Entry]:
        """What follows an optime."""
        return self.oplog[bisect_right(self.oplog, optime, key=lambda entry: entry.optime) :]

    def holds(self, optime: OpTime) -> bool:
        """Whether exactly this operation is in the oplog."""
        index = bisect_right(self.oplog, optime, key=lambda entry: entry.optime)
        return index > 0 and self.oplog[index - 1].optime == optime

    def at_or_before(self, optime: OpTime) -> Position:
        index = bisect_right(self.oplog, optime, key=lambda entry: entry.optime)
        return self.oplog[index - 1].position if index else NOWHERE

    def executed(self, lsid: bytes, transaction: int) -> set[int]:
        """The numbers of the statements of a retryable write that were executed before."""
        return self._statements.get((lsid, transaction), set())

    # Writing

    def write(self, entry: Document) -> Entry:
        """Apply an operation and put it into the oplog."""
        applied = self._apply(entry)
        self._journal.append({"op": entry})
        self._dirty.set()
        return applied

    def write_local(self, op: str, namespace: str, document: Document) -> None:
        """Change a document without the oplog: a standalone, and the database local."""
        entry = {"op": op, "ns": namespace, "o": document}
        self._change(entry)
        self._journal.append({"local": entry})

    async def save_config(self, config: Document) -> None:
        self.config = config
        self._journal.append({"config": config})
        await self._journal.sync()

    async def save_vote(self, term: int, candidate: int) -> None:
        """Return when the vote is on the disk: only then may it be told."""
        self.vote = (term, candidate)
        self._journal.append({"vote": [term, candidate]})
        await self._journal.sync()

    def truncate(self, optime: OpTime) -> list[Entry]:
        """Undo everything after an optime: a rollback. Returns what was undone."""
        undone = self._undo(optime)
        self.rollback_id += 1
        self._journal.append({"truncate": optime.document(), "rollback_id": self.rollback_id})
        self.durable = min(self.durable, self.applied)
        return undone

    # Initial sync

    def begin_copy(self) -> None:
        """Drop all data, to get another member's."""
        self._journal.append({"copying": True})
        self._begin_copy()

    def copied(self, namespace: str, documents: list[Document]) -> None:
        self._journal.append({"copied": namespace, "documents": documents})
        self._copied(namespace, documents)

    async def end_copy(self, last: Document) -> None:
        """The copy is as of the operation `last`, with which the oplog begins."""
        self._journal.append({"op": {**last, "op": "n", "o": {"msg": "initial sync"}}})
        self._apply({**last, "op": "n", "o": {"msg": "initial sync"}})
        self._journal.append({"copying": False})
        self._end_copy()
        await self._journal.sync()
        self.durable = self.applied

    def _begin_copy(self) -> None:
        self.collections = {name: documents for name, documents in self.collections.items() if name.startswith("local.")}
        self.oplog, self._statements, self.durable = [], {}, NOWHERE
        self.copying = True

    def _copied(self, namespace: str, documents: list[Document]) -> None:
        collection = self.collections.setdefault(namespace, {})
        collection.update((identity(document["_id"]), document) for document in documents)

    def _end_copy(self) -> None:
        self.copying = False

    # The disk

    async def flush(self, progress: Callable[[], None]) -> None:
        """Bring the oplog to the disk for ever, as fast as the disk takes it; tell after each time."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            target, rollback_id = self.applied, self.rollback_id
            await self._journal.sync()
            if rollback_id == self.rollback_id and not self.copying:
                self.durable = max(self.durable, target)
                progress()

    async def sync(self) -> None:
        await self._journal.sync()

    def close(self) -> None:
        self._journal.close()

    # The operations themselves

    def _apply(self, document: Document) -> Entry:
        entry = Entry(OpTime.parse(document), document, self._change(document))
        self.oplog.append(entry)
        if "stmtId" in document:
            session = (bytes(document["lsid"]["id"]), int(document["txnNumber"]))
            self._statements.setdefault(session, set()).add(document["stmtId"])
        return entry

    def _change(self, entry: Document) -> Any:
        """Do it, and return what was there before."""
        namespace, change = entry["ns"], entry["o"]
        match entry["op"]:
            case "i" | "u":
                collection = self.collections.setdefault(namespace, {})
                key = identity(change["_id"])
                before = collection.get(key)
                collection[key] = change
                return before
            case "d":
                return self.collections.get(namespace, {}).pop(identity(change["_id"]), None)
            case "c" if "drop" in change:
                return self.collections.pop(f"{namespace.removesuffix('$cmd')}{change['drop']}", None)
            case "c" if "create" in change:
                self.collections.setdefault(f"{namespace.removesuffix('$cmd')}{change['create']}", {})
        return None

    def _undo(self, optime: OpTime) -> list[Entry]:
        undone = self.after(optime)
        for entry in reversed(undone):
            operation = entry.document
            if operation["op"] == "c":
                if "drop" in operation["o"] and entry.before is not None:
                    self.collections[f"{operation['ns'].removesuffix('$cmd')}{operation['o']['drop']}"] = entry.before
            elif operation["op"] != "n":
                undo(self.collections.setdefault(operation["ns"], {}), entry)
            if "stmtId" in operation:
                self._statements[(bytes(operation["lsid"]["id"]), int(operation["txnNumber"]))].discard(operation["stmtId"])
        del self.oplog[len(self.oplog) - len(undone) :]
        return undone


def undo(collection: Collection, entry: Entry) -> None:
    """Take one operation on a document back."""
    key = identity(entry.document["o"]["_id"])
    if entry.before is None:
        collection.pop(key, None)
    else:
        collection[key] = entry.before


def with_id(document: Document) -> Document:
    """The document with an _id, which comes first."""
    return document if "_id" in document else {"_id": ObjectId(), **document}


def namespaces(store: Store) -> Iterable[str]:
    return sorted(name for name in store.collections if not name.startswith("local."))
