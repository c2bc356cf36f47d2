# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart the members of a cluster one after the other, the leader last, after it has handed over.

Before each member the whole cluster must be in order: every other one streams from the leader, close behind it, one of them confirms
commits where that is wanted; after each, the same again with the member back. Nothing is remembered between two members but what the
cluster and Patroni say themselves, so that whoever is interrupted is continued by the next run.

A member whose pod may stay, and whose server waits for a restart because of a parameter, is restarted in place, by Patroni.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import health, switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import MemberObservation, Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Processes

# Seconds from one look to the next.
INTERVAL = 0.5
# Seconds between two lines that say what is waited for.
SAY_EVERY = 10.0
# Seconds for Patroni to restart a server: its shutdown checkpoint and its recovery.
RESTART_TIMEOUT = 300.0
# A member that is restarted may be missing, and a parameter may wait for its restart: that is what is being done.
MEANWHILE = (health.RESTARTS,)


class Talk(Protocol):
    """What a rollout asks and does: Patroni, or a double of a test."""

    def observe(self) -> Observation:
        """Ask all members."""

    def switchover(self, timeout: float) -> switchover.Switchover:
        """Make the leader hand over. Raises StackgateError."""

    def restart(self, name: str, timeout: float) -> None:
        """Have Patroni restart a member's server, because of parameters that wait for it. Raises StackgateError."""


@dataclass
class Rollout:
    """One rolling restart.

    hosts: member -> what `servers` calls it. timeout: seconds that the cluster may take to come into order, each time.
    restarted, done: the members that were restarted, and everything that was done, as sentences.
    """

    talk: Talk
    servers: Processes
    hosts: Mapping[str, str]
    bounds: health.Bounds
    say: Callable[[str], None]
    timeout: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    restarted: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Restart all that are pending. Raises StackgateError when the cluster does not come back into order within `timeout`."""
        before = len(self.restarted)
        while pending := self._pending():
            found = self.talk.observe()
            broken = [name for name in pending if self._out_of_service(name, found)]
            for name in broken:
                self._replace(name, pending[name], "out of service", len(pending))
            if broken:
                continue
            if not found.initialised:  # no cluster yet: nobody hands over, and nobody is waited for
                self._replace(next(iter(pending)), next(iter(pending.values())), "not initialised", len(pending))
                continue
            found = self.settle("before the next member restarts")
            name = order(pending, found)[0]
            if name == found.holder and self._hand_over(name, found):
                continue  # it is a replica now; who is to be restarted next is decided anew
            self._replace(name, pending[name], role(name, found), len(pending))
        if len(self.restarted) > before and self.talk.observe().initialised:
            self.settle(f"with {self.restarted[-1]} back")

    def restart_in_place(self) -> None:
        """Restart the servers whose parameters wait for it, the leader last, after it has handed over.

        A parameter that was made smaller (max_connections) must become so on the leader first: its replicas keep the larger one until
        then, and still wait after their restart. Then the leader restarts where it is, and the replicas once more.
        """
        stayed: set[str] = set()
        handed_over: set[str] = set()
        rounds: dict[str, int] = {}
        while waiting := self._waiting(self.talk.observe()):
            found = self.settle("before the next server restarts")
            waiting = self._waiting(found)
            if not waiting:
                return
            name = order(waiting, found)[0] if not stayed & set(waiting) else found.holder
            if rounds.get(name, 0) >= 2:
                raise StackgateError(f"{name} has taken over its parameters", f"after two restarts it still waits for one: {waiting[name]}")
            if name == found.holder and not stayed and name not in handed_over and self._hand_over(name, found):
                handed_over.add(name)
                continue
            self._restart(name, waiting.get(name, "the replicas wait for the leader's parameters"), role(name, found))
            rounds[name] = rounds.get(name, 0) + 1
            after = self.settle(f"with {name} back")
            stayed = set() if name == found.holder else stayed | ({name} & set(self._waiting(after)))

    def settle(self, moment: str) -> Observation:
        """Wait until the cluster is in order."""
        begun = said = self.now()
        while True:
            found = self.talk.observe()
            verdict = health.judge(found, self.bounds, self.hosts, but=MEANWHILE)
            if verdict.holds:
                return found
            trouble = self.servers.trouble()
            waited = self.now() - begun
            if trouble is not None or waited >= self.timeout:
                seen = verdict.seen if trouble is None else f"{verdict.seen}; {trouble.seen}"
                hint = verdict.hint if trouble is None else trouble.hint
                raise StackgateError(f"{verdict.expected} {moment}", seen, hint, waited, self._details(verdict))
            if self.now() - said >= SAY_EVERY:
                said = self.now()
                self.say(f"waits for {waited:.0f} s {moment}: {verdict.seen}")
            self.sleep(INTERVAL)

    def _details(self, verdict: health.Verdict) -> dict[str, Any]:
        return {"changed": bool(self.done), "restarted": self.restarted, "plan": self.done, "condition": verdict.condition}

    def _pending(self) -> dict[str, str]:
        """The members whose pods are to be replaced, with why."""
        names = {host: name for name, host in self.hosts.items()}
        return {names[host]: why for host, why in self.servers.pending().items()}

    def _waiting(self, found: Observation) -> dict[str, str]:
        return waiting(found, self.hosts)

    def _out_of_service(self, name: str, found: Observation) -> bool:
        """Whether it serves nobody by its own word, or by that of whoever runs it: a restart takes nothing away."""
        member = found.member(name)
        if member is None or not member.reachable:
            return self.servers.down(self.hosts[name])  # that we cannot reach it does not mean that the others cannot
        return member.state in FAILED

    def _replace(self, name: str, why: str, what: str, left: int) -> None:
        self.say(f"{name} ({what}) restarts: {why}" + (f"; {left - 1} more after it" if left > 1 else ""))
        self.restarted.append(name)
        self.done.append(restart_sentence(name, what, why))
        # A synchronous replica has the leader choose another one before it ends: Patroni sees to that (while_not_sync_standby).
        self.servers.replace(self.hosts[name])

    def _restart(self, name: str, why: str, what: str) -> None:
        self.say(f"{name} ({what}) restarts its server: {why}")
        self.restarted.append(name)
        self.done.append(restart_sentence(name, what, why))
        self.talk.restart(name, RESTART_TIMEOUT)

    def _hand_over(self, name: str, found: Observation) -> bool:
        """Make the leader give its place to a replica; False when no replica could take it."""
        if not [member for member in found.members if member.streams]:
            self.say(f"{name} is the leader, and no replica can become it: writes wait until it is back")
            return False
        what = self.talk.switchover(self.timeout)
        self.done.append(hand_over_sentence(what.old, what.new))
        self.settle(f"after {name} has handed over")
        return True


# States in which Patroni runs a member without a server, and will not heal it by waiting.
FAILED = frozenset({"start failed", "initdb failed", "custom bootstrap failed", "crashed", "stop failed", "restart failed"})


def waiting(found: Observation, names: Mapping[str, str]) -> dict[str, str]:
    """The members whose parameters wait for a restart, with which."""
    return {
        member.name: f"parameters {', '.join(member.pending_restart)}"
        for member in found.members
        if member.pending_restart and member.name in names
    }


def order(pending: Mapping[str, str], found: Observation) -> list[str]:
    """In which order they restart: replicas that confirm no commits, those that do, the leader."""

    def rank(name: str) -> tuple[bool, bool, str]:
        member = found.member(name)
        return (name == found.holder, bool(member and member.synchronous), name)

    return sorted(pending, key=rank)


def role(name: str, found: Observation) -> str:
    """What a member does now, for people: leader, synchronous replica, replica, or its state."""
    member = found.member(name)
    if member is None or not member.reachable:
        return "unreachable"
    if name == found.holder:
        return "leader"
    return _replica(member)


def _replica(member: MemberObservation) -> str:
    if member.role != "replica" or not member.state:
        return member.state or "not initialised"
    return "synchronous replica" if member.synchronous else "replica"


def plan(pods: Mapping[str, str], servers: Mapping[str, str], found: Observation) -> list[str]:
    """The restarts to come, as sentences. A failover may make another member the leader in the meantime.

    pods, servers: those to be replaced, and those that restart in their pods; a leader that hands over has its server restarted with that.
    """
    heir = switchover.candidate_of(found)
    sentences = []
    for pending, by_handing_over in ((pods, False), ({name: why for name, why in servers.items() if name not in pods}, True)):
        for name in order(pending, found):
            if name == found.holder and heir:
                sentences.append(hand_over_sentence(name, heir))
            if not (name == found.holder and heir and by_handing_over):
                sentences.append(restart_sentence(name, role(name, found), pending[name]))
    return sentences


def restart_sentence(name: str, what: str, why: str) -> str:
    """One restart for people, before and after it. what: the member's role; why: the reason."""
    return f"restart {name} ({what}): {why}"


def hand_over_sentence(old: str, new: str) -> str:
    """A switchover for people."""
    return f"{old} hands over to {new}"
