# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Heartbeats: who is there, who is primary, who has a newer configuration."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bson.int64 import Int64
from bson.timestamp import Timestamp

from .config import ConfigError, VersionAndTerm, parse
from .errors import CommandError
from .members import View
from .network import Unreachable
from .optime import NOWHERE, OpTime, Position
from .registry import Document
from .signals import Signal
from .states import Leader, State

if TYPE_CHECKING:
    from .node import Node

# A failed heartbeat is repeated so often at once.
RETRIES = 2
# Heartbeats are so many times as frequent while members are coming up.
QUICK = 4
NO_LIFE = "no response within election timeout period"


def position_fields(name: str, position: Position) -> Document:
    wall = "wallTime" if name == "opTime" else "durableWallTime"
    return {name: position.optime.document(), wall: position.wall}


def parse_position(document: Document, name: str) -> Position:
    wall = "wallTime" if name == "opTime" else "durableWallTime"
    return Position(OpTime.parse(document[name]), document[wall])


class Heartbeats:
    """Sends them, answers them, and draws the conclusions."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._topology = node.topology
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._pokes: dict[str, Signal] = {}
        self._liveness: asyncio.TimerHandle | None = None

    # Sending

    def restart(self) -> None:
        """One to every member now, and from then on in the interval."""
        hosts = {view.host for view in self._topology.views.values()}
        for host in set(self._loops) - hosts:
            self._loops.pop(host).cancel()
        for view in self._topology.views.values():
            view.fresh = False
            self.poke(view.host)
        self._watch_liveness()

    def poke(self, host: str) -> None:
        """One to this member now: a member of ours, or a stranger that may know of us."""
        if host in self._loops and not self._loops[host].done():
            self._pokes[host].notify()
        else:
            self._pokes[host] = Signal(self._node.clock)
            self._loops[host] = self._node.spawn(self._loop(host))

    def stop(self) -> None:
        for loop in self._loops.values():
            loop.cancel()
        self._loops.clear()
        if self._liveness is not None:
            self._liveness.cancel()

    async def _loop(self, host: str) -> None:
        poked = self._pokes[host]
        while True:
            waiting = asyncio.ensure_future(poked.wait(self._interval()))
            await self._beat(host)
            await waiting
            view = self._view(host)
            if view is None and (self._topology.me is not None or self._topology.config is None):
                return

    def _interval(self) -> float:
        """Seconds; shorter as long as members are coming up and there is no primary (recorded: 02, 07)."""
        topology = self._topology
        if topology.config is None:
            return 2.0
        coming = topology.primary_id is None and any(
            view.health < 0 or view.state in (State.STARTUP, State.STARTUP2) for view in topology.views.values()
        )
        quick = topology.state is State.STARTUP2 or coming
        return topology.config.heartbeat_interval / (QUICK if quick else 1)

    def _view(self, host: str) -> View | None:
        return next((view for view in self._topology.views.values() if view.host == host), None)

    def request(self, stamp: VersionAndTerm | None = None, check_empty: bool = False) -> Document:
        """A heartbeat, of our configuration or of one that is proposed (recorded: 04f, 08c)."""
        topology = self._topology
        stamp = stamp or (VersionAndTerm(-2, -1) if topology.config is None else topology.config.stamp)
        timeout = 10 if topology.config is None else topology.config.settings["heartbeatTimeoutSecs"]
        sender = {} if topology.me is None else {"fromId": topology.my_id}
        return {
            "replSetHeartbeat": topology.set_name,
            **({"checkEmpty": True} if check_empty else {}),
            "configVersion": Int64(stamp[0]),
            "configTerm": Int64(stamp[1]),
            "hbv": Int64(1),
            "from": self._node.host,
            **sender,
            "term": Int64(topology.term),
            "primaryId": Int64(-1 if topology.primary_id is None else topology.primary_id),
            "maxTimeMSOpOnly": Int64(timeout * 1000),
            "$replData": 1,
        }

    async def _beat(self, host: str) -> None:
        topology, clock = self._topology, self._node.clock
        sent = clock.monotonic()
        timeout = 10.0 if topology.config is None else float(topology.config.settings["heartbeatTimeoutSecs"])
        failure = Unreachable("")
        for _attempt in range(1 + RETRIES):
            left = sent + timeout - clock.monotonic()
            if left <= 0:
                break
            try:
                reply = await self._node.network.command(host, self.request(), left)
            except Unreachable as error:
                failure = error
                if error.auth_issue:
                    break
            except CommandError as error:
                failure = Unreachable(error.errmsg)
                break
            else:
                self._answered(host, reply, round((clock.monotonic() - sent) / clock.speed * 1000))
                return
        self._failed(host, failure)

    def _failed(self, host: str, failure: Unreachable) -> None:
        view = self._view(host)
        if view is None:
            return
        view.down(self._topology.now(), str(failure), failure.auth_issue)
        self._after_news()

    # Answers to ours

    def _answered(self, host: str, reply: Document, ping: int) -> None:
        node, topology = self._node, self._topology
        node.elections.see_term(int(reply.get("term", -1)))
        theirs = reply.get("$replData", {})
        view = self._view(host)
        if topology.set_id is not None and theirs.get("replicaSetId") not in (None, topology.set_id):
            if view is not None:
                message = f"replica set IDs do not match, ours: {topology.set_id}; remote node's: {theirs['replicaSetId']}"
                view.down(topology.now(), message)
                self._after_news()
            return
        stamp = VersionAndTerm(int(reply["v"]), int(reply.get("configTerm", -1)))
        if view is not None:
            self._note(view, reply, ping, stamp)
        if "lastCommitted" in theirs:
            committed = Position(OpTime.parse(theirs["lastCommitted"]), theirs["lastCommittedWall"])
            topology.learn_commit(committed, from_sync_source=False)
        if "config" in reply and (topology.config is None or topology.config.stamp.older_than(stamp)):
            try:
                config = parse(reply["config"])
            except ConfigError:
                return
            node.reconfigurations.install_from_heartbeat(config)
        elif topology.config is not None and topology.me is None and tuple(topology.config.stamp) == tuple(stamp):
            # Perhaps our name resolves now (recorded: 09d).
            node.reconfigurations.install_from_heartbeat(topology.config)
        self._after_news()
        if view is not None and topology.me is not None and self._view(host) is view:
            self._conclude(view)

    def _note(self, view: View, reply: Document, ping: int, stamp: VersionAndTerm) -> None:
        topology = self._topology
        date = topology.now()
        if not view.up:
            view.up_since = date
        view.health, view.state, view.message, view.auth_issue = 1.0, State(reply["state"]), "", False
        view.last_heartbeat, view.ping, view.fresh = date, ping, True
        view.config_version, view.config_term = stamp
        view.term, view.electable = int(reply.get("term", -1)), bool(reply.get("electable", False))
        view.sync_source = reply.get("syncingTo", "")
        view.election_time = reply.get("electionTime", Timestamp(0, 0))
        view.beat_applied, view.beat_durable = parse_position(reply, "opTime"), parse_position(reply, "durableOpTime")
        view.advance(view.beat_applied, view.beat_durable)
        self._alive(view)

    def _after_news(self) -> None:
        self._topology.find_primary()
        self._topology.advance_commit()
        self._topology.progress.notify()

    def _conclude(self, view: View) -> None:
        """What a good answer of a member makes us do."""
        node, topology = self._node, self._topology
        if topology.primary_id == view.member_id and topology.leader is Leader.NO:
            node.elections.put_off()
            if topology.outranks_primary():
                node.elections.plan_takeover()
        member = None if topology.config is None else topology.config.member(view.member_id)
        if (
            topology.leader is Leader.WRITABLE
            and member is not None
            and member.newly_added
            and view.state in (State.SECONDARY, State.RECOVERING, State.ROLLBACK)
        ):
            node.reconfigurations.grant_vote(member.id)

    # Theirs to us

    def answer(self, body: Document) -> Document:
        """The reply to a heartbeat. Raises CommandError."""
        node, topology = self._node, self._topology
        if not topology.replicated:
            raise CommandError(76, "not running with --replSet")
        sender, name = str(body.get("from", "")), body["replSetHeartbeat"]
        if name != topology.set_name:
            message = f"Our set name of {topology.set_name} does not match name {name} reported by remote node"
            raise CommandError(104, message, name="InconsistentReplicaSetNames")
        node.elections.see_term(int(body.get("term", -1)))
        if topology.config is not None and topology.me is None:
            if sender:
                self.poke(sender)
            raise CommandError(93, "Our replica set configuration is invalid or does not include us")
        if topology.me is not None and body.get("fromId") == topology.my_id:
            raise CommandError(2, f"Received heartbeat from member with the same member ID as ourself: {topology.my_id}")
        self._note_sender(sender, body)
        return self._reply(VersionAndTerm(int(body.get("configVersion", -2)), int(body.get("configTerm", -1))))

    def _note_sender(self, sender: str, body: Document) -> None:
        topology = self._topology
        view = self._view(sender)
        stamp = VersionAndTerm(int(body.get("configVersion", -2)), int(body.get("configTerm", -1)))
        if view is not None:
            view.last_heartbeat_received = topology.now()
            self._alive(view)
        if topology.config is None:
            if sender and body.get("fromId") is not None:
                self.poke(sender)
        elif view is not None and topology.config.stamp.older_than(stamp):
            self.poke(sender)
        elif view is not None and body.get("primaryId") == view.member_id != topology.primary_id and int(body["term"]) == topology.term:
            # It says that it is the primary: its answer will tell.
            self.poke(sender)

    def _reply(self, stamp: VersionAndTerm) -> Document:
        node, topology, store = self._node, self._topology, self._node.store
        config = topology.config
        member_fields: dict[str, Any] = {}
        if config is not None:
            member_fields = {
                "term": Int64(topology.term),
                "primaryId": Int64(-1 if topology.primary_id is None else topology.primary_id),
                "electable": topology.unelectable_because() is None,
                **({"syncingTo": topology.sync_source} if topology.sync_source else {}),
                **({"electionTime": topology.election_time} if topology.leader is not Leader.NO else {}),
                **({"config": config.document()} if stamp.older_than(config.stamp) else {}),
                "$replData": {
                    **({"replicaSetId": config.set_id} if config.set_id else {}),
                    "lastCommitted": topology.committed.optime.document(),
                    "lastCommittedWall": topology.committed.wall,
                },
            }
        has_data = topology.state not in (State.STARTUP2, State.ARBITER) or config is None
        applied, durable = (store.applied, store.durable) if has_data else (NOWHERE, NOWHERE)
        own = VersionAndTerm(-2, -1) if config is None else config.stamp
        return {
            "state": int(topology.state),
            "v": Int64(own[0]),
            "configTerm": Int64(own[1]),
            "set": node.topology.set_name,
            **position_fields("durableOpTime", durable),
            **position_fields("opTime", applied),
            **member_fields,
        }

    # Silence

    def _watch_liveness(self) -> None:
        """Look again when the member heard longest ago will have been silent for an election timeout."""
        if self._liveness is not None:
            self._liveness.cancel()
        config = self._topology.config
        waiting = [view.last_update for view in self._topology.views.values() if not view.stale]
        if config is None or not waiting:
            return
        clock = self._node.clock
        delay = max(0.01, min(waiting) + config.election_timeout - clock.monotonic())
        self._liveness = asyncio.get_running_loop().call_later(clock.real(delay), self._check_liveness)

    def _check_liveness(self) -> None:
        topology, now = self._topology, self._node.clock.monotonic()
        assert topology.config is not None
        for view in topology.views.values():
            if not view.stale and now - view.last_update >= topology.config.election_timeout:
                view.stale = True
                if topology.leader is not Leader.NO:
                    view.down(topology.now(), NO_LIFE)
                    if not topology.sees_majority():
                        self._node.elections.step_down_now()
        topology.progress.notify()
        self._watch_liveness()

    def _alive(self, view: View) -> None:
        was_stale = view.stale
        view.alive(self._node.clock.monotonic())
        if was_stale:
            self._watch_liveness()
