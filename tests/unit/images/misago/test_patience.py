# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from forum.patience import PAUSE, persist


class Clock:
    """Time that passes by pausing only."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class Away:
    """Fails for some seconds of a clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.back, self.calls = clock, seconds, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.clock.now < self.back:
            raise ConnectionResetError(f"away at {self.clock.now:.1f}")
        return "here"


def test_a_failover_ends_in_a_result() -> None:
    clock = Clock()
    store = Away(clock, 5.0)
    assert persist(store, (ConnectionError,), 8.0, clock, clock.pause) == "here"
    assert clock.now == pytest.approx(5.0)
    assert store.calls == round(5.0 / PAUSE) + 1


def test_what_stays_away_is_told() -> None:
    clock = Clock()
    with pytest.raises(ConnectionResetError):
        persist(Away(clock, 60.0), (ConnectionError,), 8.0, clock, clock.pause)
    assert 8.0 <= clock.now < 8.0 + 2 * PAUSE


def test_another_error_is_told_at_once() -> None:
    clock = Clock()

    def wrong() -> None:
        raise ValueError("never better")

    with pytest.raises(ValueError, match="never better"):
        persist(wrong, (ConnectionError,), 8.0, clock, clock.pause)
    assert clock.now == 0.0
