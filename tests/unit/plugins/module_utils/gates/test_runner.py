# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner, with conditions that follow a script and a clock that jumps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Outcome, Runner, Threads, Tracker, look


@dataclass(kw_only=True)
class Scripted(Condition):
    """Says at each second what its script says; `takes` is how long an answer lasts, in seconds."""

    name: str = "scripted"
    script: Callable[[float], Observation] = lambda _second: holds("yes")
    takes: float = 0.0
    asked: list[float] = field(default_factory=list)
    closed: int = 0

    def describe(self) -> str:
        return self.name

    def observe(self, view: Any) -> Observation:
        self.asked.append(view())
        return self.script(view())


@dataclass(kw_only=True)
class Once(Scripted):
    """Not asked again after it has held, and tidies up."""

    repeats: ClassVar[bool] = False

    def close(self, view: Any) -> None:
        self.closed += 1


class Puppets:
    """A crew without threads: the clock jumps to the next thing that happens."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._under_way: list[tuple[float, int, Tracker, Observation]] = []
        self._count = 0

    def now(self) -> float:
        return self.seconds

    def start(self, tracker: Tracker, view: Any) -> None:
        self._count += 1
        self._under_way.append((self.seconds + tracker.condition.takes, self._count, tracker, look(tracker, view)))  # type: ignore[attr-defined]

    def receive(self, seconds: float) -> tuple[Tracker, Observation] | None:
        due = min(self._under_way, default=None, key=lambda entry: entry[:2])
        if due and due[0] <= self.seconds + seconds:
            self._under_way.remove(due)
            self.seconds = max(self.seconds, due[0])
            return due[2], due[3]
        self.seconds += max(seconds, 1e-6)
        return None

    def close(self, trackers: list[Tracker], view: Any) -> None:
        for tracker in trackers:
            tracker.condition.close(view)


def run(*conditions: Scripted, **options: Any) -> tuple[Outcome, list[str], float]:
    """(outcome, lines of progress, seconds)"""
    crew, lines = Puppets(), []  # type: ignore[var-annotated]
    outcome = Runner(list(conditions), new_view=lambda: crew.now, say=lines.append, crew=crew, **options).run()  # type: ignore[arg-type,return-value]
    return outcome, lines, crew.seconds


def after(seconds: float, then: Observation | None = None) -> Callable[[float], Observation]:
    """Waits until a second, then holds (or what else is given)."""
    return lambda now: (then or holds("now it is")) if now >= seconds else waiting(f"not at {now:.0f}")


def test_what_holds_at_once_costs_no_time_and_no_words() -> None:
    outcome, lines, seconds = run(*(Scripted(name=str(n)) for n in range(10)))
    assert (outcome.holds, lines, seconds) == (True, [], 0.0)


def test_all_must_hold_at_the_same_time() -> None:
    flapping = Scripted(name="flapping", script=lambda now: waiting("gone") if 2 <= now < 6 else holds("there"))
    late = Scripted(name="late", script=after(4))
    outcome, lines, seconds = run(flapping, late)
    assert (outcome.holds, seconds) == (True, 6.0)
    assert "flapping does not hold any more: gone" in lines


def test_a_failure_ends_the_gate_at_once_with_what_the_others_saw() -> None:
    slow = Scripted(name="slow", script=after(100), takes=3.0)
    bad = Scripted(name="bad", script=after(2, failed("broken")))
    outcome, _lines, seconds = run(slow, bad, timeout=300)
    assert seconds == 2.0
    assert [tracker.name for tracker in outcome.failed] == ["bad"]
    assert outcome.trackers[0].last is None or outcome.trackers[0].last.state == "waiting"


def test_a_slow_condition_delays_nobody() -> None:
    slow, quick = Scripted(name="slow", takes=7.0), Scripted(name="quick", script=after(3))
    outcome, _lines, seconds = run(slow, quick)
    assert outcome.holds
    assert (slow.asked, quick.asked[:4], seconds) == ([0.0], [0.0, 1.0, 2.0, 3.0], 7.0)


def test_the_gate_s_time_ends_it() -> None:
    outcome, lines, seconds = run(Scripted(script=after(1000)), Scripted(), timeout=30)
    assert (outcome.timed_out, outcome.holds, seconds) == (True, False, 30.0)
    assert len([line for line in lines if "waiting for" in line]) == 3  # at 5, 15 and 25 s


def test_a_condition_s_own_time_ends_the_gate_too() -> None:
    outcome, _lines, seconds = run(Scripted(name="own", script=after(1000), timeout=12), Scripted(script=after(5)), timeout=300)
    assert seconds == 12.0
    assert [(tracker.name, tracker.expired) for tracker in outcome.failed] == [("own", True)]


def test_own_time_does_not_matter_to_what_holds() -> None:
    outcome, _lines, seconds = run(Scripted(timeout=2), Scripted(script=after(5)))
    assert (outcome.holds, seconds) == (True, 5.0)


def test_stable_means_without_a_break() -> None:
    flapping = Scripted(script=lambda now: waiting("gone") if 8 <= now < 9 else holds("there"))
    outcome, _lines, seconds = run(flapping, stable=10)
    assert (outcome.holds, seconds) == (True, 19.0)


def test_one_condition_may_have_its_own_stable_time() -> None:
    _outcome, _lines, seconds = run(Scripted(stable=4), Scripted(stable=0), stable=60)
    assert seconds == 4.0


def test_progress_says_what_is_waited_for() -> None:
    _outcome, lines, _seconds = run(Scripted(name="pg", script=after(17)), Scripted(name="redis", script=after(3)), Scripted(name="web"))
    assert lines == [
        "redis holds after 3.0 s: now it is",
        "2/3 hold after 5 s; waiting for pg: not at 5",
        "2/3 hold after 15 s; waiting for pg: not at 15",
        "pg holds after 17.0 s: now it is",
    ]


def test_a_long_list_is_cut() -> None:
    _outcome, lines, _seconds = run(*(Scripted(name=f"c{n}", script=after(6)) for n in range(5)))
    assert lines[0].endswith("; and 2 more")


def test_what_changes_things_is_not_asked_again_and_tidies_up() -> None:
    journey, late = Once(name="journey"), Scripted(script=after(5))
    outcome, _lines, _seconds = run(journey, late)
    assert (outcome.holds, journey.asked, journey.closed) == (True, [0.0], 1)


def test_it_tidies_up_after_a_failure_too() -> None:
    journey = Once(script=after(50))
    run(journey, Scripted(script=after(3, failed("broken"))))
    assert journey.closed == 1


def test_check_mode_asks_once() -> None:
    one, two = Scripted(script=after(9)), Scripted(script=after(1, failed("broken")), takes=2.0)
    outcome, lines, seconds = run(one, two, once=True, timeout=1)
    assert (one.asked, two.asked, lines, seconds, outcome.holds) == ([0.0], [0.0], [], 2.0, False)


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (StackgateError("an answer", "connection\n refused"), "waiting", "connection refused"),
        (ApiError("GET /pods", 403, {"reason": "Forbidden", "message": 'cannot list resource "pods"'}), "failed", "cannot list"),
        (ApiError("GET /pods", 500, {"message": "etcdserver: leader changed"}), "waiting", "leader changed"),
        (TypeError("oops"), "failed", "error in the gate itself: TypeError: oops"),
    ],
)
def test_no_exception_leaves_an_observation(error: Exception, state: str, words: str) -> None:
    def script(_now: float) -> Observation:
        raise error

    seen = look(Tracker(Scripted(script=script), "x"), lambda: 0.0)  # type: ignore[arg-type,return-value]
    assert (str(seen.state), words in seen.seen) == (state, True)


# -- with real threads -------------------------------------------------------------------------------------------


def threaded(*conditions: Scripted, **options: Any) -> tuple[Outcome, float]:
    begun = time.monotonic()
    runner = Runner(list(conditions), lambda: time.monotonic, lambda _line: None, Threads(), **options)  # type: ignore[arg-type,return-value]
    outcome = runner.run()
    return outcome, time.monotonic() - begun


def test_threads_ask_in_parallel() -> None:
    def slowly(_now: float) -> Observation:
        time.sleep(0.1)
        return holds("yes")

    outcome, seconds = threaded(*(Scripted(script=slowly) for _number in range(20)))
    assert outcome.holds
    assert seconds < 1.0


def test_a_thread_that_hangs_does_not_hold_up_a_failure() -> None:
    release = threading.Event()

    def hang(_now: float) -> Observation:
        release.wait(30)
        return holds("yes")

    outcome, seconds = threaded(Scripted(name="hangs", script=hang), Scripted(name="bad", script=lambda _now: failed("broken")))
    release.set()
    assert (outcome.failed[0].name, seconds < 5) == ("bad", True)


def test_a_thread_that_hangs_does_not_outlast_the_gate_s_time() -> None:
    release = threading.Event()

    def hang(_now: float) -> Observation:
        release.wait(30)
        return holds("yes")

    outcome, seconds = threaded(Scripted(script=hang), timeout=0.3)
    release.set()
    assert (outcome.timed_out, seconds < 5) == (True, True)
