# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next change of a set that has a primary, on its way to the desired members and settings. Pure, and without memory.

The order, each time from the start: let the server finish what it is doing; add members (without vote); give votes once a member is
SECONDARY; change priorities and the like; take votes and members away, the dead first; the primary last, after it has stepped down.
So a replacement grows before it shrinks, and the set has an electable member and a majority that answers at every step.

At most one voter changes per step. 4.4 and newer demand it (e.3-17), for older servers it is as good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import (
    DELAY,
    MAX_MEMBER_ID,
    MAX_MEMBERS,
    MAX_VOTERS,
    OLD_DELAY,
    Member,
    ReplicaSetConfig,
)
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredMember, DesiredSet, delay_field
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.judgement import (
    coming,
    listed,
    named,
    no_majority,
    trouble,
    unreachable,
)
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Reason, Refusal, Step

# Seconds for which a primary that stepped down does not stand again, and for which it waits until a secondary has caught up.
STEP_DOWN_S = 60
CATCH_UP_S = 10

# What a member has of which the document says nothing, for sentences.
DEFAULTS = {"priority": 1, "hidden": False, DELAY: 0, OLD_DELAY: 0}

# Who may be added: 94 = never a member, or emptied; 93 = was taken out before and keeps its data (recorded: 04b); a member of an older
# configuration that has not heard yet that it was taken out.
JOINABLE = frozenset({Standing.UNINITIALISED, Standing.REMOVED, Standing.MEMBER})

Next: TypeAlias = "Step | Refusal | None"


def next_change(found: Observation, desired: DesiredSet, *, grow: bool = True) -> Next:
    """The next step, why there is none, or None when the set is as desired.

    grow: False: only take away who is not asked for. `found` must have a primary with a readable configuration.
    """
    primary, config = found.primary, found.config
    if primary is None or config is None:
        raise ValueError("a change needs a primary and its configuration")
    return _Change(found, desired, primary, config, grow).next()


@dataclass(frozen=True)
class _Change:
    found: Observation
    desired: DesiredSet
    primary: MemberObservation
    config: ReplicaSetConfig
    grow: bool

    def next(self) -> Next:
        stages = [self.keep_somebody]
        if self.grow:
            stages += [self.join, self.await_candidates, self.grant, self.take_arbiters, self.add_arbiters, self.change]
        stages += [self.take_others, self.take_primary]
        if self.grow:
            stages += [self.change_horizons, self.change_settings]
        answer = next((answer for answer in (stage() for stage in stages) if answer is not None), None)
        # What the server is still installing concerns only who wants to change it.
        return (self.settle() or answer) if isinstance(answer, Step) and answer.after is not None else answer

    # Who is what

    def wanted(self, member: Member) -> DesiredMember | None:
        """What is asked for of a member of the set; None when it is to go, be it to be added anew."""
        wanted = self.desired.member(member.host)
        return None if wanted is None or (self.grow and wanted.needs_adding_anew(member)) else wanted

    def leaving(self) -> list[Member]:
        """Members to take away; the primary not yet."""
        return [m for m in self.config.members if self.wanted(m) is None and m.host != self.primary.host]

    def losing_vote(self) -> list[Member]:
        if not self.grow:
            return []
        return [m for m in self.config.voters if (w := self.wanted(m)) and not w.votes and m.host != self.primary.host]

    def missing(self, *, arbiters: bool) -> list[DesiredMember]:
        return [m for m in self.desired.members if m.arbiter is arbiters and self.config.member(m.host) is None]

    def candidates(self) -> list[Member]:
        """Members of the set that are to get a vote."""
        return [m for m in self.config.members if not m.votes and (w := self.wanted(m)) and w.votes]

    @property
    def delay_field(self) -> str:
        return self.config.delay_field or delay_field(self.primary.fcv, self.primary.version)

    def name(self, host: str) -> str:
        return named(self.desired, host)

    # The stages

    def settle(self) -> Step | None:
        """Waits while the server is still installing the configuration in force, or making a new voter a voter by itself."""
        if self.primary.commitment is False:
            return Step(Kind.WAIT_FOR_CONFIG, f"wait until version {self.config.version} of the configuration is at a majority")
        passive = set(self.primary.hello.get("passives") or ())
        pending = [m for m in self.config.voters if m.host in passive and m.electable] or list(self.config.voters)
        if self.found.votes_pending and any(self.found.sound(m.host) for m in pending if m.host != self.primary.host):
            return Step(Kind.WAIT_FOR_CONFIG, "wait until the server has turned the voters that were just added into voters")
        return None

    def keep_somebody(self) -> Next:
        """Refuses to take every member away that could be primary."""
        if self.grow or any(self.wanted(m) for m in self.config.electable):
            return None
        return Refusal(
            Reason.NO_OTHER_PRIMARY,
            "a member that stays and may become primary",
            f"of {listed(self.config.hosts)} only {listed(m.host for m in self.config.members if self.wanted(m)) or 'nobody'} would stay",
            "add the new members first (phase: all), and take these away after that",
        )

    def join(self) -> Next:
        missing = self.missing(arbiters=False)
        if silent := [m for m in [*missing, *self.missing(arbiters=True)] if self.found.standing(m.host) not in JOINABLE]:
            return unreachable(self.found, silent, "every new member runs before it is added to the set")
        if not missing or len(self.config.members) >= MAX_MEMBERS:
            return None
        new = missing[0]
        document = {**self.new_document(new), "votes": 0, "priority": 0}
        if conflict := self.horizon_conflict(new):
            return conflict
        sentence = f"add {new.name} ({new.host}) as {self.numbered(document)} without a vote"
        return self.reconfigure(Kind.ADD_MEMBER, sentence, new.host, [*self.config.members, Member(document)])

    def await_candidates(self) -> Next:
        """Waits for each member that shall vote to have the set's data: a voter without them would only raise the majority."""
        for member in self.candidates():
            if self.found.sound(member.host):
                continue
            name, why = self.name(member.host), trouble(self.found, member.host)
            observed = self.found.member(member.host)
            if observed is not None and "too stale" in str(observed.status):
                return Refusal(
                    Reason.NOT_SYNCING,
                    f"{name} follows the set before it gets a vote",
                    f"{name} is too stale: the others have dropped what it would need to catch up",
                    "empty its volume: it then takes a new copy of the data",
                )
            if coming(self.found, member.host) or self.found.standing(member.host) is Standing.REMOVED:
                return Step(Kind.WAIT_FOR_MEMBER, f"wait until {name} is SECONDARY (it {why})", target=member.host)
            return Refusal(
                Reason.UNREACHABLE,
                f"{name} has the set's data before it gets a vote",
                f"{name} {why}",
                "start it, or leave it out of the list",
                transient=True,
                details={"members": [member.host]},
            )
        return None

    def grant(self) -> Next:
        candidates = self.candidates()
        if not candidates or len(self.config.voters) >= MAX_VOTERS:
            return None
        member = candidates[0]
        wanted = self.desired_member(member.host)
        changes = {**wanted.differences(member, self.delay_field), "votes": 1}
        return self.reconfigure(Kind.GRANT_VOTE, f"give {wanted.name} its vote", member.host, self.edited({member.host: changes}))

    def take_arbiters(self) -> Next:
        """An arbiter that another replaces goes first: it holds no data, and two of them would weaken majority writes."""
        return self.take([m for m in self.leaving() if m.arbiter]) if self.missing(arbiters=True) else None

    def add_arbiters(self) -> Next:
        missing = self.missing(arbiters=True)
        if not missing or len(self.config.voters) >= MAX_VOTERS or len(self.config.members) >= MAX_MEMBERS:
            return None
        new = missing[0]
        document = self.new_document(new)
        if conflict := self.horizon_conflict(new):
            return conflict
        sentence = f"add the arbiter {new.name} ({new.host}) as {self.numbered(document)}"
        return self.reconfigure(Kind.ADD_ARBITER, sentence, new.host, [*self.config.members, Member(document)])

    def change(self) -> Next:
        """All differences that touch no vote, in one step; a primary that shall not be one any more keeps its place for now."""
        changes = {}
        for member in self.config.members:
            wanted = self.wanted(member)
            if wanted is None or wanted.votes != member.votes:
                continue
            if member.host == self.primary.host and not wanted.electable:
                continue
            if found := wanted.differences(member, self.delay_field):
                changes[member.host] = found
        if not changes:
            return None
        return self.reconfigure(Kind.CHANGE_MEMBERS, self.told(changes), next(iter(changes)), self.edited(changes))

    def take_others(self) -> Next:
        return self.take([*self.leaving(), *self.losing_vote()])

    def take(self, members: Sequence[Member]) -> Next:
        """Takes one of these away, or its vote: the dead first (it makes the majority that answers larger), then voters."""
        if not members:
            return None
        member = min(members, key=lambda m: (self.found.sound(m.host), not m.votes))
        name = self.name(member.host)
        if wanted := self.wanted(member):
            changes = {**wanted.differences(member, self.delay_field), "votes": 0}
            return self.reconfigure(Kind.DROP_VOTE, f"take the vote of {name} away", member.host, self.edited({member.host: changes}))
        again = self.desired.member(member.host)
        anew = "" if again is None else f", to add it anew as {'an arbiter' if again.arbiter else 'a member with data'}"
        remaining = [m for m in self.config.members if m is not member]
        return self.reconfigure(Kind.REMOVE_MEMBER, f"remove {name}{anew}", member.host, remaining)

    def take_primary(self) -> Next:
        """The primary gives its place up when it is to go, to lose its vote, or to be no primary any more."""
        member = self.config.member(self.primary.host)
        if member is None:
            return None
        wanted = self.wanted(member)
        if wanted is not None and (not self.grow or (wanted.electable and wanted.votes)):
            return None
        name = self.name(member.host)
        others = [m for m in self.config.electable if m.host != member.host]
        ready = [m for m in others if self.found.sound(m.host)]
        if ready:
            return Step(
                Kind.STEP_DOWN,
                f"let {name} step down as primary, for {listed(self.name(m.host) for m in ready)} to take its place",
                target=member.host,
                send_to=member.host,
                command={"replSetStepDown": STEP_DOWN_S, "secondaryCatchUpPeriodSecs": CATCH_UP_S},
            )
        awaited = next((m for m in others if coming(self.found, m.host)), None)
        if awaited is not None:
            return Step(Kind.WAIT_FOR_MEMBER, f"wait until {self.name(awaited.host)} is SECONDARY, to succeed {name}", target=awaited.host)
        return Refusal(
            Reason.NO_OTHER_PRIMARY,
            f"another member that may become primary before {name} steps down",
            "; ".join(f"{self.name(m.host)} {trouble(self.found, m.host)}" for m in others) or f"only {name} has a priority above 0",
            "bring one back, or give another member a priority above 0",
            transient=bool(others),
            details={"primary": member.host},
        )

    def change_horizons(self) -> Next:
        """Horizons change on all members at once: the server wants the same names everywhere."""
        changes = {}
        for member in self.config.members:
            wanted = self.wanted(member)
            if wanted is not None and wanted.horizons is not None and member.horizons != dict(wanted.horizons):
                changes[member.host] = {"horizons": dict(wanted.horizons) or None}
        if not changes:
            return None
        return self.reconfigure(Kind.CHANGE_MEMBERS, self.told(changes), next(iter(changes)), self.edited(changes))

    def change_settings(self) -> Next:
        changes = {key: value for key, value in self.desired.settings.items() if self.config.settings.get(key) != value}
        if not changes:
            return None
        told = ", ".join(f"{key}: {_shown(self.config.settings.get(key))} -> {_shown(value)}" for key, value in changes.items())
        return self.reconfigure(Kind.CHANGE_SETTINGS, f"change settings ({told})", "", self.config.members, changes)

    # A new member

    def new_document(self, new: DesiredMember) -> dict[str, Any]:
        """Its document; without horizons as long as the others have none."""
        document = new.document(self.config.new_id(), self.delay_field)
        if not self.horizon_names():
            document.pop("horizons", None)
        return document

    def numbered(self, document: dict[str, Any]) -> str:
        """`member 3`; once 255 is in use, with the reason for a number below."""
        number = document["_id"]
        full = any(member.id > number for member in self.config.members)
        return f"member {number}" + (f" (the lowest free number: {MAX_MEMBER_ID} is in use)" if full else "")

    def horizon_names(self) -> frozenset[str]:
        return frozenset(name for member in self.config.members for name in member.horizons)

    def horizon_conflict(self, new: DesiredMember) -> Next:
        """While the set has horizons, a new member needs the same: otherwise they are taken off all members and set again at the end."""
        names = self.horizon_names()
        taken = {endpoint for member in self.config.members for endpoint in member.horizons.values()}
        if not names or (names == frozenset(new.horizons or ()) and taken.isdisjoint((new.horizons or {}).values())):
            return None
        if new.horizons is None:
            return Refusal(
                Reason.HORIZONS,
                f"horizons {listed(sorted(names))} for the new member {new.name}",
                "the members of the set have horizons, the new one has none",
                "give the horizons of all members",
            )
        changes: dict[str, dict[str, Any]] = {member.host: {"horizons": None} for member in self.config.members}
        sentence = f"take the horizons {listed(sorted(names))} off all members, until all have the new ones"
        return self.reconfigure(Kind.CHANGE_MEMBERS, sentence, new.host, self.edited(changes))

    # Making a step of a change

    def desired_member(self, host: str) -> DesiredMember:
        found = self.desired.member(host)
        if found is None:
            raise ValueError(f"{host} is not asked for")
        return found

    def edited(self, changes: dict[str, dict[str, Any]]) -> list[Member]:
        return [member.edited(changes[member.host]) if member.host in changes else member for member in self.config.members]

    def told(self, changes: dict[str, dict[str, Any]]) -> str:
        """`change mongodb-1 (priority: 1 -> 2)`."""
        parts = []
        for host, fields in changes.items():
            before = self.config.member(host)
            known = {**DEFAULTS, **(before.document if before else {})}
            told = ", ".join(f"{key}: {_shown(known.get(key))} -> {_shown(value)}" for key, value in fields.items())
            parts.append(f"{self.name(host)} ({told})")
        return "change " + listed(parts)

    def commits(self, members: Iterable[Member]) -> bool:
        """Whether the voters that can be counted on are a majority, of those there were and of those there will be."""
        after = self.config.successor(members)
        return all(sum(self.counts(voter) for voter in side.voters) >= side.majority for side in (self.config, after))

    def counts(self, voter: Member) -> bool:
        """A new arbiter answers as soon as it is added."""
        if self.config.member(voter.host) is None:
            return voter.arbiter and self.found.standing(voter.host) in JOINABLE
        return self.found.sound(voter.host)

    def reconfigure(
        self, kind: Kind, sentence: str, target: str, members: Sequence[Member], settings: dict[str, Any] | None = None
    ) -> Step | Refusal:
        """The step to these members, or what has to come before it."""
        after = self.config.successor(self.without_psa_trap(members), settings)
        if self.needs_default_write_concern(after):
            return Step(
                Kind.SET_DEFAULT_WRITE_CONCERN,
                "set the default write concern to majority: with this change of arbiters the server's own would be another one",
                send_to=self.primary.host,
                command={"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": "majority"}},
            )
        if not self.commits(after.members):
            awaited = next((v for v in self.config.voters if not self.found.sound(v.host) and coming(self.found, v.host)), None)
            if awaited is not None:
                why = trouble(self.found, awaited.host)
                return Step(Kind.WAIT_FOR_MEMBER, f"wait for {self.name(awaited.host)} (it {why}), to {sentence}", target=awaited.host)
            broken = self.config if not self.commits(self.config.members) else after
            return no_majority(self.found, self.desired, broken, sentence)
        return Step(
            kind,
            sentence,
            target=target,
            send_to=self.primary.host,
            command={"replSetReconfig": after.to_document()},
            before=self.config,
            after=after,
        )

    def needs_default_write_concern(self, after: ReplicaSetConfig) -> bool:
        """5.0 and newer refuse a change of arbiters that changes the implicit default, until one is set (e.3-10, recorded 04i)."""
        if self.config.default_write_concern_is_majority == after.default_write_concern_is_majority:
            return False
        version, wire = self.primary.version, self.primary.max_wire_version
        old = version < (5,) if version is not None else wire is not None and wire < 13
        return not old and self.primary.default_write_concern_set is not True

    def without_psa_trap(self, members: Sequence[Member]) -> list[Member]:
        """Members such that no set with fewer writable voters than a majority becomes one of primary, secondary and arbiter while
        the secondary is electable: it could lose acknowledged writes, and 5.0 refuses it (e.3-16). The priority follows by itself.
        """
        after = self.config.successor(members)
        writable = [voter for voter in self.config.voters if voter.writable_voter]
        is_psa = len(after.voters) == 3 and len(after.arbiters) == 1
        if not is_psa or len(writable) >= self.config.majority or len(after.electable) < 2:
            return list(members)
        return [m if m.host == self.primary.host or not m.electable else m.edited({"priority": 0}) for m in members]


def _shown(value: Any) -> str:
    """A value in a sentence: `1`, `true`, `{dc: x}`, `none`."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {content}" for key, content in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
