# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Becoming the primary, and ceasing to be it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from bson.int64 import Int64

from .config import Member, VersionAndTerm
from .errors import CommandError
from .network import Unreachable
from .optime import OpTime
from .registry import Document
from .states import Leader, State

if TYPE_CHECKING:
    from .node import Node

# An election waits for its timeout and up to this part of it more, so that members do not start together.
OFFSET = 0.15
# Before there was any primary, members that did not make the set wait by this part longer, so that a busy machine changes nothing.
LATE = 0.1
# Seconds between winning and accepting writes when there is nothing to catch up with (recorded: 05, steps 53-59).
DRAIN = 0.03


class Elections:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._topology = node.topology
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._takeover: asyncio.TimerHandle | None = None
        self._running = False

    # When

    def put_off(self, first: bool = False) -> None:
        """The primary is there: wait for an election timeout from now. first: we have made the set, and go before the others."""
        topology, clock = self._topology, self._node.clock
        if topology.config is None or topology.me is None or not topology.me.electable:
            self.stop()
            return
        timeout = topology.config.election_timeout
        late = 0.0 if first else random.random() * OFFSET + (LATE if topology.term == 0 else 0.0)
        self._deadline = clock.monotonic() + timeout * (1 + late)
        if self._timer is None or self._timer.when() > asyncio.get_running_loop().time() + clock.real(self._deadline - clock.monotonic()):
            self._sleep()

    def _sleep(self) -> None:
        clock = self._node.clock
        if self._timer is not None:
            self._timer.cancel()
        delay = clock.real(max(0.0, self._deadline - clock.monotonic()))
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._node.clock.monotonic() < self._deadline - 1e-6:
            self._sleep()
        elif self._topology.leader is Leader.NO:
            self.put_off()
            self._node.spawn(self.run("electionTimeout"))

    def plan_takeover(self) -> None:
        """The primary's priority is lower than ours."""
        if self._takeover is None and self._topology.config is not None:
            delay = self._topology.takeover_delay() + random.random() * OFFSET * self._topology.config.election_timeout
            self._takeover = asyncio.get_running_loop().call_later(self._node.clock.real(delay), self._take_over)

    def _take_over(self) -> None:
        self._takeover = None
        if self._topology.outranks_primary():
            self._node.spawn(self.run("priorityTakeover"))

    def stop(self) -> None:
        for timer in (self._timer, self._takeover):
            if timer is not None:
                timer.cancel()
        self._timer = self._takeover = None

    def configured(self) -> None:
        """A new configuration: its timeouts count from now; who is alone need not wait."""
        if self._takeover is not None:
            self._takeover.cancel()
            self._takeover = None
        self.put_off()
        self.if_alone()

    def if_alone(self) -> None:
        topology = self._topology
        alone = (
            topology.config is not None and topology.me is not None and [member.id for member in topology.config.voters] == [topology.my_id]
        )
        if alone and topology.leader is Leader.NO and topology.unelectable_because() is None:
            self._node.spawn(self.run("electionTimeout"))

    # The election

    async def run(self, reason: str, dry_run: bool = True) -> bool:
        """Try to become the primary. True: we are."""
        topology, store = self._topology, self._node.store
        if topology.leader is not Leader.NO:
            return True
        if self._running or topology.unelectable_because(takeover=reason == "priorityTakeover") is not None:
            return False
        assert topology.config is not None
        self._running = topology.candidate = True
        kind = {"electionTimeout": "electionTimeout", "priorityTakeover": "priorityTakeover"}.get(reason, "stepUpCmd")
        topology.metrics.called[kind] = topology.metrics.called.get(kind, 0) + 1
        try:
            term, stamp, prior = topology.term, topology.config.stamp, topology.primary_id
            if dry_run and not await self._ask(term, dry_run=True):
                return False
            if topology.term != term:
                return False
            self.see_term(term + 1)
            await store.save_vote(term + 1, topology.my_id)
            if not await self._ask(term + 1, dry_run=False):
                return False
            if topology.term != term + 1 or topology.config is None or topology.me is None or topology.config.stamp != stamp:
                return False
            topology.metrics.successful[kind] = topology.metrics.successful.get(kind, 0) + 1
            self._won(reason, prior)
            return True
        finally:
            self._running = topology.candidate = False
            self.put_off()

    async def _ask(self, term: int, dry_run: bool) -> bool:
        """Whether a majority gives its vote."""
        topology = self._topology
        config = topology.config
        if config is None:
            return False
        others = [member for member in config.voters if member.id != topology.my_id]
        granted = len(config.voters) - len(others)
        body = {
            "replSetRequestVotes": 1,
            "setName": config.name,
            "dryRun": dry_run,
            "term": Int64(term),
            "candidateId": Int64(topology.my_id),
            "configVersion": Int64(config.version),
            "configTerm": Int64(config.term),
            "lastAppliedOpTime": self._node.store.applied.optime.document(),
            "from": self._node.host,
        }
        pending = {self._node.spawn(self._ask_one(member, body, config.election_timeout)) for member in others}
        while pending and granted < config.majority:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            granted += sum(task.result() for task in done)
        for task in pending:
            task.cancel()
        return granted >= config.majority and topology.term == term

    async def _ask_one(self, member: Member, body: Document, seconds: float) -> bool:
        try:
            reply = await self._node.network.command(member.host, body, seconds, use="vote")
        except (Unreachable, CommandError):
            return False
        self.see_term(int(reply["term"]))
        return bool(reply["voteGranted"])

    async def vote(self, body: Document) -> Document:
        """The answer to a candidate. Raises CommandError."""
        topology, store = self._topology, self._node.store
        if topology.config is None:
            raise CommandError(94, "no replset config has been received")
        term, dry_run = int(body["term"]), bool(body["dryRun"])
        if not dry_run:
            self.see_term(term)
        reason = self._refusal(body, term, dry_run)
        if reason == "" and not dry_run:
            self.put_off()
            await store.save_vote(term, int(body["candidateId"]))
        if not dry_run:
            topology.metrics.participant = {
                "votedForCandidate": not reason,
                "electionTerm": Int64(term),
                "lastVoteDate": topology.now(),
                "electionCandidateMemberId": int(body["candidateId"]),
                "voteReason": reason,
                "lastAppliedOpTimeAtElection": store.applied.optime.document(),
                "maxAppliedOpTimeInSet": max([store.applied, *(view.applied for view in topology.views.values())]).optime.document(),
                "priorityAtElection": 0.0 if topology.me is None else float(topology.me.priority),
            }
        return {"term": Int64(topology.term), "voteGranted": not reason, "reason": reason}

    def _refusal(self, body: Document, term: int, dry_run: bool) -> str:
        """Why the candidate does not get our vote; empty: it does."""
        topology, store = self._topology, self._node.store
        assert topology.config is not None
        theirs, ours = OpTime.parse(body["lastAppliedOpTime"]), store.applied.optime
        if topology.me is not None and topology.me.arbiter:
            ours = topology.committed.optime
        stamp = VersionAndTerm(int(body["configVersion"]), int(body["configTerm"]))
        if topology.me is None:
            return "not a member of the replica set"
        if term < topology.term:
            return f"candidate's term ({term}) is lower than mine ({topology.term})"
        if body["setName"] != topology.config.name:
            return f"candidate's set name ({body['setName']}) differs from mine ({topology.config.name})"
        if stamp.older_than(topology.config.stamp):
            return f"candidate's config with {stamp} is older than mine with {topology.config.stamp}"
        if theirs < ours:
            return f"candidate's data is staler than mine. candidate's last applied OpTime: {theirs}, my last applied OpTime: {ours}"
        if not dry_run and store.vote[0] == term:
            return f"already voted for another candidate ({store.vote[1]}) this term ({term})"
        primary, candidate = topology.config.member(topology.primary_id), topology.config.member(int(body["candidateId"]))
        if topology.me.arbiter and primary is not None and candidate is not None and primary.priority >= candidate.priority:
            return f"can see a healthy primary ({primary.host}) of equal or greater priority"
        return ""

    # Primary

    def _won(self, reason: str, prior: int | None) -> None:
        node, topology = self._node, self._topology
        assert topology.config is not None and topology.me is not None
        topology.leader, topology.primary_id = Leader.DRAINING, topology.my_id
        topology.election_time = node.next_timestamp()
        alone = len(topology.config.members) == 1
        topology.metrics.candidate = {
            "lastElectionReason": reason,
            "lastElectionDate": topology.now(),
            "electionTerm": Int64(topology.term),
            "lastCommittedOpTimeAtElection": topology.committed.optime.document(),
            "lastSeenOpTimeAtElection": node.store.applied.optime.document(),
            "numVotesNeeded": topology.config.majority,
            "priorityAtElection": float(topology.me.priority),
            "electionTimeoutMillis": Int64(topology.config.settings["electionTimeoutMillis"]),
            **({} if prior is None else {"priorPrimaryMemberId": prior}),
            **({} if alone else {"numCatchUpOps": Int64(0)}),
        }
        self.stop()
        topology.bump()
        node.heartbeats.restart()
        node.spawn(self._drain(topology.term))

    async def _drain(self, term: int) -> None:
        """Catch up with whoever has more, then accept writes."""
        node, topology = self._node, self._topology

        def still() -> bool:
            return topology.term == term and topology.leader is Leader.DRAINING

        def caught_up() -> bool:
            heard = all(view.fresh or view.health == 0 for view in topology.views.values())
            most = max((view.beat_applied.optime for view in topology.views.values() if view.up), default=node.store.applied.optime)
            return not still() or (heard and node.store.applied.optime >= most)

        await topology.progress.until(caught_up)
        await node.clock.sleep(DRAIN)
        await node.unlocked.wait()
        if not still() or topology.config is None:
            return
        topology.metrics.caught_up += 1
        if topology.config.term not in (-1, term):
            await node.reconfigurations.adopt_term(term)
            if not still():
                return
        topology.leader = Leader.WRITABLE
        started = node.replicate("n", "", {"msg": "new primary"})
        assert topology.metrics.candidate is not None
        topology.metrics.candidate["newTermStartDate"] = started.wall
        topology.bump()
        node.prepare_first_primary()
        await topology.progress.until(lambda: topology.term != term or topology.committed.optime >= started.optime)
        if topology.metrics.candidate is not None and topology.leader is not Leader.NO:
            topology.metrics.candidate["wMajorityWriteAvailabilityDate"] = topology.now()

    def see_term(self, term: int) -> None:
        """Somebody is in this term: if it is newer, so are we, and no longer primary."""
        topology = self._topology
        if term <= topology.term:
            return
        topology.term = term
        if topology.leader is not Leader.NO:
            topology.metrics.step_downs_by_higher_term += 1
            self.step_down_now()
        else:
            topology.find_primary()
            topology.bump()

    def step_down_now(self) -> None:
        """Be a secondary. Whoever waits for a write of ours is told."""
        topology = self._topology
        if topology.leader is Leader.NO:
            return
        topology.leader, topology.primary_id = Leader.NO, None
        topology.metrics.candidate = None
        if topology.follower is not State.SECONDARY:
            topology.follower = State.SECONDARY
        topology.find_primary()
        topology.bump()
        topology.progress.notify()
        self.put_off()
