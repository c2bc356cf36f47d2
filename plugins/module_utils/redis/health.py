# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When servers and sentinels are in order: conditions in a fixed order, the first that fails is named with what was seen. Pure.

Each condition may take for granted that those before it hold, so that a cause is named and not what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Sentinel, Server, Trouble

# Bytes of the replication stream that a replica may be behind.
MAX_LAG_BYTES = 1 << 20


@dataclass(frozen=True)
class Bounds:
    """What is tolerated. max_lag_bytes: how far a replica may be behind its master in the replication stream."""

    max_lag_bytes: int = MAX_LAG_BYTES


@dataclass(frozen=True)
class Verdict:
    """The first condition that fails, or that all hold.

    condition: its short name; empty when all hold. expected: as a sentence. members: the names of those that it is about.
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


def judge(observation: Observation, bounds: Bounds) -> Verdict:
    """The first condition that does not hold. Without sentinels the conditions about them do not count."""
    for name, expected, condition in CONDITIONS:
        fault = condition(observation, bounds)
        if fault is not None:
            return Verdict(False, fault.seen, name, expected, fault.hint, fault.members, fault.fatal)
    return Verdict(True, summary(observation))


def summary(observation: Observation) -> str:
    """What a set in order looks like, in one line."""
    master = observation.master
    replicas = len(observation.servers) - 1
    parts = [f"master {master.name if master else 'none'}"]
    parts += [f"{replicas} replica{'' if replicas == 1 else 's'}"] if replicas else []
    if observation.sentinels:
        parts.append(f"{len(observation.sentinels)} sentinels of one mind at epoch {observation.epoch}")
    if replicas:
        parts.append(f"lag {max(behind(server, master) for server in observation.servers if server is not master)} bytes")
    return ", ".join(parts)


def behind(server: Server, master: Server | None) -> int:
    """Bytes by which a replica is behind. The members are asked one after the other, so that it may seem ahead: that is none."""
    return max(0, master.offset - server.offset) if master else 0


# -- conditions, in their order ------------------------------------------------------------------------------------------


def _password(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every member takes the login."""
    refused = _troubled(observation, Trouble.WRONG_PASSWORD)
    if not refused:
        return None
    return Fault(
        "; ".join(f"{one.name}: {one.error}" for one in refused),
        "it has another password than the Secret: members read theirs when they start, so restart those that began before it was changed",
        tuple(one.name for one in refused),
        fatal=True,
    )


def _answers(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every member answers, and has loaded its data."""
    silent = _troubled(observation, Trouble.UNREACHABLE, Trouble.REFUSED, Trouble.LOADING)
    if not silent:
        return None
    told = []
    for kind, members in (("servers", observation.servers), ("sentinels", observation.sentinels)):
        wrong = [one for one in members if one in silent]
        if wrong:
            told.append(f"{len(members) - len(wrong)}/{len(members)} {kind} answer; " + "; ".join(f"{o.name}: {o.error}" for o in wrong))
    lost = sum(one in silent for one in observation.sentinels)
    hint = ""
    if observation.sentinels and len(observation.sentinels) - lost < observation.majority:
        hint = f"no master can be elected until {observation.majority} of {len(observation.sentinels)} sentinels are there"
    return Fault("; ".join(told), hint, tuple(one.name for one in silent))


def _monitored(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every sentinel monitors the master."""
    without = [sentinel.name for sentinel in observation.sentinels if not sentinel.master]
    if not without:
        return None
    return Fault(
        f"{', '.join(without)} monitor{'s' if len(without) == 1 else ''} no master of the name {observation.name}", "", tuple(without)
    )


def _tilt(observation: Observation, _bounds: Bounds) -> Fault | None:
    """No sentinel is in TILT."""
    tilted = [sentinel for sentinel in observation.sentinels if sentinel.tilt]
    if not tilted:
        return None
    return Fault(
        "; ".join(f"{sentinel.name}: {sentinel.busy}" for sentinel in tilted),
        "it passes; when it comes again, look for clocks that are set and nodes that stand still",
        tuple(sentinel.name for sentinel in tilted),
    )


def _agreed(observation: Observation, _bounds: Bounds) -> Fault | None:
    """All sentinels name one master at one epoch."""
    views = {(sentinel.master, sentinel.epoch) for sentinel in observation.sentinels}
    if len(views) < 2:
        return None
    told = "; ".join(f"{s.name}: {observation.name_of(s.master)} at epoch {s.epoch}" for s in observation.sentinels)
    return Fault(told, "", tuple(sentinel.name for sentinel in observation.sentinels))


def _calm(observation: Observation, _bounds: Bounds) -> Fault | None:
    """No sentinel finds the master down, and none is in a failover."""
    for sentinel in observation.sentinels:
        name = observation.name_of(sentinel.master)
        if sentinel.busy:
            return Fault(f"{sentinel.name} on {name}: {sentinel.busy}", "", (sentinel.name, name))
        down = sentinel.flags & {"s_down", "disconnected"}
        if down:
            return Fault(f"{sentinel.name} gets no answer from {name} ({', '.join(sorted(down))})", _LINKS, (sentinel.name, name))
    return None


def _master(observation: Observation, _bounds: Bounds) -> Fault | None:
    """One server is master, the one that the sentinels name."""
    masters, agreed = observation.masters, observation.agreed
    told = "; ".join(f"{server.name} {server.role}" for server in observation.servers)
    if len(masters) > 1:
        return Fault(f"{len(masters)} masters: {told}", "", tuple(server.name for server in masters))
    if not masters:
        return Fault(f"no master: {told}", "", tuple(server.name for server in observation.servers))
    if observation.sentinels and masters[0].address != agreed:
        named = observation.name_of(agreed) or "nobody"
        return Fault(f"{masters[0].name} is master, the sentinels name {named}", "", (masters[0].name,))
    return None


def _replicas(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every other server is a replica of it, connected and in sync."""
    master = observation.master
    if master is None:
        return None
    wrong = []
    for server in observation.servers:
        if server is master:
            continue
        # Without sentinels members need not announce themselves by an address that we know.
        if observation.sentinels and server.master != master.address:
            wrong.append((server.name, f"follows {observation.name_of(server.master)}, not {master.name}"))
        elif server.syncing:
            wrong.append((server.name, "its first synchronisation is under way"))
        elif not server.link_up:
            wrong.append((server.name, f"its link to {master.name} is down"))
        elif observation.sentinels and server.priority == 0:
            wrong.append((server.name, "it may not be promoted yet (replica-priority 0)"))
    return Fault("; ".join(f"{name}: {text}" for name, text in wrong), "", tuple(name for name, _text in wrong)) if wrong else None


def _offsets(observation: Observation, bounds: Bounds) -> Fault | None:
    """Every replica is close behind the master."""
    master = observation.master
    late = [s for s in observation.servers if not s.is_master and behind(s, master) > bounds.max_lag_bytes]
    if not late:
        return None
    told = "; ".join(f"{server.name} is {behind(server, master)} bytes behind, of {bounds.max_lag_bytes}" for server in late)
    return Fault(told, "", tuple(server.name for server in late))


def _known(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every sentinel knows the wanted replicas and sentinels, and no others."""
    for sentinel in observation.sentinels:
        missing = observation.unknown_to(sentinel)
        if missing:
            return Fault(f"{sentinel.name} does not know {', '.join(missing)} yet", "", (sentinel.name, *missing))
    for sentinel in observation.sentinels:
        extra = [known.address for known in (*observation.extra_replicas(sentinel), *observation.extra_sentinels(sentinel))]
        if extra:
            return Fault(
                f"{sentinel.name} knows {', '.join(extra)} besides",
                "redis_sentinel makes the sentinels forget what is gone",
                (sentinel.name,),
            )
    return None


def _seen(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every sentinel gets answers from every replica and every sentinel."""
    for sentinel in observation.sentinels:
        down = [observation.name_of(known.address) for known in (*sentinel.replicas, *sentinel.others) if known.down]
        if down:
            return Fault(f"{sentinel.name} gets no answer from {', '.join(down)}", _LINKS, (sentinel.name, *down))
    return None


def _quorum(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every sentinel says that a failover can be authorised."""
    wrong = [sentinel for sentinel in observation.sentinels if sentinel.quorum_error]
    told = "; ".join(f"{sentinel.name}: {sentinel.quorum_error}" for sentinel in wrong)
    return Fault(told, "", tuple(sentinel.name for sentinel in wrong)) if wrong else None


def _persistence(observation: Observation, _bounds: Bounds) -> Fault | None:
    """Every server writes to its disk."""
    wrong = [server for server in observation.servers if server.persistence]
    told = "; ".join(f"{server.name}: {server.persistence}" for server in wrong)
    return Fault(told, "see its log; a full volume is the usual cause", tuple(server.name for server in wrong)) if wrong else None


def _troubled(observation: Observation, *troubles: Trouble) -> list[Server | Sentinel]:
    return [one for one in observation.members if one.trouble in troubles]


_LINKS = "it does not answer, refuses the sentinels' user or its password, or a NetworkPolicy is between them"

CONDITIONS: tuple[tuple[str, str, Callable[[Observation, Bounds], Fault | None]], ...] = (
    ("password", "every member takes the password", _password),
    ("answers", "every server and every sentinel answers", _answers),
    ("monitored", "every sentinel monitors the master", _monitored),
    ("tilt", "no sentinel is in TILT", _tilt),
    ("calm", "no sentinel finds the master down or is in a failover", _calm),
    ("agreed", "all sentinels name one master at one epoch", _agreed),
    ("master", "one server is master, the one that the sentinels name", _master),
    ("replicas", "every other server is its replica, connected and in sync", _replicas),
    ("offsets", "every replica is close behind the master", _offsets),
    ("known", "every sentinel knows the wanted servers and sentinels, and no others", _known),
    ("seen", "every sentinel gets answers from all others", _seen),
    ("quorum", "every sentinel can reach the quorum (CKQUORUM)", _quorum),
    ("persistence", "every server writes to its disk", _persistence),
)
