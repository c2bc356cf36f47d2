# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask all conditions at the same time, again and again, until all hold, one cannot, or the time is over."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, State, failed, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View

# Seconds between two lines that say what is waited for.
SUMMARY_EVERY = 10.0
# Seconds after which the first of them comes: who waits longer wants to know why.
SUMMARY_FIRST = 5.0
# Seconds that conditions get to leave nothing behind.
CLOSE_PATIENCE = 20.0
# Characters of one condition in a line of progress.
BRIEF = 160


@dataclass
class Tracker:
    """One condition and what is known about it. Times in seconds on the crew's clock."""

    condition: Condition
    name: str
    last: Observation | None = None
    holds_since: float | None = None
    held_after: float | None = None  # seconds from the gate's begin to holding, of the present spell
    busy: bool = False
    expired: bool = False
    asked: int = 0

    @property
    def holds(self) -> bool:
        """Whether the newest observation holds."""
        return self.last is not None and self.last.state is State.HOLDS

    @property
    def failed(self) -> bool:
        """Whether waiting has become useless: it cannot heal, or its own time is over."""
        return self.expired or (self.last is not None and self.last.state is State.FAILED)

    @property
    def settled(self) -> bool:
        """Whether it need not be asked again."""
        return self.holds and not self.condition.repeats


class Crew(Protocol):
    """Observes for the runner, and keeps the time."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def start(self, tracker: Tracker, view: View) -> None:
        """Begin one observation; its result comes by receive."""

    def receive(self, seconds: float) -> tuple[Tracker, Observation] | None:
        """The next finished observation, waiting for at most so many seconds."""

    def close(self, trackers: list[Tracker], view: View) -> None:
        """Let conditions clean up."""


def look(tracker: Tracker, view: View) -> Observation:
    """One observation; no exception leaves it."""
    try:
        return tracker.condition.observe(view)
    except ApiError as error:
        if error.forbidden:
            return failed(error.message, hint="docs/rights.md lists the rights that a gate needs")
        return waiting(error.seen, hint=error.hint)
    except StackgateError as error:
        return waiting(" ".join(error.seen.split()), hint=error.hint)
    except Exception as error:  # pylint: disable=broad-except  # one condition's bug must not hide what the others see
        trace = traceback.format_exc(limit=-3)
        return failed(f"error in the gate itself: {type(error).__name__}: {error}", hint=f"please report this:\n{trace}")


class Threads:
    """The real crew: one daemon thread per condition, so that a slow answer delays nobody and a hanging one can be left."""

    def __init__(self) -> None:
        self._results: queue.SimpleQueue[tuple[Tracker, Observation]] = queue.SimpleQueue()
        self._inboxes: dict[int, queue.SimpleQueue[View]] = {}

    def now(self) -> float:
        return time.monotonic()

    def start(self, tracker: Tracker, view: View) -> None:
        inbox = self._inboxes.get(id(tracker))
        if inbox is None:
            inbox = self._inboxes[id(tracker)] = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(tracker, inbox), name=f"gate {tracker.name}", daemon=True).start()
        inbox.put(view)

    def _work(self, tracker: Tracker, inbox: queue.SimpleQueue[View]) -> None:
        while True:
            self._results.put((tracker, look(tracker, inbox.get())))

    def receive(self, seconds: float) -> tuple[Tracker, Observation] | None:
        try:
            return self._results.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def close(self, trackers: list[Tracker], view: View) -> None:
        closing = [threading.Thread(target=tracker.condition.close, args=(view,), daemon=True) for tracker in trackers]
        for thread in closing:
            thread.start()
        until = time.monotonic() + CLOSE_PATIENCE
        for thread in closing:
            thread.join(max(0.0, until - time.monotonic()))


@dataclass
class Outcome:
    """How a gate ended. waited: seconds."""

    trackers: list[Tracker]
    waited: float
    timed_out: bool

    @property
    def holds(self) -> bool:
        """Whether all conditions hold."""
        return all(tracker.holds for tracker in self.trackers)

    @property
    def failed(self) -> list[Tracker]:
        """The conditions that ended the gate."""
        return [tracker for tracker in self.trackers if tracker.failed]


@dataclass
class Runner:
    """A gate that runs. Seconds throughout.

    once: every condition is asked a single time (check mode).
    say:  takes a line of progress.
    """

    conditions: list[Condition]
    new_view: Callable[[], View]
    say: Callable[[str], None]
    crew: Crew
    timeout: float = 300.0
    interval: float = 1.0
    stable: float = 0.0
    once: bool = False
    _trackers: list[Tracker] = field(init=False)

    def __post_init__(self) -> None:
        self._trackers = [Tracker(condition, condition.describe()) for condition in self.conditions]

    def run(self) -> Outcome:
        """Wait. Returns when all hold (each for its stable time), one has failed, or the time is over."""
        self._begun = self._now()
        self._summary_at = self._begun + SUMMARY_FIRST
        view = self.new_view()
        try:
            while True:
                self._start_round(view)
                outcome = self._gather(self._now() + self.interval)
                if outcome:
                    return outcome
                view = self.new_view()
        finally:
            self.crew.close([t for t in self._trackers if type(t.condition).close is not Condition.close and t.asked], view)

    def _now(self) -> float:
        return self.crew.now()

    def _start_round(self, view: View) -> None:
        """Ask every condition that is not being asked still."""
        for tracker in self._trackers:
            if not tracker.busy and not tracker.settled:
                tracker.busy = True
                tracker.asked += 1
                self.crew.start(tracker, view)

    def _gather(self, until: float) -> Outcome | None:
        """Take results until the next round is due; the outcome, when there is one before."""
        while True:
            outcome = self._verdict()
            if outcome:
                return outcome
            now = self._now()
            ends = [until, self._begun + self.timeout, self._summary_at, *self._deadlines(), *self._stabilities()]
            due = min((end for end in ends if end > now), default=now)
            if self.once and not any(tracker.busy for tracker in self._trackers):
                return Outcome(self._trackers, now - self._begun, False)
            result = self.crew.receive(due - now)
            if result:
                self._record(*result)
            elif self._now() >= until and not self.once:
                return self._verdict()
            self._summarise()

    def _record(self, tracker: Tracker, observation: Observation) -> None:
        before = tracker.last
        tracker.busy = False
        tracker.last = observation
        after = self._now() - self._begun
        if observation.state is State.HOLDS:
            if tracker.holds_since is None:
                tracker.holds_since, tracker.held_after = self._now(), after
                if before is not None:  # what holds at once is not worth a line
                    self.say(f"{tracker.name} holds after {after:.1f} s: {brief(observation.seen)}")
            return
        if tracker.holds_since is not None and observation.state is State.WAITING:
            self.say(f"{tracker.name} does not hold any more: {brief(observation.seen)}")
        tracker.holds_since = tracker.held_after = None

    # -- ends ----------------------------------------------------------------------------------------------------

    def _verdict(self) -> Outcome | None:
        now = self._now()
        waited = now - self._begun
        if self.once:
            return None
        for tracker, deadline in zip(self._trackers, self._own_deadlines(), strict=True):
            # In the first round, an answer that is under way is waited for, however short the time is.
            if not tracker.holds and now >= deadline and tracker.last is not None:
                tracker.expired = True
        if any(tracker.failed for tracker in self._trackers):
            return Outcome(self._trackers, waited, False)
        if all(tracker.holds and now >= self._stable_at(tracker) for tracker in self._trackers):
            return Outcome(self._trackers, waited, False)
        if waited >= self.timeout:
            return Outcome(self._trackers, waited, True)
        return None

    def _own_deadlines(self) -> list[float]:
        return [self._begun + (t.condition.timeout if t.condition.timeout is not None else float("inf")) for t in self._trackers]

    def _deadlines(self) -> list[float]:
        return [deadline for tracker, deadline in zip(self._trackers, self._own_deadlines(), strict=True) if not tracker.holds]

    def _stable_at(self, tracker: Tracker) -> float:
        stable = tracker.condition.stable if tracker.condition.stable is not None else self.stable
        return (tracker.holds_since or 0.0) + stable

    def _stabilities(self) -> list[float]:
        return [self._stable_at(tracker) for tracker in self._trackers if tracker.holds]

    # -- progress ------------------------------------------------------------------------------------------------

    def _summarise(self) -> None:
        now = self._now()
        if now < self._summary_at or self.once:
            return
        self._summary_at = now + SUMMARY_EVERY
        open_ = [tracker for tracker in self._trackers if not tracker.holds]
        held = len(self._trackers) - len(open_)
        waits = "; ".join(f"{t.name}: {brief(t.last.seen) if t.last else 'no answer yet'}" for t in open_[:3])
        more = f"; and {len(open_) - 3} more" if len(open_) > 3 else ""
        what = f"waiting for {waits}{more}" if open_ else "each must go on holding for its stable time"
        self.say(f"{held}/{len(self._trackers)} hold after {now - self._begun:.0f} s; {what}")


def brief(text: str) -> str:
    """One short line."""
    line = " ".join(text.split())
    return line if len(line) <= BRIEF else line[: BRIEF - 3] + "..."
