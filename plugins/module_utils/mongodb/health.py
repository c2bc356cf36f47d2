# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a replica set is in order: conditions in a fixed order, the first that fails is named with what was seen. Pure.

Each condition may take for granted that those before it hold, so that a cause is named and not what follows from it: a member that
cannot find itself in the configuration is no "missing secondary", and a set without a primary has no lag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import Member, ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, OpTime, Standing


@dataclass(frozen=True)
class Bounds:
    """What is tolerated, in seconds.

    max_lag: how far a secondary's last applied write may be behind the primary's, beyond its own delay; the same for the majority
        commit point. max_clock_skew: how far the members' clocks may be apart.
    """

    max_lag: float = 10.0
    max_clock_skew: float = 1.0


@dataclass(frozen=True)
class Probe:
    """What became of a write that a majority had to acknowledge, and of reading it back.

    write_error, read_error: empty when it worked. optime: of the write. committed: the primary's majority commit point after it.
    """

    write_error: str = ""
    read_error: str = ""
    written_to: str = ""
    read_from: str = ""
    seconds: float = 0.0
    optime: OpTime | None = None
    committed: OpTime | None = None


@dataclass(frozen=True)
class Verdict:
    """The first condition that fails, or that all hold.

    condition: its short name; empty when all hold. expected: as a sentence. hosts: the members that it is about.
    fatal: it cannot come to hold without a change from outside.
    """

    holds: bool
    seen: str
    condition: str = ""
    expected: str = ""
    hint: str = ""
    hosts: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Case:
    """What a condition looks at. hosts: the members that there should be."""

    observation: Observation
    config: ReplicaSetConfig
    bounds: Bounds
    hosts: tuple[str, ...]

    @property
    def members(self) -> tuple[MemberObservation, ...]:
        """Those of `hosts` that were asked."""
        return tuple(found for found in (self.observation.member(host) for host in self.hosts) if found is not None)

    @property
    def primary(self) -> MemberObservation:
        """The primary; only for conditions after the one that there is one."""
        found = self.observation.primary
        if found is None:
            raise LookupError("no primary")
        return found

    def configured(self) -> Iterator[tuple[MemberObservation, Member]]:
        """Each member with its entry in the configuration."""
        for member in self.members:
            entry = self.config.member(member.host)
            if entry is not None:
                yield member, entry


@dataclass(frozen=True)
class Fault:
    """Why a condition does not hold."""

    seen: str
    hint: str = ""
    hosts: tuple[str, ...] = ()
    fatal: bool = False


def judge(observation: Observation, bounds: Bounds, hosts: Iterable[str] = (), probe: Probe | None = None) -> Verdict:
    """The first condition that does not hold.

    hosts: the members that there should be; without them, those of the configuration. probe: None when nothing was written.
    """
    config = observation.config
    wanted = tuple(hosts) or (config.hosts if config else tuple(member.host for member in observation.members))
    case = Case(observation, config or ReplicaSetConfig({"_id": observation.set_name, "members": []}), bounds, wanted)
    for name, expected, condition in CONDITIONS:
        fault = condition(case)
        if fault is not None:
            return Verdict(False, fault.seen, name, expected, fault.hint, fault.hosts, fault.fatal)
    fault = _probe(probe) if probe is not None else None
    if fault is not None:
        return Verdict(False, fault.seen, "write", "a write is acknowledged by a majority and read back", fault.hint, fault.hosts)
    return Verdict(True, _summary(case, probe))


# -- conditions, in their order ------------------------------------------------------------------------------------------


def _answers(case: Case) -> Fault | None:
    """Every member answers."""
    silent = [
        (host, member.error if member else "was not asked")
        for host, member in ((host, case.observation.member(host)) for host in case.hosts)
        if member is None or not member.reachable
    ]
    if not silent:
        return None
    told = "; ".join(f"{host}: {error}" for host, error in silent)
    return Fault(f"{len(case.hosts) - len(silent)}/{len(case.hosts)} answer; {told}", hosts=tuple(host for host, _error in silent))


def _one_set(case: Case) -> Fault | None:
    """All of them belong to the same set."""
    sets = {identity: [host for host in hosts if host in case.hosts] for identity, hosts in case.observation.sets.items()}
    sets = {identity: hosts for identity, hosts in sets.items() if hosts}
    if len(sets) < 2:
        return None
    told = " and ".join(f"{identity} ({', '.join(hosts)})" for identity, hosts in sorted(sets.items()))
    return Fault(
        f"{len(sets)} sets of the name {case.observation.set_name}: {told}",
        "decide which one has the data that counts, and empty the volumes of the others' members: they then join it",
        tuple(host for hosts in sets.values() for host in hosts),
        fatal=True,
    )


def _belongs(case: Case) -> Fault | None:
    """Every member has its place in the set, by its own word."""
    for member in case.members:
        match member.standing:
            case Standing.MEMBER if member.error and not member.hello.get("arbiterOnly"):
                return Fault(
                    f"{member.host} does not tell its state: {member.error}",
                    "give the credentials of a user with the role clusterMonitor or root",
                    (member.host,),
                )
            case Standing.MEMBER:
                continue
            case Standing.REMOVED:
                return _removed(case, member)
            case Standing.UNINITIALISED:
                others = any(other.standing is Standing.MEMBER for other in case.members)
                seen = "has no configuration yet" + (", although others have one" if others else "")
                return Fault(f"{member.host} {seen}", "the module mongodb_replica_set makes it a member", (member.host,))
            case Standing.STANDALONE:
                return Fault(
                    f"{member.host} was started without --replSet", "start it with --replSet and the set's name", (member.host,), True
                )
            case Standing.WRONG_SET_NAME:
                return Fault(
                    f"{member.host} belongs to the set {member.set_name}, not to {case.observation.set_name}",
                    "start it with the set's name, and with a volume that is not another set's",
                    (member.host,),
                    True,
                )
            case Standing.WRONG_KEY:
                return Fault(
                    f"{member.host} is not let in by the others: it has another key file",
                    "give all members the same key file and restart those that had another",
                    (member.host,),
                )
            case _:
                return Fault(f"{member.host}: {member.standing.value}: {member.error}", "check the credentials", (member.host,))
    return None


def _removed(case: Case, member: MemberObservation) -> Fault:
    """93: it has a configuration, and is not in it, or does not find itself there."""
    alike = [other.host for other in case.members if other.standing is Standing.REMOVED]
    who = f"{', '.join(alike)} {'are' if len(alike) > 1 else 'is'} REMOVED"
    if member.in_own_config:
        # Recorded 09c, 09e: all of them started without names stay so for ever; one alone recovers within 1.3 s of the names' return (09d).
        everybody = len(alike) == len(case.members)
        return Fault(
            f"{who}: the configuration names {'them' if len(alike) > 1 else 'it'}, yet a member does not find itself under that name; "
            "its name did not resolve when it started, or it has another address or was started with another --replSet",
            "make its name resolve (publishNotReadyAddresses on the headless Service) and restart it"
            + ("; all are in that state, from which none recovers by itself" if everybody else ""),
            tuple(alike),
            everybody,
        )
    version = f"version {member.config.version} of " if member.config else ""
    return Fault(f"{who}: {version}the configuration does not list {'them' if len(alike) > 1 else 'it'}", _ADD, tuple(alike))


_ADD = "the module mongodb_replica_set adds it, or leave it out of the condition's members"


def _listed(case: Case) -> Fault | None:
    """The configuration has these members and no others."""
    missing = [host for host in case.hosts if case.config.member(host) is None]
    if missing:
        return Fault(f"the configuration does not list {', '.join(missing)}; it has {', '.join(case.config.hosts)}", _ADD, tuple(missing))
    more = [host for host in case.config.hosts if host not in case.hosts]
    if more:
        return Fault(f"the configuration also lists {', '.join(more)}", "the module mongodb_replica_set removes members that nobody wants")
    return None


def _primary(case: Case) -> Fault | None:
    """Exactly one member is a writable primary, and a majority of the voters take it for that."""
    writable = [member for member in case.members if member.writable]
    if len(writable) > 1:
        told = " and ".join(f"{member.host} (term {member.term})" for member in writable)
        return Fault(f"{told} both say that they are the primary", "the older one steps down when it reaches a majority again")
    if not writable:
        return _no_primary(case)
    primary = writable[0]
    names = {primary.host, primary.me}
    voters = case.config.voters
    blind = [voter.host for voter in voters if getattr(case.observation.member(voter.host), "primary", None) not in names]
    if len(voters) - len(blind) >= case.config.majority:
        return None
    told = ", ".join(f"{host} sees {getattr(case.observation.member(host), 'primary', None) or 'none'}" for host in blind)
    return Fault(f"{primary.host} is primary for {len(voters) - len(blind)} of {len(voters)} voters; {told}", hosts=tuple(blind))


def _no_primary(case: Case) -> Fault:
    states = ", ".join(f"{member.host} {member.state or member.standing.value}" for member in case.members)
    draining = [member.host for member in case.members if member.state == "PRIMARY"]
    if draining:
        return Fault(f"{draining[0]} is elected and does not take writes yet")
    sound = sum(case.observation.sound(voter.host) for voter in case.config.voters)
    if sound < case.config.majority:
        return Fault(
            f"no primary: {sound} of {len(case.config.voters)} voters are there, {case.config.majority} elect one; {states}",
            "bring the others back; if they are lost for good: mongodb_replica_set with the consent forced_reconfiguration",
        )
    return Fault(f"no primary: {states}", "an election takes about 10 s; if it lasts, see the members' logs")


def _states(case: Case) -> Fault | None:
    """Every member is in its state: PRIMARY, SECONDARY, or ARBITER."""
    for member, entry in case.configured():
        wanted = "ARBITER" if entry.arbiter else "PRIMARY" if member.writable else "SECONDARY"
        if member.state != wanted:
            view = case.primary.peer(member.host)
            more = f" ({view.message})" if view is not None and view.message else ""
            hint = "it copies the data from another member" if member.state == "STARTUP2" else ""
            return Fault(f"{member.host} is {member.state}, not {wanted}{more}", hint, (member.host,))
    for member in case.members:
        view = case.primary.peer(member.host)
        if view is not None and not view.sound:
            return Fault(f"the primary sees {member.host} as {view.state}: {view.message or 'no heartbeat yet'}", hosts=(member.host,))
    return None


def _configurations(case: Case) -> Fault | None:
    """All have the same configuration, and it is final."""
    if case.observation.votes_pending:
        return Fault(f"{case.observation.votes_pending} new voter(s) do not count yet: the server changes the configuration itself")
    if case.primary.commitment is False:
        return Fault(f"configuration version {case.config.version} is not at a majority yet")
    wanted = (case.config.version, case.config.term)
    for member in case.members:
        found = _version_of(member, case.primary)
        if found is not None and found != wanted:
            return Fault(
                f"{member.host} has configuration version {found[0]}, term {found[1]}; the primary {wanted[0]}, term {wanted[1]}",
                hosts=(member.host,),
            )
    return None


def _version_of(member: MemberObservation, primary: MemberObservation) -> tuple[int, int] | None:
    """By its own word, else (an arbiter, which has no users to log in as) by the primary's last heartbeat."""
    if member.config is not None:
        return member.config.version, member.config.term
    view = primary.peer(member.host)
    return (view.config_version, view.config_term) if view is not None and view.config_version >= 0 else None


def _lags(case: Case) -> Fault | None:
    """Every secondary that serves reads, may become primary or is delayed on purpose is close behind the primary."""
    for member, entry in case.configured():
        if member is case.primary or entry.arbiter or (entry.hidden and not entry.delay_s):
            continue
        lag = behind(member, case.primary)
        if lag is None:
            return Fault(f"{member.host} does not tell its last write", hosts=(member.host,))
        if lag - entry.delay_s > case.bounds.max_lag:
            delayed = f" with a delay of {entry.delay_s} s" if entry.delay_s else ""
            return Fault(
                f"{member.host} is {lag:.0f} s behind the primary{delayed}; tolerated: {case.bounds.max_lag:g} s",
                "wait, or see its log, disk and processor",
                (member.host,),
            )
    return None


def behind(member: MemberObservation, primary: MemberObservation) -> float | None:
    """Seconds by which a member's last applied write is older than the primary's; 0 when it is newer (it was asked later)."""
    if member.optime is None or primary.optime is None:
        return None
    if member.optime >= primary.optime:
        return 0.0
    return max(0.0, _moment(primary.optime, primary.optime_date) - _moment(member.optime, member.optime_date))


def _moment(optime: OpTime, date: datetime | None) -> float:
    """When a write was made, in seconds: the wall clock's, which has fractions, where the server tells it (4.2 and newer)."""
    return date.timestamp() if date is not None else float(optime.seconds)


def _clocks(case: Case) -> Fault | None:
    """The members' clocks are together."""
    offsets = {member.host: member.clock_offset_s for member in case.members if member.clock_offset_s is not None}
    if len(offsets) < 2:
        return None
    first, last = min(offsets, key=lambda host: offsets[host]), max(offsets, key=lambda host: offsets[host])
    skew = offsets[last] - offsets[first]
    if skew <= case.bounds.max_clock_skew:
        return None
    return Fault(
        f"the clock of {last} is {skew:.1f} s ahead of that of {first}; tolerated: {case.bounds.max_clock_skew:g} s",
        "see that the nodes' time service works",
        (first, last),
    )


def _commits(case: Case) -> Fault | None:
    """The majority commit point follows the primary's writes, and has reached its term."""
    primary = case.primary
    if primary.optime is None or primary.committed is None:
        return Fault(f"{primary.host} does not tell its majority commit point", hosts=(primary.host,))
    if primary.term is not None and 0 <= primary.committed.term < primary.term:
        return Fault(f"the majority commit point is still in term {primary.committed.term}, the primary in term {primary.term}")
    distance = _moment(primary.optime, primary.optime_date) - _moment(primary.committed, primary.committed_date)
    if primary.committed < primary.optime and distance > case.bounds.max_lag:
        return Fault(
            f"the majority commit point is {distance:.0f} s behind the primary's last write; tolerated: {case.bounds.max_lag:g} s",
            "too few members replicate: with an arbiter, and one of two data members down, no majority acknowledges a write",
        )
    return None


def _probe(probe: Probe) -> Fault | None:
    """A write was acknowledged by a majority, moved the commit point, and was read back."""
    if probe.write_error:
        return Fault(f"a write to {probe.written_to} with w: majority, j: true: {probe.write_error}", hosts=(probe.written_to,))
    if probe.read_error:
        return Fault(
            f"a write that a majority acknowledged is not read back from {probe.read_from} with read concern majority: {probe.read_error}",
            hosts=(probe.read_from,),
        )
    if probe.optime is not None and probe.committed is not None and probe.committed < probe.optime:
        return Fault("the majority commit point has not moved to a write that a majority acknowledged")
    return None


CONDITIONS: tuple[tuple[str, str, Callable[[Case], Fault | None]], ...] = (
    ("answers", "every member answers", _answers),
    ("one set", "all members belong to one set", _one_set),
    ("belongs", "every member has its place in the set", _belongs),
    ("listed", "the configuration has the wanted members", _listed),
    ("primary", "exactly one writable primary, seen by a majority of the voters", _primary),
    ("states", "every member is PRIMARY, SECONDARY or ARBITER, as it should be", _states),
    ("configuration", "all members have the same configuration", _configurations),
    ("lag", "every secondary is close behind the primary", _lags),
    ("clock", "the members' clocks are together", _clocks),
    ("commit point", "the majority commit point follows the primary's writes", _commits),
)


def _summary(case: Case, probe: Probe | None) -> str:
    """What a set in order looks like, in one line."""
    secondaries = sum(member.state == "SECONDARY" for member in case.members)
    arbiters = sum(member.state == "ARBITER" for member in case.members)
    lag = max(
        (behind(member, case.primary) or 0.0 for member, entry in case.configured() if not entry.arbiter and not entry.delay_s), default=0.0
    )
    parts = [f"primary {case.primary.host}", f"{secondaries} secondar{'y' if secondaries == 1 else 'ies'}"]
    parts += [f"{arbiters} arbiter{'' if arbiters == 1 else 's'}"] if arbiters else []
    parts += [f"configuration version {case.config.version}", f"lag {lag:.0f} s"]
    if probe is not None:
        parts.append(f"a majority write in {probe.seconds * 1000:.0f} ms, read back from {probe.read_from}")
    return ", ".join(parts)
