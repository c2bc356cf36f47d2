# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: ask everybody, plan, do the first step, ask again, until nothing is left to do.

Nothing is remembered from one step to the next but what the members themselves say, so it makes no difference whether the same run goes
on or another one begins after this one was killed, nor who else changes something meanwhile.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import plan, report
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Command, Credentials, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Trouble
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.plan import Kind, Step, Wanted
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Fleet
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switchover

# Seconds between two looks at the members while something is waited for.
POLL = 0.2
# Seconds of silence before the first line about it, and between two.
SAY_FIRST = 1.0
SAY_EVERY = 5.0


@dataclass
class Outcome:
    """plan: as foreseen at the beginning; performed: what was then done; observation: at the end."""

    observation: Observation
    plan: list[Step] = field(default_factory=list)
    performed: list[Step] = field(default_factory=list)


class Execution:
    """One run. monitor: whom the sentinels log in to the servers as. say: takes lines for people.

    between: called with a name before and after each step, for tests that end it there.
    """

    def __init__(
        self,
        fleet: Fleet,
        observer: Observer,
        wanted: Wanted,
        monitor: Credentials | None = None,
        timeout: float = 180.0,
        say: Callable[[str], None] = lambda line: None,
        between: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._fleet, self._observer, self._monitor = fleet, observer, monitor
        self._wanted = dataclasses.replace(wanted, may_log_in=monitor is not None)
        self._timeout, self._say, self._between = timeout, say, between
        self._begun = self._said = time.monotonic()
        self._waiting_for = ""
        self.outcome = Outcome(Observation(fleet.request.name, ()))

    def predict(self) -> Outcome:
        """What a run would do, as far as it can be told now. Changes nothing."""
        self.outcome.observation = self._observer.observe()
        self.outcome.plan = list(plan.foresee(self.outcome.observation, self._wanted))
        return self.outcome

    def run(self) -> Outcome:
        """Do it. Raises StackgateError: not possible, or not done in time; `outcome` then has what was done until then."""
        foreseen = False
        while True:
            observed = self.outcome.observation = self._observer.observe()
            self._refuse(observed)
            steps = plan.plan(observed, self._wanted)
            if not foreseen:
                self.outcome.plan, foreseen = [step for step in steps if not step.waits], True
            if not steps:
                return self.outcome
            if steps[0].waits:
                self._wait(steps[0])
            else:
                self._do(steps[0])

    def _refuse(self, observed: Observation) -> None:
        """Raise what no waiting cures."""
        wrong = [one for one in observed.members if one.trouble is Trouble.WRONG_PASSWORD]
        if wrong:
            raise StackgateError(
                "every member takes the administrator's password",
                "; ".join(f"{one.name}: {one.error}" for one in wrong),
                "members read their passwords when they start: restart those that began before the Secret was changed",
                self._waited(),
            )

    def _do(self, step: Step) -> None:
        self._between(f"before {step.kind.value}")
        self._tell(step.sentence)
        try:
            if step.kind is Kind.SWITCH_OVER:
                switched = Switchover(self._fleet, step.barred, self._tell).run(max(self._left(), POLL))
                self._tell(f"{switched.new} is master; writes waited for {switched.seconds:.2f} s")
            else:
                self._send(step)
        except Unreachable as error:  # whether it was carried out shows in the next look
            if self._left() <= 0:
                raise StackgateError(step.sentence, error.seen, error.hint, self._waited()) from error
            time.sleep(POLL)
            return
        self.outcome.performed.append(step)
        self._between(f"after {step.kind.value}")

    def _send(self, step: Step) -> None:
        sentinel = self._fleet.sentinels.get(step.target)
        endpoint = sentinel or self._fleet.server(step.target)
        for command in (*step.commands, *self._login(step)):
            endpoint.command(*command)
        if step.kind is Kind.LOGIN:
            self._wanted = dataclasses.replace(self._wanted, logged_in=self._wanted.logged_in | {step.target})

    def _login(self, step: Step) -> tuple[Command, ...]:
        """The commands that carry a password: they are in no plan."""
        if self._monitor is None or step.kind not in (Kind.LOGIN, Kind.MONITOR):
            return ()
        user = self._monitor
        return (("SENTINEL", "SET", self._fleet.request.name, "auth-user", user.username, "auth-pass", user.password),)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _wait(self, step: Step) -> None:
        """A moment, with a line about it now and then. Raises StackgateError when the time is over."""
        if self._left() <= 0:
            raise StackgateError(step.sentence, report.states(self.outcome.observation), step.hint, self._waited())
        if time.monotonic() - self._said >= (SAY_EVERY if step.sentence == self._waiting_for else SAY_FIRST):
            self._waiting_for = step.sentence
            self._tell(f"{self._waited():.0f} s of {self._timeout:.0f} s: waits until {step.sentence}")
        time.sleep(min(POLL, max(self._left(), 0.0)))

    def _tell(self, text: str) -> None:
        self._said = time.monotonic()
        self._say(f"  {self._fleet.request.name}: {text}")

    def _waited(self) -> float:
        return time.monotonic() - self._begun

    def _left(self) -> float:
        return self._timeout - self._waited()
