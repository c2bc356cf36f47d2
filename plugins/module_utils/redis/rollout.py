# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart sentinels and servers one after the other, so that writes stop for no longer than one coordinated switchover takes.

Sentinels first, then the replicas, the master last, after it has handed over. Before each member everything must be in order, and after
it again with the member back. Nothing is remembered between two members but what the cluster and the members say themselves, so that
whoever is interrupted is continued by the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Trouble
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switched
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Processes

# Seconds from one look to the next.
INTERVAL = 0.5
# Seconds between two lines that say what is waited for.
SAY_EVERY = 10.0
# How often a master is to hand over while somebody falls silent in the middle of it.
HAND_OVERS = 3


@dataclass
class Rollout:
    """One rolling restart.

    observe: ask all members. hand_over: makes the master hand over, within so many seconds.
    timeout: seconds that everything may take to come into order, each time.
    restarted, done: the members that were restarted, and everything that was done, as sentences. attempts: to have the master hand over.
    """

    observe: Callable[[], Observation]
    hand_over: Callable[[float], Switched]
    servers: Processes
    bounds: health.Bounds
    say: Callable[[str], None]
    timeout: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    restarted: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    attempts: int = 0

    def run(self) -> None:
        """Restart all that are pending. Raises StackgateError when things do not come back into order within `timeout`."""
        before = len(self.restarted)
        while pending := self.servers.pending():
            broken = [name for name in pending if self.servers.down(name)]
            for name in broken:
                self._replace(name, pending[name], "down", len(pending))
            if broken:
                continue
            observation = self._settle("before the next member restarts")
            name = order(pending, observation)[0]
            if self._leads(name, observation):
                self._hand_over(name)
                continue  # it is a replica now; who is to be restarted next is decided anew
            self._replace(name, pending[name], role(name, observation), len(pending))
        if len(self.restarted) > before:
            self._settle(f"with {self.restarted[-1]} back")

    def repair(self) -> None:
        """Restart those that are pending and do not run, and do nothing else: their revision may be what keeps them from running."""
        for name, why in self.servers.pending().items():
            if self.servers.down(name):
                self._replace(name, why, "down", 1)

    @property
    def result(self) -> dict[str, Any]:
        """What was done, for a task's result."""
        return {"changed": bool(self.done), "plan": self.done, "restarted": self.restarted}

    def _leads(self, name: str, observation: Observation) -> bool:
        """Whether this is a master that another server can take over from."""
        master = observation.master
        return bool(master and master.name == name and hands_over(observation))

    def _settle(self, moment: str) -> Observation:
        """Wait until everything is in order."""
        begun = said = self.now()
        while True:
            observation = self.observe()
            verdict = health.judge(observation, self.bounds)
            if verdict.holds:
                return observation
            trouble = self.servers.trouble()
            waited = self.now() - begun
            if trouble is not None:
                seen = f"{verdict.seen}; {trouble.seen}"
                raise StackgateError(f"{verdict.expected} {moment}", seen, trouble.hint, waited, self._details(verdict))
            if verdict.fatal or waited >= self.timeout:
                raise StackgateError(f"{verdict.expected} {moment}", verdict.seen, verdict.hint, waited, self._details(verdict))
            if self.now() - said >= SAY_EVERY:
                said = self.now()
                self.say(f"waits for {waited:.0f} s {moment}: {verdict.seen}")
            self.sleep(INTERVAL)

    def _details(self, verdict: health.Verdict) -> dict[str, Any]:
        return {**self.result, "condition": verdict.condition}

    def _replace(self, name: str, why: str, what: str, left: int) -> None:
        self.say(f"{name} ({what}) restarts: {why}" + (f"; {left - 1} more after it" if left > 1 else ""))
        self.restarted.append(name)
        self.done.append(restart_sentence(name, what, why))
        self.servers.replace(name)

    def _hand_over(self, name: str) -> None:
        self.say(f"{name} is the master: it hands over first")
        self.attempts += 1
        try:
            switched = self.hand_over(self.timeout)
        except Unreachable as error:  # whether it came about shows when all is in order again
            if self.attempts >= HAND_OVERS:
                raise
            self.say(f"{error.expected}: {error.seen}; once more when all is in order")
            return
        self.done.append(hand_over_sentence(name))
        self.say(f"{switched.new} is the master now; writes waited for {switched.seconds:.2f} s")


def order(pending: Mapping[str, str], observation: Observation) -> list[str]:
    """In which order they restart: sentinels, then replicas from the last to the first, the master at the end."""
    sentinels = [sentinel.name for sentinel in observation.sentinels]
    servers = [server.name for server in observation.servers]
    master = observation.master
    ranks = [*sentinels[::-1], *(name for name in servers[::-1] if not master or name != master.name), *([master.name] if master else [])]
    return sorted(pending, key=lambda name: ranks.index(name) if name in ranks else -1)


def hands_over(observation: Observation) -> bool:
    """Whether the sentinels can give the master's place to another server."""
    return bool(observation.sentinels) and len(observation.servers) > 1


def role(name: str, observation: Observation) -> str:
    """What a member does now, for people."""
    server = observation.server(name)
    if server is None:
        return "sentinel" if any(sentinel.name == name for sentinel in observation.sentinels) else "unknown"
    if server.trouble is not Trouble.NONE:
        return server.trouble.value
    return "master" if server.is_master else "replica"


def plan(pending: Mapping[str, str], observation: Observation) -> list[str]:
    """The restarts to come, as sentences. A failover may make another server the master in the meantime."""
    found = []
    for name in order(pending, observation):
        what = role(name, observation)
        if what == "master" and hands_over(observation):
            found.append(hand_over_sentence(name))
        found.append(restart_sentence(name, what, pending[name]))
    return found


def restart_sentence(name: str, what: str, why: str) -> str:
    """One restart for people, before and after it. what: the member's role; why: the reason."""
    return f"restart {name} ({what}): {why}"


def hand_over_sentence(name: str) -> str:
    """A switchover for people."""
    return f"{name} hands over to another server"
