# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a PostgreSQL cluster is in order: conditions in a fixed order, the first that fails is named with what was seen. Pure.

Each condition may take for granted that those before it hold, so that a cause is named and not what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import (
    PRIMARY,
    RUNNING,
    MemberObservation,
    Observation,
    behind,
)

MAX_LAG = 16 * 1024 * 1024
RESTARTS = "restart"


@dataclass(frozen=True)
class Bounds:
    """What is tolerated. max_lag: bytes of WAL that a replica may be behind. synchronous: whether a replica must confirm commits; None
    when either is right."""

    max_lag: int = MAX_LAG
    synchronous: bool | None = None


@dataclass(frozen=True)
class Probe:
    """What became of a commit as an application makes it, and of reading it back.

    through, read_from: what the server was called. write_error, read_error: empty when it worked. seconds: for the commit.
    """

    through: str = ""
    read_from: str = ""
    write_error: str = ""
    read_error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The first condition that fails, or that all hold.

    condition: its short name; empty when all hold. expected: as a sentence. members: those that it is about.
    fatal: it cannot come to hold without a change from outside.
    """

    holds: bool
    seen: str
    condition: str = ""
    expected: str = ""
    hint: str = ""
    members: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Fault:
    """Why a condition does not hold."""

    seen: str
    hint: str = ""
    members: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Case:
    """What a condition looks at. wanted: the members that there should be."""

    observation: Observation
    bounds: Bounds
    wanted: tuple[str, ...]

    @property
    def members(self) -> tuple[MemberObservation, ...]:
        return tuple(member for member in self.observation.members if member.name in self.wanted)

    @property
    def leader(self) -> MemberObservation:
        """The leader; only for conditions after the one that there is one."""
        found = self.observation.leader
        if found is None:
            raise LookupError("no leader")
        return found

    @property
    def replicas(self) -> tuple[MemberObservation, ...]:
        return tuple(member for member in self.members if member.name != self.observation.holder)


def judge(found: Observation, bounds: Bounds, wanted: Iterable[str] = (), probe: Probe | None = None, but: Iterable[str] = ()) -> Verdict:
    """The first condition that does not hold.

    wanted: the members that there should be; without them, those that were asked. probe: None when nothing was written.
    but: names of conditions that need not hold.
    """
    case = Case(found, bounds, tuple(wanted) or tuple(member.name for member in found.members))
    left_out = set(but)
    for name, expected, condition in CONDITIONS:
        fault = condition(case) if name not in left_out else None
        if fault is not None:
            return Verdict(False, fault.seen, name, expected, fault.hint, fault.members, fault.fatal)
    if probe is not None and probe.write_error:
        return Verdict(False, f"a commit through {probe.through}: {probe.write_error}", "write", "a commit is acknowledged")
    if probe is not None and probe.read_error:
        seen = f"what was committed through {probe.through} is not read back from {probe.read_from}: {probe.read_error}"
        return Verdict(False, seen, "read", "a commit is read back from a replica")
    return Verdict(True, _summary(case, probe))


# -- conditions, in their order ------------------------------------------------------------------------------------------


def _answers(case: Case) -> Fault | None:
    """Patroni answers on every member."""
    silent = {name: "was not asked" for name in case.wanted if case.observation.member(name) is None}
    silent.update({member.name: member.error for member in case.members if not member.reachable})
    if not silent:
        return None
    told = "; ".join(f"{name}: {why}" for name, why in silent.items())
    return Fault(f"{len(case.wanted) - len(silent)}/{len(case.wanted)} answer; {told}", members=tuple(silent))


def _one_cluster(case: Case) -> Fault | None:
    """All belong to the cluster of that name, and all have the same identity."""
    strangers = [member for member in case.members if member.scope != case.observation.scope]
    if strangers:
        told = ", ".join(f"{member.name} is of {member.scope or 'none'}" for member in strangers)
        return Fault(told, "is scope what Patroni's configuration says?", tuple(member.name for member in strangers), True)
    identities: dict[str, list[str]] = {}
    for member in case.members:
        identities.setdefault(member.system_id, []).append(member.name)
    identities.pop("", None)
    if len(identities) < 2:
        return None
    told = "; ".join(f"{identity}: {', '.join(names)}" for identity, names in sorted(identities.items()))
    hint = "the volume of one side is of another cluster: Patroni refuses it until it is emptied"
    return Fault(f"the members' data are of {len(identities)} clusters: {told}", hint, fatal=True)


def _managed(case: Case) -> Fault | None:
    """Patroni does its work: nobody has paused it."""
    if any(member.paused for member in case.members):
        return Fault("it is in maintenance mode (pause): a leader that fails is not replaced", "`patronictl resume` in a member's pod")
    return None


def _store(case: Case) -> Fault | None:
    """The members reach the store of truth."""
    alone = tuple(member.name for member in case.members if member.failsafe)
    if alone:
        return Fault(
            f"{', '.join(alone)}: failsafe mode is active, the leader goes on only because every member answers it",
            "Patroni does not reach the Kubernetes API: see its log, and the NetworkPolicy for its way there",
            alone,
        )
    if case.observation.listed is None:
        return Fault("no member can tell what the store of truth has", "Patroni does not reach the Kubernetes API, or may not: see its log")
    return None


def _leader(case: Case) -> Fault | None:
    """Exactly one member takes writes, and it holds the leader's lock."""
    primaries = case.observation.primaries
    if len(primaries) > 1:
        told = " and ".join(f"{member.name} (timeline {member.timeline})" for member in primaries)
        return Fault(f"{told} take writes", "stop the one that does not hold the lock", tuple(m.name for m in primaries))
    holder = case.observation.holder
    leader = case.observation.leader
    if leader is not None:
        return None
    if not holder:
        return Fault(f"nobody holds the leader's lock: {states(case.observation)}", members=tuple(m.name for m in case.members))
    if holder not in {member.name for member in case.observation.members}:
        return Fault(f"{holder} holds the lock, which is none of the members", members=())
    return Fault(f"{holder} holds the lock, and is {state(case.observation, holder)}", members=(holder,))


def _listed(case: Case) -> Fault | None:
    """The store of truth has the wanted members and no others."""
    there = {entry.name for entry in case.observation.listed or ()}
    gone, extra = sorted(set(case.wanted) - there), sorted(there - set(case.wanted))
    parts = [f"{', '.join(gone)} missing"] if gone else []
    parts += [f"{', '.join(extra)} too many"] if extra else []
    return Fault(f"of its members, {'; '.join(parts)}", members=tuple(gone)) if parts else None


def _states(case: Case) -> Fault | None:
    """Every other member streams from the leader."""
    wrong = [member for member in case.replicas if not member.streams]
    if not wrong:
        return None
    told = ", ".join(f"{member.name} {state(case.observation, member.name)}" for member in wrong)
    paused = any(member.replay_paused for member in wrong)
    return Fault(told, "pg_wal_replay_resume()" if paused else "", tuple(member.name for member in wrong))


def _timelines(case: Case) -> Fault | None:
    """All are on the leader's timeline."""
    wrong = [member for member in case.replicas if member.timeline != case.leader.timeline]
    if not wrong:
        return None
    told = ", ".join(f"{member.name} on {member.timeline}" for member in wrong)
    return Fault(f"the leader is on timeline {case.leader.timeline}, {told}", members=tuple(member.name for member in wrong))


def _lags(case: Case) -> Fault | None:
    """Every replica is close behind the leader."""
    for member in case.replicas:
        lag = behind(member, case.leader)
        if lag is None:
            return Fault(f"how far {member.name} is behind is not known", members=(member.name,))
        if lag > case.bounds.max_lag:
            return Fault(
                f"{member.name} is {lag} bytes behind the leader; tolerated: {case.bounds.max_lag}",
                "wait, or see its log, disk and processor",
                (member.name,),
            )
    return None


def _synchronous(case: Case) -> Fault | None:
    """Commits wait for a replica, or do not, as it is wanted."""
    if case.bounds.synchronous is None:
        return None
    confirming = [one.name for one in case.leader.standbys if one.sync_state in ("sync", "quorum")]
    if not case.bounds.synchronous:
        return Fault(f"commits wait for {', '.join(confirming)}", "set synchronous_mode: false") if confirming else None
    if not case.replicas:
        return None
    if not confirming:
        return Fault(f"no replica confirms commits: {_sync_states(case.leader)}", "is synchronous_mode on?")
    # Without the mark a replica is not allowed to take over.
    if not any(member.synchronous for member in case.replicas):
        return Fault(f"{', '.join(confirming)} confirms commits, and Patroni has not noted that yet", members=tuple(confirming))
    return None


def _restarts(case: Case) -> Fault | None:
    """No parameter waits for a restart."""
    waiting = [member for member in case.members if member.pending_restart]
    if not waiting:
        return None
    told = "; ".join(f"{member.name}: {', '.join(member.pending_restart)}" for member in waiting)
    return Fault(told, "run patroni_rollout", tuple(member.name for member in waiting))


CONDITIONS: tuple[tuple[str, str, Callable[[Case], Fault | None]], ...] = (
    ("answers", "Patroni answers on every member", _answers),
    ("one cluster", "all members are of one cluster", _one_cluster),
    ("managed", "Patroni manages the cluster", _managed),
    ("store", "Patroni reaches its store of truth", _store),
    ("leader", "exactly one member takes writes, and it holds the leader's lock", _leader),
    ("listed", "the store of truth has the wanted members", _listed),
    ("states", "every replica streams from the leader", _states),
    ("timeline", "all members are on one timeline", _timelines),
    ("lag", "every replica is close behind the leader", _lags),
    ("synchronous", "commits are synchronous or not, as wanted", _synchronous),
    (RESTARTS, "no parameter waits for a restart", _restarts),
)


# -- words -----------------------------------------------------------------------------------------------------------------


def state(found: Observation, name: str) -> str:
    """What a member does, in a few words."""
    member = found.member(name)
    if member is None:
        return "not known"
    if not member.reachable:
        return f"unreachable ({member.error})"
    if member.state != RUNNING:
        return member.state or "without a server"
    if member.role == PRIMARY:
        return "the leader" if found.leader is member else "a primary without the lock"
    return (member.replication_state or "not streaming") + (" (replay is paused)" if member.replay_paused else "")


def states(found: Observation) -> str:
    """All members' states on one line."""
    return ", ".join(f"{member.name} {state(found, member.name)}" for member in found.members) or "no member was asked"


def _sync_states(leader: MemberObservation) -> str:
    return ", ".join(f"{one.name} is {one.sync_state}" for one in leader.standbys) or "nobody streams"


def _summary(case: Case, probe: Probe | None) -> str:
    """What a cluster in order looks like, in one line."""
    leader = case.leader
    confirming = [one.name for one in leader.standbys if one.sync_state in ("sync", "quorum")]
    lag = max((behind(member, leader) or 0 for member in case.replicas), default=0)
    replicas = len(case.replicas)
    parts = [f"leader {leader.name} on timeline {leader.timeline}", f"{replicas} replica{'' if replicas == 1 else 's'}"]
    parts += [f"lag {lag} bytes"] if replicas else []
    parts += [f"commits wait for {', '.join(confirming)}"] if confirming else []
    if probe is not None:
        parts.append(f"a commit through {probe.through} in {probe.seconds * 1000:.0f} ms, read back from {probe.read_from}")
    return ", ".join(parts)
