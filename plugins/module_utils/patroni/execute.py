# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a cluster to what is wanted: a leader that stays, Patroni's dynamic configuration, roles, databases and extensions.

Every round begins with a look at all members. Nothing is remembered from one to the next but what they say themselves, so it makes no
difference whether the same run goes on or another one begins after this one was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import catalogue, health, observe, settings, slots, switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.catalogue import Catalogue, Change, Review
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Member, Members, Refused
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.desired import Desired
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Failed

# Seconds between two looks while something is waited for.
POLL = 0.5
# Seconds of silence before the first line about it, and between two.
SAY_FIRST, SAY_EVERY = 2.0, 10.0
# What a server answers that is no leader any more, or is not one yet: another look is taken (SQLSTATE; empty: the connection ended).
PASSING_STATES = frozenset({"", "25006", "57P01", "57P02", "57P03", "08006", "08003"})
# Somebody else has written the dynamic configuration meanwhile, or Patroni could not reach the store of truth for a moment.
PASSING_STATUS = frozenset({409, 502, 503})
# How often the leader hands over at most, to end on a member that stays.
HAND_OVERS = 5
# Seconds from one look of Patroni at its configuration to the next, unless told; and for a reload (Patroni 4.0 gives it one).
LOOP_WAIT, RELOAD = 10.0, 2.0
CONFIGURATION = "configuration"
ALL, SHRINK, GROW = "all", "shrink", "grow"


@dataclass(frozen=True)
class Request:
    """What is asked for. configuration: of the dynamic one, what is named. timeout: seconds for everything.

    phase: `shrink` only moves the leader off members that are to go, and does nothing when there are none.
    """

    configuration: Mapping[str, Any] = field(default_factory=dict)
    desired: Desired = field(default_factory=Desired)
    timeout: float = 180.0
    phase: str = ALL


@dataclass(frozen=True)
class Entry:
    """One line of a plan, and what it changes: before and after, for a difference; None when there is none to show."""

    kind: str
    sentence: str
    before: Any = None
    after: Any = None


@dataclass
class Outcome:
    """plan: as predicted; performed: what was done; observation: at the end."""

    observation: Observation
    plan: list[Entry] = field(default_factory=list)
    performed: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    configuration: Mapping[str, Any] | None = None


class Execution:
    """One run. say: takes lines for people."""

    def __init__(
        self,
        members: Members,
        request: Request,
        say: Callable[[str], None] = lambda line: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._members, self._request, self._say, self._sleep = members, request, say, sleep
        self._begun = self._said = time.monotonic()
        self._holding_since: float | None = None
        self.outcome = Outcome(Observation(members.scope, ()))

    def predict(self) -> Outcome:
        """What a run would do, as far as it can be told now. Changes nothing. A cluster without a leader is taken for an empty one."""
        if self._request.phase == SHRINK:
            entry = self._move(self._with_leaving()[1])
            self.outcome.plan = [entry] if entry else []
            return self.outcome
        found = self.outcome.observation = observe.observe(self._members)
        configuration = observe.configuration(self._members, found) if found.initialised else None
        leader = self._members[found.leader.name] if found.leader else None
        review = self._review(leader) if leader else catalogue.review(self._request.desired, Catalogue())
        leaving = [slots.slot_of(name) for name in sorted(self._leaving(found))] if self._request.phase == GROW else []
        left = self._leftovers(leader, found) if leader else {}
        self._plan(configuration, review, sorted({*self._unused(left, found), *leaving}))
        return self.outcome

    def run(self) -> Outcome:
        """Do it. Raises StackgateError: refused, or not done in time; `outcome` then has what was done until then."""
        if self._request.phase == SHRINK:
            return self._shrink()
        planned = False
        while True:
            found = self._wait_for_leader()
            if self._request.phase == GROW and (leaving := self._leaving(found)):
                self._pause(f"members that are to go leave the cluster; still there: {', '.join(sorted(leaving))}")
                continue
            try:
                configuration = observe.configuration(self._members, found)
                leader = self._members[found.holder]
                review, leftovers = self._review(leader), self._leftovers(leader, found)
                left = self._unused(leftovers, found)
                if self._request.phase == GROW and len(left) < len(leftovers) and self._hold():
                    self._pause(f"slots of members that have gone are free, and all members stream; {health.states(found)}")
                    continue
                if not planned:
                    self._plan(configuration, review, left)
                    planned = True
                self._configure(leader, configuration or {})
                catalogue.apply(leader, review.changes, self._changed)
                self._let_go(leader, left)
                self._wait_for_parameters()
                return self.outcome
            except (Failed, Refused) as error:
                if not _passes(error) or self._left() <= 0:
                    raise
                self._pause(f"{error.expected}; {error.seen}")

    # -- parts ---------------------------------------------------------------------------------------------------

    def _shrink(self) -> Outcome:
        """Hand over until the leader stays. Where only a member that is to go confirms commits, it leads for a moment: no other may."""
        everybody, found = self._with_leaving()
        while (entry := self._move(found)) is not None:
            if not self.outcome.plan:
                self.outcome.plan = [entry]
            if len(self.outcome.performed) >= HAND_OVERS or self._left() <= 0:
                raise StackgateError("a member that stays takes over", health.states(found), waited=self._waited())
            heir = switchover.candidate_of(found, self._leaving(found))
            what = switchover.switchover(everybody, heir, max(self._left(), 1.0), self._say)
            self.outcome.performed.append(Entry(entry.kind, f"{what.old} hands over to {what.new}"))
            found = observe.observe(everybody)
        self.outcome.observation = observe.observe(self._members) if self.outcome.performed else found
        return self.outcome

    def _with_leaving(self) -> tuple[Members, Observation]:
        """All members, those that are to go included: one of them may be the leader."""
        found = self.outcome.observation = observe.observe(self._members)
        everybody = self._members.including(self._leaving(found))
        return everybody, observe.observe(everybody) if len(everybody) > len(self._members) else found

    def _move(self, found: Observation) -> Entry | None:
        """The switchover that is needed; None when the leader stays."""
        leaving = self._leaving(found)
        if found.holder not in leaving:
            return None
        heir = switchover.candidate_of(found, leaving)
        return Entry("switchover", f"{found.holder}, which is to go, hands over to {heir or 'another member'}")

    def _leaving(self, found: Observation) -> frozenset[str]:
        """Members of the store of truth that are not wanted."""
        return frozenset(entry.name for entry in found.listed or () if entry.name not in self._members)

    def _wait_for_leader(self) -> Observation:
        while True:
            found = self.outcome.observation = observe.observe(self._members)
            if found.leader is not None:
                return found
            verdict = health.judge(found, health.Bounds(), self._members.names)
            if verdict.fatal:
                raise StackgateError(verdict.expected, verdict.seen, verdict.hint, self._waited())
            self._pause(f"the cluster has a leader that takes writes; {health.states(found)}")

    def _pause(self, what: str) -> None:
        """A moment, with a line about it now and then. what: what is waited for; what was seen. Raises StackgateError in the end."""
        expected, _semicolon, seen = what.partition("; ")
        if self._left() <= 0:
            raise StackgateError(expected, seen, waited=self._waited())
        now = time.monotonic()
        if now - self._said >= (SAY_FIRST if self._said == self._begun else SAY_EVERY):
            self._said = now
            self._say(f"{self._waited():.0f} s of {self._request.timeout:.0f} s until {what}")
        self._sleep(POLL)

    def _review(self, leader: Member) -> Review:
        if not self._request.desired:
            return Review()
        return catalogue.review(self._request.desired, catalogue.read(leader, self._request.desired))

    def _leftovers(self, leader: Member, found: Observation) -> dict[str, bool]:
        """Replication slots of members that have gone, and whether the server still takes them for used."""
        there = {entry.name for entry in found.listed or ()}
        return slots.leftovers(leader, {*self._members.names, *there})

    def _unused(self, leftovers: Mapping[str, bool], found: Observation) -> list[str]:
        """Those that keep WAL for nobody. None while one of the members that stay is away: it needs its own."""
        if not all(member.streams or member is found.leader for member in found.members):
            return []
        return [slot for slot, active in leftovers.items() if not active]

    def _hold(self) -> bool:
        """Whether to wait for slots to become free: for a moment after a member has gone, not for one that stays away."""
        self._holding_since = self._holding_since or time.monotonic()
        return time.monotonic() - self._holding_since < slots.PATIENCE and self._left() > 0

    def _let_go(self, leader: Member, left: list[str]) -> None:
        if not left:
            return
        entries = [_slot_entry(name) for name in left]
        for entry in entries:
            self._say(entry.sentence)
        slots.let_go(self._members, leader, left, self._left())
        self.outcome.performed += entries

    def _plan(self, there: Mapping[str, Any] | None, review: Review, left: list[str]) -> None:
        self.outcome.configuration = there
        self.outcome.plan = [*self._configuration_entries(there or {}), *map(_change_entry, review.changes), *map(_slot_entry, left)]
        self.outcome.warnings = list(review.warnings)

    def _configuration_entries(self, there: Mapping[str, Any]) -> list[Entry]:
        patch = settings.difference(self._request.configuration, there)
        if not patch:
            return []
        return [Entry(CONFIGURATION, f"set {'; '.join(settings.words(patch, there))}", dict(there), settings.patched(there, patch))]

    def _configure(self, leader: Member, there: Mapping[str, Any]) -> None:
        for entry in self._configuration_entries(there):
            self._say(entry.sentence)
            leader.send("PATCH", "/config", settings.difference(self._request.configuration, there), self._members.timeout)
            self.outcome.performed.append(entry)
            self.outcome.configuration = entry.after

    def _wait_for_parameters(self) -> None:
        """Let every member find out which of changed parameters wait for a restart: its Patroni looks once in loop_wait seconds."""
        changed = [entry for entry in self.outcome.performed if entry.kind == CONFIGURATION]
        if any(entry.before.get("postgresql") != entry.after.get("postgresql") for entry in changed):
            self._sleep(float((self.outcome.configuration or {}).get("loop_wait") or LOOP_WAIT) + RELOAD)

    def _changed(self, change: Change) -> None:
        self._say(change.sentence)
        self.outcome.performed.append(_change_entry(change))

    def _waited(self) -> float:
        return time.monotonic() - self._begun

    def _left(self) -> float:
        return self._request.timeout - self._waited()


def _change_entry(change: Change) -> Entry:
    return Entry("catalogue", change.sentence, "", f"{change.sentence}\n")


def _slot_entry(name: str) -> Entry:
    return Entry("slot", f"let go of the replication slot {name} of a member that has gone")


def _passes(error: Failed | Refused) -> bool:
    """Whether another look may find it healed: the leader has changed, or is about to."""
    return error.status in PASSING_STATUS if isinstance(error, Refused) else error.state in PASSING_STATES
