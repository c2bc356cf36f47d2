# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secondary's work: pull the oplog from another member, say how far it is, roll back what the set has not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.int64 import Int64

from . import initial_sync
from .errors import CommandError
from .heartbeats import parse_position, position_fields
from .members import View
from .network import Unreachable
from .optime import NULL, OpTime, Position
from .registry import Document, command
from .states import Leader, State
from .store import Entry

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

# Seconds between two searches for a member to sync from.
SEARCH = 1.0
# Seconds that a source holds its answer when it has nothing new, and that we wait for it longer.
AWAIT, PATIENCE = 5.0, 10.0
# Entries in one answer.
BATCH = 1000
# Points of the source's oplog in one answer, when we look for what we have in common.
POINTS = 2000


class Replication:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._topology = node.topology
        self._failed: dict[str, float] = {}

    async def run(self) -> None:
        """For ever: whatever our state asks for."""
        topology = self._topology
        while True:
            if topology.follower is State.STARTUP2 and topology.me is not None and not topology.me.arbiter:
                await initial_sync.run(self._node, self)
            elif not self._pulls():
                topology.sync_source = ""
                await topology.changed.wait()
            elif (source := self.choose()) is None:
                topology.sync_source = ""
                await topology.changed.wait(SEARCH)
            else:
                await self._pull(source)

    def _pulls(self) -> bool:
        topology = self._topology
        if topology.me is None or topology.me.arbiter:
            return False
        return topology.follower is State.SECONDARY and topology.leader in (Leader.NO, Leader.DRAINING)

    def choose(self, at_all: bool = False) -> View | None:
        """The member to copy from: one that has more than we (at_all: that has anything), the primary first, then the nearest."""
        topology, now = self._topology, self._node.clock.monotonic()
        if topology.config is None or topology.me is None:
            return None
        applied = NULL if at_all else self._node.store.applied.optime
        candidates = []
        for view in topology.views.values():
            member = topology.config.member(view.member_id)
            if member is None or not view.up or view.state not in (State.PRIMARY, State.SECONDARY) or self._failed.get(view.host, 0) > now:
                continue
            if view.applied.optime > applied and member.delay <= topology.me.delay:
                candidates.append(view)
        if not topology.config.settings["chainingAllowed"] and topology.leader is Leader.NO:
            candidates = [view for view in candidates if view.member_id == topology.primary_id]
        if topology.leader is Leader.DRAINING:
            return max(candidates, key=lambda view: view.applied.optime, default=None)
        return min(candidates, key=lambda view: (view.state is not State.PRIMARY, view.ping), default=None)

    def failed(self, host: str) -> None:
        """Not again for a moment, and a heartbeat to learn why."""
        self._failed[host] = self._node.clock.monotonic() + SEARCH
        if any(view.host == host for view in self._topology.views.values()):
            self._node.heartbeats.poke(host)

    async def _pull(self, source: View) -> None:
        node, topology, store = self._node, self._topology, self._node.store
        topology.sync_source, topology.info_message = source.host, f"syncing from: {source.host}"
        topology.progress.notify()
        try:
            while self._pulls() and topology.sync_source == source.host:
                after = store.applied.optime
                body = {
                    "replSetFetchOplog": 1,
                    "after": after.document(),
                    "committed": topology.committed.optime.document(),
                    "maxAwaitTimeMS": int(AWAIT * 1000),
                    "from": node.host,
                }
                reply = await node.network.command(source.host, body, AWAIT + PATIENCE, use="oplog")
                topology.info_message = ""
                node.elections.see_term(int(reply["term"]))
                if not self._pulls() or store.applied.optime != after:
                    return
                if reply.get("diverged"):
                    await self._roll_back(source.host)
                    return
                if reply.get("unknown") or self._better_elsewhere(source, reply):
                    self._failed[source.host] = node.clock.monotonic() + SEARCH
                    return
                if int(reply["primaryId"]) == source.member_id and topology.primary_id == source.member_id:
                    node.elections.put_off()
                if not await self._apply(reply["entries"]):
                    return
                topology.learn_commit(Position(OpTime.parse(reply["lastCommitted"]), reply["lastCommittedWall"]), from_sync_source=True)
        except Unreachable:
            self.failed(source.host)
        except CommandError:
            self._failed[source.host] = node.clock.monotonic() + SEARCH
        finally:
            topology.sync_source = topology.info_message = ""

    def _better_elsewhere(self, source: View, reply: Document) -> bool:
        """The source gets nothing itself and is not the primary, and another one has more."""
        if reply["entries"] or reply["syncing"] or int(reply["primaryId"]) == source.member_id:
            return False
        applied = self._node.store.applied.optime
        return any(view.up and view.applied.optime > applied and view is not source for view in self._topology.views.values())

    async def _apply(self, entries: list[Document]) -> bool:
        """Write what came, when it is due. False: our state changed meanwhile."""
        node, topology = self._node, self._topology
        for entry in entries:
            if topology.me is not None and topology.me.delay:
                while (early := topology.me.delay / node.clock.speed - (topology.now() - entry["wall"]).total_seconds()) > 0:
                    await topology.changed.wait(early * node.clock.speed)
                    if not self._pulls() or topology.me is None:
                        return False
            if not node.unlocked.is_set():
                await node.unlocked.wait()
            if not self._pulls():
                return False
            node.apply(entry)
        if entries:
            topology.progress.notify()
            self._note_new_term(entries)
        return True

    def _note_new_term(self, entries: list[Document]) -> None:
        metrics = self._topology.metrics.participant
        for entry in entries:
            if metrics is not None and entry["o"].get("msg") == "new primary" and metrics["electionTerm"] == entry["t"]:
                metrics["newTermStartDate"], metrics["newTermAppliedDate"] = entry["wall"], self._topology.now()

    async def _roll_back(self, host: str) -> None:
        """Go back to what we have in common with the source; if there is nothing, copy everything anew."""
        node, topology, store = self._node, self._topology, self._node.store
        topology.set_follower(State.ROLLBACK)
        try:
            below: Document | None = None
            while True:
                body = {"replSetOplogPoints": 1, "below": below, "from": node.host}
                reply = await node.network.command(host, body, PATIENCE, use="oplog")
                points = [OpTime.parse(point) for point in reply["points"]]
                common = next((point for point in points if store.holds(point)), None)
                if common is not None or not points:
                    break
                below = points[-1].document()
            if common is None or common < topology.committed.optime:
                topology.set_follower(State.STARTUP2)
            else:
                store.truncate(common)
                await store.sync()
        finally:
            if topology.follower is State.ROLLBACK:
                topology.set_follower(State.SECONDARY)

    async def report(self) -> None:
        """For ever: tell the member we sync from how far we are, and those that sync from us."""
        topology = self._topology
        told: tuple[str, Document] = ("", {})
        while True:
            source, positions = topology.sync_source, self._positions()
            if not source or (source, positions) == told:
                await topology.progress.wait()
                continue
            body = {"replSetUpdatePosition": 1, "optimes": list(positions.values()), "from": self._node.host}
            try:
                await self._node.network.command(source, body, PATIENCE, use="position")
            except (Unreachable, CommandError):
                await topology.progress.wait(SEARCH)
            else:
                told = (source, positions)

    def _positions(self) -> Document:
        return {
            str(member_id): {
                "memberId": Int64(member_id),
                **position_fields("opTime", applied),
                **position_fields("durableOpTime", durable),
            }
            for member_id, (applied, durable) in self._topology.positions().items()
            if applied.optime > NULL
        }


@command("replSetUpdatePosition", admin_only=True, internal=True)
async def update_position(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    topology = node.topology
    for told in body["optimes"]:
        view = topology.views.get(int(told["memberId"]))
        if view is None:
            continue
        applied, durable = parse_position(told, "opTime"), parse_position(told, "durableOpTime")
        if applied > view.applied or view.host == body["from"]:
            view.alive(node.clock.monotonic())
        view.advance(applied, durable)
    topology.advance_commit()
    topology.progress.notify()
    return {}


@command("replSetFetchOplog", admin_only=True, internal=True)
async def fetch_oplog(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """What follows an optime; held back until there is something, or something more is committed."""
    topology, store = node.topology, node.store
    if not topology.readable or topology.config is None:
        raise CommandError(13436, "node is not in primary or recovering state")
    after, committed = OpTime.parse(body["after"]), OpTime.parse(body["committed"])
    status: Document = {}
    entries: list[Entry] = []
    if store.holds(after):
        term, rollbacks = topology.term, store.rollback_id

        def something() -> bool:
            moved = topology.term != term or store.rollback_id != rollbacks or not topology.readable
            return moved or store.applied.optime > after or min(topology.committed.optime, after) > committed

        await topology.progress.until(something, body["maxAwaitTimeMS"] / 1000)
        entries = store.after(after)[:BATCH] if store.holds(after) else []
    elif store.oplog and store.oplog[0].optime <= after < store.applied.optime:
        status = {"diverged": True}
    else:
        status = {"unknown": True}
    return {
        "entries": [entry.document for entry in entries],
        **status,
        "lastCommitted": topology.committed.optime.document(),
        "lastCommittedWall": topology.committed.wall,
        "term": Int64(topology.term),
        "primaryId": Int64(-1 if topology.primary_id is None else topology.primary_id),
        "syncing": topology.sync_source,
    }


@command("replSetOplogPoints", admin_only=True, internal=True)
async def oplog_points(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """The newest points of the oplog, or those below one, newest first."""
    entries = node.store.oplog
    if body.get("below") is not None:
        below = OpTime.parse(body["below"])
        entries = entries[: len(entries) - len(node.store.after(below))]
        entries = entries[:-1] if entries and entries[-1].optime == below else entries
    return {"points": [entry.optime.document() for entry in reversed(entries[-POINTS:])]}
