# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write concerns: the defaults of the set, and waiting for a write to be where it was asked to be (recorded: 04i, 06c, 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import CommandError
from .optime import OpTime
from .registry import Document, command
from .states import Leader

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

NAMESPACE, DOCUMENT_ID = "config.settings", "ReadWriteConcernDefaults"


class Concerns:
    """The defaults are a document that replicates."""

    def __init__(self, node: Node) -> None:
        self._node = node
        # When the defaults were last looked up anew, as the server's cache does.
        self._looked_up = node.clock.now()
        self._seen: Any = None

    @property
    def _document(self) -> Document:
        return self._node.store.find(NAMESPACE, DOCUMENT_ID) or {}

    @property
    def write(self) -> Document | None:
        """The default write concern that somebody set."""
        return self._document.get("defaultWriteConcern")

    @property
    def read_level(self) -> str:
        return str(self._document.get("defaultReadConcern", {}).get("level", "local"))

    def set(self, write: Document | None, read: Document | None) -> None:
        document = {**self._document, "_id": DOCUMENT_ID}
        if write is not None:
            document["defaultWriteConcern"] = {"w": 1, "wtimeout": 0, **write}
        if read is not None:
            document["defaultReadConcern"] = read
        document["updateOpTime"] = self._node.store.applied.optime.ts
        document["updateWallClockTime"] = self._node.clock.now()
        self._node.replicate("u", NAMESPACE, document)

    def shown(self, in_memory: bool = False) -> Document:
        """As getDefaultRWConcern and setDefaultRWConcern answer."""
        document, config = self._document, self._node.topology.config
        if self._seen != document:
            self._seen, self._looked_up = document, self._node.clock.now()
        reply: Document = {}
        if config is not None:
            implicit = {"w": "majority", "wtimeout": 0} if config.implicit_majority else None
            write = document.get("defaultWriteConcern", implicit)
            reply["defaultReadConcern"] = document.get("defaultReadConcern", {"level": "local"})
            if write is not None:
                reply["defaultWriteConcern"] = write
            if "updateOpTime" in document:
                reply["updateOpTime"] = document["updateOpTime"]
                reply["updateWallClockTime"] = document["updateWallClockTime"]
            reply["defaultWriteConcernSource"] = "global" if "defaultWriteConcern" in document else "implicit"
            reply["defaultReadConcernSource"] = "global" if "defaultReadConcern" in document else "implicit"
        if in_memory:
            reply["inMemory"] = True
        return {**reply, "localUpdateWallClockTime": self._looked_up}

    def of(self, body: Document) -> tuple[Document, str]:
        """The write concern of a command, and where it came from."""
        given = body.get("writeConcern")
        if given:
            return given, "clientSupplied"
        if self.write is not None:
            return self.write, "customDefault"
        config = self._node.topology.config
        majority = config is not None and config.implicit_majority
        return {"w": "majority" if majority else 1, "wtimeout": 0}, "implicitDefault"

    async def wait(self, wanted: tuple[Document, str], optime: OpTime) -> Document | None:
        """Wait for what a command asked for (of); the writeConcernError of its reply."""
        concern, provenance = wanted
        w = concern.get("w", 1)
        shown = {
            "w": w,
            **({"j": concern["j"]} if "j" in concern else {}),
            "wtimeout": concern.get("wtimeout", 0),
            "provenance": provenance,
        }
        topology = self._node.topology
        journaled = bool(concern.get("j", w == "majority" and (topology.config is None or topology.config.journal_default)))
        if w == 0 or (w == 1 and not journaled):
            return None
        if topology.config is None:
            await self._node.store.sync()
            return None
        if isinstance(w, str) and w != "majority" and w not in topology.config.settings["getLastErrorModes"]:
            return _error(79, f"No write concern mode named '{w}' found in replica set configuration", shown)
        bearing = sum(not member.arbiter for member in topology.config.members)
        if isinstance(w, int | float) and w > bearing:
            return _error(100, "Not enough data-bearing nodes", shown)
        term, timeout = topology.term, float(concern.get("wtimeout", 0)) / 1000

        def lost() -> bool:
            return topology.term != term or topology.leader is Leader.NO

        if not await topology.progress.until(lambda: lost() or self._reached(w, journaled, optime), timeout or None):
            return _error(64, "waiting for replication timed out", shown, {"wtimeout": True})
        if not self._reached(w, journaled, optime):
            return _error(189, "Primary stepped down while waiting for replication", shown)
        return None

    def _reached(self, w: Any, journaled: bool, optime: OpTime) -> bool:
        topology = self._node.topology
        if isinstance(w, str):
            return topology.committed.optime >= optime
        if journaled and self._node.store.durable.optime < optime:
            return False
        have = sum(pair[1 if journaled else 0].optime >= optime for pair in topology.positions().values())
        return have >= w


def _error(code: int, message: str, concern: Document, info: Document | None = None) -> Document:
    named = CommandError(code, message)
    return {"code": code, "codeName": named.code_name, "errmsg": message, "errInfo": {**(info or {}), "writeConcern": concern}}


@command("getDefaultRWConcern", admin_only=True)
async def get_default(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    if not node.topology.replicated:
        raise CommandError(51300, "'getDefaultRWConcern' is not supported on standalone nodes.")
    return node.concerns.shown(bool(body.get("inMemory", False)))


@command("setDefaultRWConcern", admin_only=True, where="never", write_concern=True)
async def set_default(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    if not node.topology.replicated:
        raise CommandError(51300, "'setDefaultRWConcern' is not supported on standalone nodes.")
    write, read = body.get("defaultWriteConcern"), body.get("defaultReadConcern")
    if write is None and read is None:
        raise CommandError(2, 'At least one of the "defaultReadConcern" or "defaultWriteConcern" fields must be present')
    if write == {}:
        if node.concerns.write is not None:
            raise CommandError(20, "The global default write concern cannot be unset once it is set.")
        write = None
    if read is not None and read.get("level", "local") not in ("local", "available", "majority"):
        raise CommandError(2, f"level: '{read.get('level')}' is not suitable for the default read concern")
    node.concerns.set(write, read)
    return node.concerns.shown()
