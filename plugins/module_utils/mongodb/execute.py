# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out: observe, plan, do the first step, observe again, until nothing is left to do.

Nothing is remembered from one step to the next but what the members themselves say, so it makes no difference whether the same
run goes on or another one begins after this one was killed, nor who else changes the set meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import phases, planner, report, users
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import GRACE, Member, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.retry import Decision, rule
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Plan, Reason, Refusal, Step
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.users import Change, Review, User

# Seconds between two looks at the members while something is waited for.
POLL = 0.2
# Seconds before a refused command is tried again, at most; they double from one refusal to the next.
LONGEST_PAUSE = 2.0
# Seconds of silence before the first line about it, and between two.
SAY_FIRST = 1.0
SAY_EVERY = 5.0
# maxTimeMS of a command, in seconds. Never left out: from 4.4 on a reconfiguration whose predecessor is not at a majority waits
# without limit. An initiate waits for every member, one that is silent costs 40 s (recorded: 03b).
LONGEST: Mapping[Kind, float] = {Kind.INITIATE: 60.0, Kind.STEP_DOWN: 20.0}
LONGEST_OTHER = 20.0
# When the primary itself refuses to be made unelectable (104): seconds that it stays down, and for a secondary to catch up.
STEP_DOWN: Mapping[str, Any] = {"replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 10}
USER = "user"
GROW = "grow"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    admin: whom the connections log in as; made when the set has no user yet. timeout: seconds for everything.
    phase: `shrink` only takes out the members that are not wanted, and does nothing when there are none; `all`; `grow` is `all`, and
        a prediction takes for granted that a run with `shrink` came before.
    """

    desired: DesiredSet
    consents: frozenset[str] = frozenset()
    admin: User | None = None
    users: tuple[User, ...] = ()
    timeout: float = 180.0
    phase: str = planner.ALL

    @property
    def shrink(self) -> bool:
        return self.phase == planner.SHRINK


@dataclass(frozen=True)
class Entry:
    """One line of a plan: what kind of step, and what it does. before, after: the configurations around it, if it changes one."""

    kind: str
    sentence: str
    before: ReplicaSetConfig | None = None
    after: ReplicaSetConfig | None = None
    waits: bool = False

    @classmethod
    def of(cls, step: Step | Change) -> Entry:
        """A step of the plan, or a change of a user."""
        if isinstance(step, Change):
            return cls(USER, step.sentence)
        return cls(step.kind.value, step.sentence, step.before, step.after, step.waits)


@dataclass
class Outcome:
    """plan: as predicted at the beginning; performed: what was then done, the waits left out; observation: at the end."""

    observation: Observation
    plan: list[Entry] = field(default_factory=list)
    performed: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Execution:
    """One run. say: takes lines for people. between: called with a name before and after each command, for tests that end it there."""

    def __init__(
        self,
        members: Members,
        observer: Observer,
        request: Request,
        say: Callable[[str], None] = lambda line: None,
        between: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._members, self._observer, self._request = members, observer, request
        self._say, self._between = say, between
        self._begun = time.monotonic()
        self._said, self._waiting_for, self._doing = self._begun, "", ""
        # How often in a row a command was refused that is to be tried again.
        self._refusals = 0
        # A command whose outcome is not known: the next observation tells.
        self._unsettled: Step | None = None
        self.outcome = Outcome(Observation(request.desired.name, ()))

    def predict(self) -> Outcome:
        """What a run would do, as far as it can be told now. Changes nothing. Raises StackgateError when it would be refused.

        A pod that does not exist yet is taken for a new and empty member.
        """
        self.outcome.observation = expected = phases.with_new_pods(self._observer.observe())
        if self._request.phase == GROW:
            before = planner.plan(expected, self._request.desired, self._request.consents, planner.SHRINK)
            expected = planner.foresee(expected, before.steps)
        plan = self._plan(expected)
        if plan.refusal is not None and not self._first_user_missing(plan.refusal):
            raise plan.refusal.error()
        self._predict(plan)
        return self.outcome

    def run(self) -> Outcome:
        """Do it. Raises StackgateError: refused, not possible, or not done in time; `outcome` then has what was done until then."""
        predicted = users_done = False
        while True:
            plan = self._look()
            if plan.refusal is not None:
                self._refused_plan(plan.refusal)
                continue
            review = None
            if not predicted:
                try:
                    review, predicted = self._predict(plan), True
                except StackgateError as error:
                    self._refused("the users can be looked at", error)
                    continue
            idle = not plan.steps or (plan.steps[0].waits and self._may_make_users())
            if idle and not users_done:  # while something is waited for anyway, or at the end
                users_done = self._finish_users(review)
            elif plan.steps:
                self._attempt(plan.steps[0])
            if not plan.steps and users_done:
                return self.outcome

    # -- looking ---------------------------------------------------------------------------------------------------

    def _look(self) -> Plan:
        """Observe all members, and plan from there."""
        observed = self.outcome.observation = self._observer.observe()
        if self._unsettled is not None and landed(self._unsettled, observed):
            self._performed(Entry.of(self._unsettled))
        self._unsettled = None
        return self._plan(observed)

    def _plan(self, observed: Observation) -> Plan:
        desired = self._request.desired
        if self._request.shrink and not phases.leaving(desired, observed):
            return Plan()
        plan = planner.plan(observed, desired, self._request.consents, planner.SHRINK if self._request.shrink else planner.ALL)
        self.outcome.warnings = list(plan.warnings)
        return plan

    def _primary(self) -> Member | None:
        found = self.outcome.observation.primary
        return self._members[found.host] if found else None

    def _required_primary(self) -> Member:
        primary = self._primary()
        if primary is None:
            raise StackgateError("the set has a primary", self._states())
        return primary

    def _may_make_users(self) -> bool:
        """Whether there is a primary, and a configuration that may be read: then there is an administrator, or none is needed."""
        observed = self.outcome.observation
        return observed.primary is not None and observed.config is not None

    def _first_user_missing(self, refusal: Refusal) -> bool:
        """Whether the refusal may be the one of a set that stands and has no user yet, and one is to be made."""
        return refusal.reason is Reason.NEEDS_LOGIN and "primary" in refusal.details and self._request.admin is not None

    def _predict(self, plan: Plan) -> Review | None:
        """Note the plan, users included. Returns what the primary says of the users, None when it cannot be asked yet."""
        entries = [Entry.of(step) for step in plan.steps]
        review = None
        if not self._request.shrink and (self._request.admin or self._request.users):
            primary = self._primary()
            if primary is not None:
                review = users.review(primary, self._request.admin, self._request.users)
                self.outcome.warnings += review.warnings
                entries += [Entry.of(change) for change in review.changes]
            else:
                everybody = (*([self._request.admin] if self._request.admin else []), *self._request.users)
                entries += [Entry.of(change) for change in users.creations(everybody)]
        self.outcome.plan = entries
        return review

    # -- doing -----------------------------------------------------------------------------------------------------

    def _attempt(self, step: Step) -> None:
        """One step; a refusal that may pass is waited out a little, another one raised."""
        if step.waits or step.command is None:
            self._wait(step.sentence)
            return
        self._between(f"before {step.kind.value}")
        member = self._members[step.send_to]
        longest = max(min(LONGEST.get(step.kind, LONGEST_OTHER), self._left()), 1.0)
        try:
            if step.before is not None and not unchanged(member, step.before):
                return
            self._announce(step.sentence)
            member.command({**step.command, "maxTimeMS": int(longest * 1000)}, timeout=longest + GRACE)
        except StackgateError as error:
            self._unsettled = step
            self._refused(step.sentence, error, member)
            return
        self._performed(Entry.of(step))
        self._between(f"after {step.kind.value}")

    def _make_first_user(self, refusal: Refusal) -> None:
        """The one that everything else needs. Raises StackgateError when it is there already and may not read the configuration."""
        try:
            review = users.review(self._required_primary(), self._request.admin, ())
        except CommandFailed as error:
            self._refused("the first user is made", error)
            return
        if not review.changes:
            raise refusal.error(self._waited())
        self._attempt_users(review)

    def _finish_users(self, review: Review | None) -> bool:
        """Make the users as they should be; whether that is done."""
        if self._request.shrink or not (self._request.admin or self._request.users):
            return True
        try:
            review = review or users.review(self._required_primary(), self._request.admin, self._request.users)
        except StackgateError as error:
            self._refused("the users are as they should be", error)
            return False
        self.outcome.warnings += [warning for warning in review.warnings if warning not in self.outcome.warnings]
        return self._attempt_users(review)

    def _attempt_users(self, review: Review) -> bool:
        """Carry the changes out one after the other; False when one was put off."""
        for change in review.changes:
            self._between(f"before {USER}")
            try:
                self._announce(change.sentence)
                users.apply(self._required_primary(), change)
            except StackgateError as error:
                self._refused(change.sentence, error)
                return False
            self._performed(Entry.of(change))
            self._between(f"after {USER}")
        return True

    def _refused(self, doing: str, error: StackgateError, member: Member | None = None) -> None:
        """Decide what a refusal means; returns when all members are to be observed again. Raises StackgateError."""
        found = rule(error)
        if not isinstance(error, (CommandFailed, Unreachable)):
            raise error
        if found.decision is Decision.STOP or self._left() <= 0:
            raise StackgateError(doing, error.seen, found.hint or error.hint, self._waited(), error.details) from error
        if found.decision is Decision.STEP_DOWN and member is not None:
            try:
                member.command(STEP_DOWN, timeout=LONGEST[Kind.STEP_DOWN] + GRACE)
            except StackgateError as second:  # the primary may cut the connection; else the next round finds it as it was
                found = rule(second)
        self._refusals += 1
        self._wait(f"{doing} ({found.meaning})", pause=min(POLL * 2**self._refusals, LONGEST_PAUSE))

    def _performed(self, entry: Entry) -> None:
        self.outcome.performed.append(entry)
        self._refusals, self._doing = 0, ""

    def _announce(self, doing: str) -> None:
        """Say what is done now; not again when it is only tried again."""
        if doing != self._doing:
            self._doing = doing
            self._tell(doing)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _refused_plan(self, refusal: Refusal) -> None:
        """A refusal of the planner: cure it by the first user, or wait if time may cure it, else raise it."""
        if self._first_user_missing(refusal):
            self._make_first_user(refusal)
        elif refusal.transient and self._left() > 0:
            self._wait(f"{refusal.expected}; {refusal.seen}", told=True)
        else:
            raise refusal.error(self._waited())

    def _wait(self, what: str, told: bool = False, pause: float = 0.0) -> None:
        """A moment, with a line about it now and then. told: it says how the members are. Raises StackgateError when the time is over."""
        states = self._states()
        if self._left() <= 0:
            raise StackgateError(what, states, waited=self._waited())
        if time.monotonic() - self._said >= (SAY_EVERY if what == self._waiting_for else SAY_FIRST):
            self._waiting_for = what
            self._tell(f"{self._waited():.0f} s of {self._request.timeout:.0f} s: {what}" + ("" if told else f"; {states}"))
        time.sleep(min(max(pause, POLL), max(self._left(), 0.0)))

    def _states(self) -> str:
        return report.states(self.outcome.observation, {m.host: m.name for m in self._request.desired.members if m.name != m.host})

    def _tell(self, text: str) -> None:
        self._said = time.monotonic()
        self._say(f"  {self._request.desired.name}: {text}")

    def _waited(self) -> float:
        return time.monotonic() - self._begun

    def _left(self) -> float:
        return self._request.timeout - self._waited()


def unchanged(member: Member, before: ReplicaSetConfig) -> bool:
    """Whether the configuration that a step starts from is still the one in force, read at the last moment."""
    now = ReplicaSetConfig(member.command({"replSetGetConfig": 1})["config"])
    return (now.term, now.version) == (before.term, before.version)


def landed(step: Step, observed: Observation) -> bool:
    """Whether a command that was not answered as it should was carried out all the same."""
    if step.kind is Kind.INITIATE:
        return bool(observed.initialised)
    if step.kind is Kind.STEP_DOWN:
        return observed.primary is None or observed.primary.host != step.send_to
    if step.after is not None:
        return observed.config is not None and _alike(step.after, observed.config)
    return step.kind is Kind.SET_DEFAULT_WRITE_CONCERN and bool(observed.primary and observed.primary.default_write_concern_set)


def _alike(sent: ReplicaSetConfig, found: ReplicaSetConfig) -> bool:
    """Whether two configurations say the same. Versions and terms do not tell: an election installs the old one with a new term."""

    def facts(config: ReplicaSetConfig) -> list[tuple[object, ...]]:
        return [
            (m.id, m.host, m.votes, m.priority, m.arbiter, m.hidden, m.delay_s, m.build_indexes, m.tags, m.horizons) for m in config.members
        ]

    return facts(sent) == facts(found) and all(found.settings.get(key) == value for key, value in sent.settings.items())
