# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart the members of a set one after the other, so that it keeps its quorum and its primary for as long as possible.

Secondaries first, the primary last, after it has handed over. Before each member, the whole set must be in order: every other member
in its state, close behind the primary, the clocks together; after each, the same again with the member back. Nothing is remembered
between two members but what the cluster and the set say themselves, so that whoever is interrupted is continued by the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import health, retry
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Processes

# Seconds from one look to the next.
INTERVAL = 1.0
# Seconds between two lines that say what is waited for.
SAY_EVERY = 10.0
# Seconds for which the old primary does not stand for election: long enough for its restart to have begun.
STEP_DOWN_S = 60
# Seconds that the server itself waits for a secondary to catch up. It must be shorter than the period (recorded: 05, code 2).
CATCH_UP_S = 10
# Standings in which a member serves nobody, by its own word: restarting it takes nothing away.
OUT_OF_SERVICE = frozenset({Standing.REMOVED, Standing.STANDALONE, Standing.UNINITIALISED})


@dataclass
class Rollout:
    """One rolling restart.

    observe: ask all members. command: send (host, body, seconds) to one; raises CommandFailed or Unreachable.
    names: host -> what people call the member. timeout: seconds that the set may take to come into order, each time.
    restarted, done: the members that were restarted, and everything that was done, as sentences.
    """

    observe: Callable[[], Observation]
    command: Callable[[str, Mapping[str, Any], float], Mapping[str, Any]]
    servers: Processes
    names: Mapping[str, str]
    bounds: health.Bounds
    say: Callable[[str], None]
    timeout: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    restarted: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Restart all that are pending. Raises StackgateError when the set does not come back into order within `timeout`."""
        before = len(self.restarted)
        while pending := self.servers.pending():
            observation = self.observe()
            broken = [host for host in pending if self._out_of_service(host, observation)]
            for host in broken:
                self._replace(host, pending[host], "out of service", len(pending))
            if broken:
                continue
            observation = self.settle("before the next member restarts")
            host = order(pending, observation)[0]
            primary = observation.primary
            if primary is not None and host == primary.host and self._hand_over(host, observation):
                continue  # it is a secondary now; who is to be restarted next is decided anew
            self._replace(host, pending[host], role(host, observation), len(pending))
        if len(self.restarted) > before and not self._untouched():
            self.settle(f"with {self.restarted[-1]} back")

    def _untouched(self) -> bool:
        """Whether these servers are no set yet, so that there is nothing to wait for."""
        return all(member.standing is Standing.UNINITIALISED for member in self.observe().members)

    def settle(self, moment: str) -> Observation:
        """Wait until the set is in order."""
        begun = said = self.now()
        while True:
            observation = self.observe()
            verdict = health.judge(observation, self.bounds)
            if verdict.holds:
                return observation
            trouble = self.servers.trouble()
            waited = self.now() - begun
            if trouble is not None:
                raise StackgateError(
                    f"{verdict.expected} {moment}", f"{verdict.seen}; {trouble.seen}", trouble.hint, waited, self._details(verdict)
                )
            if waited >= self.timeout:
                raise StackgateError(f"{verdict.expected} {moment}", verdict.seen, verdict.hint, waited, self._details(verdict))
            if self.now() - said >= SAY_EVERY:
                said = self.now()
                self.say(f"waits for {waited:.0f} s {moment}: {verdict.seen}")
            self.sleep(INTERVAL)

    def _details(self, verdict: health.Verdict) -> dict[str, Any]:
        return {"changed": bool(self.restarted), "restarted": self.restarted, "plan": self.done, "condition": verdict.condition}

    def _out_of_service(self, host: str, observation: Observation) -> bool:
        member = observation.member(host)
        if member is None or member.standing is Standing.UNREACHABLE:
            return self.servers.down(host)  # that we cannot reach it does not mean that the others cannot
        return member.standing in OUT_OF_SERVICE

    def _replace(self, host: str, why: str, what: str, left: int) -> None:
        self.say(f"{self._name(host)} ({what}) restarts: {why}" + (f"; {left - 1} more after it" if left > 1 else ""))
        self.restarted.append(self._name(host))
        self.done.append(restart_sentence(self._name(host), what, why))
        self.servers.replace(host)

    def _hand_over(self, host: str, observation: Observation) -> bool:
        """Make the primary give its place to another member; False when no other could take it."""
        if not successors(host, observation):
            self.say(f"{self._name(host)} is primary, and no other member can become it: writes wait until it is back")
            return False
        begun = self.now()
        while True:
            self.say(f"{self._name(host)} is the primary: it hands over first")
            body = {"replSetStepDown": STEP_DOWN_S, "secondaryCatchUpPeriodSecs": CATCH_UP_S}
            try:
                self.command(host, body, STEP_DOWN_S)
                break
            except StackgateError as error:
                # No answer at all: whether it worked shows in the next observation.
                rule = retry.rule(error)
                waited = self.now() - begun
                if rule.decision is not retry.Decision.AGAIN or waited >= self.timeout:
                    raise StackgateError(
                        f"{self._name(host)} hands over to another member (never by force)", error.seen, rule.hint, waited
                    ) from error
                self.say(f"{self._name(host)} stays primary for now: {rule.meaning}")
            self.sleep(INTERVAL)
            observation = self.settle(f"before {self._name(host)} hands over")
            if observation.primary is None or observation.primary.host != host:
                break
        self.done.append(hand_over_sentence(self._name(host)))
        observation = self.settle(f"after {self._name(host)} has handed over")
        if observation.primary is not None and observation.primary.host != host:
            self.say(f"{self._name(observation.primary.host)} is the primary now, {self.now() - begun:.1f} s later")
        return True

    def _name(self, host: str) -> str:
        return self.names.get(host, host)


def order(pending: Mapping[str, str], observation: Observation) -> list[str]:
    """In which order they restart: first those whose absence is felt least, the primary last."""
    primary = observation.primary
    config = observation.config

    def rank(host: str) -> tuple[bool, bool, float, str]:
        member = config.member(host) if config else None
        if member is None:
            return (False, False, 0.0, host)
        return (primary is not None and host == primary.host, member.votes > 0, member.priority, host)

    return sorted(pending, key=rank)


def role(host: str, observation: Observation) -> str:
    """What a member does now, for people: PRIMARY, SECONDARY, ..., or its standing."""
    member = observation.member(host)
    if member is None:
        return "unknown"
    return member.state or member.standing.value


def successors(host: str, observation: Observation) -> list[str]:
    """The members that could take over from the primary `host`."""
    config = observation.config
    return [member.host for member in config.electable if member.host != host] if config else []


def plan(pending: Mapping[str, str], observation: Observation, names: Mapping[str, str]) -> list[str]:
    """The restarts to come, as sentences. An election may make another member the primary in the meantime."""
    found = []
    primary = observation.primary
    for host in order(pending, observation):
        name = names.get(host, host)
        if primary is not None and host == primary.host and successors(host, observation):
            found.append(hand_over_sentence(name))
        found.append(restart_sentence(name, role(host, observation), pending[host]))
    return found


def restart_sentence(name: str, what: str, why: str) -> str:
    """One restart for people, before and after it. what: the member's role; why: the reason."""
    return f"restart {name} ({what}): {why}"


def hand_over_sentence(name: str) -> str:
    """A step-down for people."""
    return f"{name} hands over to another member"
