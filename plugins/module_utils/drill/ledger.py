# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of a drill: every write, when it was sent, and what was said to it. All times are seconds on one monotonic clock."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace


class Outcome(enum.Enum):
    """What became of a write, as far as its sender knows."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    # The store said no, or there was no connection to send it on: it is not there.
    REFUSED = "refused"
    # The answer never came: it may be there or not.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Write:
    """One write. ended: when its answer came, or it was given up. reason: why it was not acknowledged."""

    sequence: int
    sent: float
    ended: float | None = None
    outcome: Outcome = Outcome.PENDING
    reason: str = ""


class Ledger:
    """The writes of one series, filled by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes: list[Write] = []

    def begin(self, now: float) -> int:
        """A write is sent; its sequence number, counted from 1."""
        with self._lock:
            self._writes.append(Write(len(self._writes) + 1, now))
            return len(self._writes)

    def end(self, sequence: int, outcome: Outcome, now: float, reason: str = "") -> None:
        """What became of it."""
        with self._lock:
            self._writes[sequence - 1] = replace(self._writes[sequence - 1], ended=now, outcome=outcome, reason=reason)

    def writes(self) -> list[Write]:
        """All of them so far, in the order in which they were sent."""
        with self._lock:
            return list(self._writes)


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledged write. began, ended: its ends."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.began


def acknowledgements(writes: Iterable[Write]) -> list[float]:
    """When writes were acknowledged, in order."""
    return sorted(write.ended for write in writes if write.outcome is Outcome.ACKNOWLEDGED and write.ended is not None)


def longest_gap(writes: Iterable[Write], begin: float, end: float) -> Gap:
    """The longest time between two acknowledged writes, of those that reach into the time from begin to end.

    A time that was under way at `begin` counts from its own beginning, and one that is under way at `end` up to `end`.
    """
    moments = acknowledgements(writes)
    before = [moment for moment in moments if moment <= begin]
    within = [moment for moment in moments if begin < moment <= end]
    ends = [before[-1] if before else begin, *within, end]
    return max((Gap(*pair) for pair in itertools.pairwise(ends)), key=lambda gap: gap.seconds)


def steady(writes: Iterable[Write], since: float, now: float, pause: float) -> bool:
    """Whether writes ended after `since`, every one acknowledged, and no time without one was longer than `pause`."""
    ended = [write for write in writes if write.ended is not None and write.ended > since]
    good = all(write.outcome is Outcome.ACKNOWLEDGED for write in ended)
    return bool(ended) and good and longest_gap(ended, since, now).seconds <= pause


@dataclass(frozen=True)
class Account:
    """The ledger beside the store.

    lost: acknowledged, and not there. kept: unknown, and there. ghosts: refused, and there all the same.
    reasons: why writes were not acknowledged, with how often.
    """

    acknowledged: int
    refused: int
    unknown: int
    lost: tuple[int, ...]
    kept: int
    ghosts: tuple[int, ...]
    reasons: tuple[tuple[str, int], ...]


def compare(writes: Sequence[Write], present: AbstractSet[int]) -> Account:
    """Compare. present: the sequence numbers that the store has. A write that is pending still counts as unknown."""
    by_outcome: dict[Outcome, list[int]] = {outcome: [] for outcome in Outcome}
    reasons: dict[str, int] = {}
    for write in writes:
        by_outcome[write.outcome].append(write.sequence)
        if write.reason:
            reasons[write.reason] = reasons.get(write.reason, 0) + 1
    unknown = by_outcome[Outcome.UNKNOWN] + by_outcome[Outcome.PENDING]
    return Account(
        len(by_outcome[Outcome.ACKNOWLEDGED]),
        len(by_outcome[Outcome.REFUSED]),
        len(unknown),
        tuple(sequence for sequence in by_outcome[Outcome.ACKNOWLEDGED] if sequence not in present),
        sum(sequence in present for sequence in unknown),
        tuple(sequence for sequence in by_outcome[Outcome.REFUSED] if sequence in present),
        tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )
