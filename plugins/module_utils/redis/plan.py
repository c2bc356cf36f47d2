# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was observed to what is wanted: the steps, in their order. Pure.

Only the first step is ever carried out; then everybody is asked again. So the sentinels forget one after the other: the first step after
one has been reset is to wait until it knows everybody again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Command
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Observation, Sentinel, Server, Trouble

SHRINK, GROW, ALL = "shrink", "grow", "all"
# Seconds for which a server has been up before its state is more than a moment of its start.
SETTLED_S = 30
# What a server's replica-priority is when nobody says anything else (redis 7.0, config.c).
DEFAULT_PRIORITY = 100


class Kind(Enum):
    """The kinds of steps, in the words that a result shows."""

    SWITCH_OVER = "switch over"
    MONITOR = "monitor"
    SET = "set"
    LOGIN = "log in"  # a sentinel gets the password that the servers take
    ENLIST = "enlist"  # a server that stays may be promoted again
    FORGET = "forget"  # SENTINEL RESET
    WAIT = "wait"


@dataclass(frozen=True)
class Step:
    """One step. target: the member that gets the commands. before, after: what a difference shows. barred: who is not to be promoted."""

    kind: Kind
    sentence: str
    target: str = ""
    commands: tuple[Command, ...] = ()
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    hint: str = ""
    barred: frozenset[str] = frozenset()

    @property
    def waits(self) -> bool:
        return self.kind is Kind.WAIT


@dataclass(frozen=True)
class Wanted:
    """What is asked for. settings: of each sentinel, by the names of SENTINEL SET; those left out stay as they are.

    may_log_in: whether the sentinels' user and password are known here. logged_in: the sentinels that were given them in this run.
    """

    phase: str = ALL
    settings: Mapping[str, int] = field(default_factory=dict)
    may_log_in: bool = False
    logged_in: frozenset[str] = frozenset()


def plan(observation: Observation, wanted: Wanted) -> tuple[Step, ...]:
    """What is to be done, and waited for, now and next."""
    if wanted.phase == SHRINK:
        return tuple(_leave(observation))
    return tuple(_steps(observation, wanted))


def foresee(observation: Observation, wanted: Wanted) -> tuple[Step, ...]:
    """What a run would do, waits left out: that what is waited for comes true is taken for granted."""
    return tuple(step for step in plan(observation, wanted) if not step.waits)


def _steps(observation: Observation, wanted: Wanted) -> Iterator[Step]:
    yield from _answers(observation)
    yield from _calm(observation)
    if wanted.phase == ALL:
        yield from _leave(observation)
    yield from _monitored(observation, wanted)
    yield from _settings(observation, wanted)
    yield from _links(observation, wanted)
    yield from _enlisted(observation)
    yield from _agreed(observation)
    yield from _forgotten(observation)


def _wait(sentence: str, hint: str = "") -> Step:
    return Step(Kind.WAIT, sentence, hint=hint)


def _answers(observation: Observation) -> Iterator[Step]:
    for one in observation.members:
        if one.trouble is not Trouble.NONE:
            yield _wait(f"{one.name} answers: {one.error}")


def _calm(observation: Observation) -> Iterator[Step]:
    """Nobody interferes with a failover, and a sentinel in TILT does nothing."""
    for sentinel in observation.sentinels:
        if sentinel.busy:
            yield _wait(f"{sentinel.name} is at rest: {sentinel.busy}")


def _leave(observation: Observation) -> Iterator[Step]:
    """When the master is a server that is to go, another one takes over first; not one that is to go as well."""
    agreed = observation.agreed
    if not agreed or any(server.address == agreed for server in observation.servers):
        return
    extra = {known.address for sentinel in observation.sentinels for known in observation.extra_replicas(sentinel)}
    name = observation.name_of(agreed)
    yield Step(
        Kind.SWITCH_OVER,
        f"{name} is to go, and hands over to a server that stays",
        name,
        before={"master": name},
        after={"master": "a server that stays"},
        barred=frozenset(observation.name_of(address) for address in extra | {agreed}),
    )


def _monitored(observation: Observation, wanted: Wanted) -> Iterator[Step]:
    without = [sentinel for sentinel in observation.sentinels if sentinel.trouble is Trouble.NONE and not sentinel.master]
    if not without:
        return
    masters = observation.masters
    address = observation.agreed or (masters[0].address if len(masters) == 1 else "")
    if not address:
        yield _wait("one server is master, so that the sentinels can be told whom to monitor")
        return
    ip, _colon, port = address.rpartition(":")
    quorum = wanted.settings.get("quorum", observation.majority)
    for sentinel in without:
        yield Step(
            Kind.MONITOR,
            f"{sentinel.name} monitors {observation.name_of(address)}",
            sentinel.name,
            (("SENTINEL", "MONITOR", observation.name, ip, port, quorum),),
            {sentinel.name: {}},
            {sentinel.name: {"monitor": address, "quorum": quorum}},
        )


def _settings(observation: Observation, wanted: Wanted) -> Iterator[Step]:
    for sentinel in observation.sentinels:
        if not sentinel.master:
            continue
        has = settings_of(sentinel)
        changed = {name: value for name, value in wanted.settings.items() if has[name] != value}
        if changed:
            told = ", ".join(f"{name} {has[name]} -> {value}" for name, value in changed.items())
            words = tuple(word for name, value in changed.items() for word in (name, value))
            yield Step(
                Kind.SET,
                f"{sentinel.name}: {told}",
                sentinel.name,
                (("SENTINEL", "SET", observation.name, *words),),
                {sentinel.name: {name: has[name] for name in changed}},
                {sentinel.name: changed},
            )


def settings_of(sentinel: Sentinel) -> dict[str, int]:
    """A sentinel's settings by the names of SENTINEL SET."""
    return {
        "quorum": sentinel.quorum,
        "down-after-milliseconds": sentinel.down_after_ms,
        "failover-timeout": sentinel.failover_timeout_ms,
        "parallel-syncs": sentinel.parallel_syncs,
    }


def _links(observation: Observation, wanted: Wanted) -> Iterator[Step]:
    """A sentinel that gets no answer from a server that has been answering for a while: most likely it has another password."""
    for sentinel in observation.sentinels:
        known = {**{one.address: one for one in sentinel.replicas}, sentinel.master: Known(sentinel.master, sentinel.flags)}
        deaf = [server for server in observation.servers if server.role and (one := known.get(server.address)) and one.down]
        if not deaf:
            continue
        names = ", ".join(server.name for server in deaf)
        if wanted.may_log_in and sentinel.name not in wanted.logged_in and any(server.uptime_s >= SETTLED_S for server in deaf):
            yield Step(
                Kind.LOGIN,
                f"{sentinel.name} gets no answer from {names}: give it the servers' password",
                sentinel.name,
                (),
                {sentinel.name: {"auth": "as it was"}},
                {sentinel.name: {"auth": "the Secret's"}},
            )
        else:
            yield _wait(
                f"{sentinel.name} gets answers from {names}", "does a NetworkPolicy allow it, and is its user's password the servers'?"
            )


def _enlisted(observation: Observation) -> Iterator[Step]:
    """A server that was to go and stays after all; one that starts enlists itself."""
    master = observation.master
    for server in observation.servers:
        if master is not None and server.priority == 0 and _in_sync(server, master) and server.uptime_s >= SETTLED_S:
            yield Step(
                Kind.ENLIST,
                f"{server.name} may be promoted again",
                server.name,
                (("CONFIG", "SET", "replica-priority", DEFAULT_PRIORITY),),
                {server.name: {"replica-priority": 0}},
                {server.name: {"replica-priority": DEFAULT_PRIORITY}},
            )


def _in_sync(server: Server, master: Server) -> bool:
    follows = server.link_up and not server.syncing and server.master == master.address
    return (server is master or follows) and not server.rewriting


def _agreed(observation: Observation) -> Iterator[Step]:
    views = {(sentinel.master, sentinel.epoch) for sentinel in observation.sentinels if sentinel.master}
    if len(views) > 1:
        yield _wait("all sentinels name one master at one epoch")
    elif views and observation.master is None:
        named = observation.name_of(min(views)[0])
        yield _wait(f"{named}, which the sentinels name, is one of the wanted servers and says that it is master")


def _forgotten(observation: Observation) -> Iterator[Step]:
    """One sentinel after the other forgets who is gone; in between it gets to know everybody else anew, and all can reach the quorum."""
    for sentinel in observation.sentinels:
        missing = observation.unknown_to(sentinel) if sentinel.master else ()
        if missing:
            yield _wait(f"{sentinel.name} knows {', '.join(missing)}")
    for sentinel in observation.sentinels:
        if sentinel.quorum_error:
            yield _wait(f"{sentinel.name} can reach the quorum: {sentinel.quorum_error}")
    alive = sorted(_alive(observation))
    if alive:
        yield _wait(f"{', '.join(observation.name_of(address) for address in alive)} is gone, which nobody wants", _FOREIGN)
    for sentinel in observation.sentinels:
        replicas, others = observation.extra_replicas(sentinel), observation.extra_sentinels(sentinel)
        gone = [observation.name_of(known.address) for known in (*replicas, *others)]
        if gone:
            yield Step(
                Kind.FORGET,
                f"{sentinel.name} forgets {', '.join(gone)}",
                sentinel.name,
                (("SENTINEL", "RESET", observation.name),),
                {sentinel.name: {"replicas": _names(observation, sentinel.replicas), "sentinels": _names(observation, sentinel.others)}},
                {
                    sentinel.name: {
                        "replicas": _names(observation, [known for known in sentinel.replicas if known not in replicas]),
                        "sentinels": _names(observation, [known for known in sentinel.others if known not in others]),
                    }
                },
            )


def _names(observation: Observation, members: object) -> list[str]:
    return sorted(observation.name_of(known.address) for known in members)  # type: ignore[attr-defined]


def _alive(observation: Observation) -> set[str]:
    """Unwanted servers and sentinels that still answer: they would be found again at once."""
    master = observation.master
    wanted = {one.address for one in observation.members}
    found = {
        known.address
        for sentinel in observation.sentinels
        for known in (*observation.extra_replicas(sentinel), *observation.extra_sentinels(sentinel))
        if not known.down and known.address not in wanted
    }
    return found | {replica.address for replica in (master.replicas if master else ()) if replica.address not in wanted}


_FOREIGN = "end it, or list it among the members"
