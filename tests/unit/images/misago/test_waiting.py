# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from forum.waiting import describe_missing, read_migrations, wait


def test_missing_migrations_are_counted_and_the_first_is_named() -> None:
    needed = [("b", "0001"), ("a", "0002"), ("a", "0001")]
    assert describe_missing(needed, [("a", "0001")]) == "2 migrations are not applied, the first is a.0002"
    assert describe_missing(needed, [*needed, ("gone", "0001")]) == ""


def test_the_list_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a 0001_initial\nb 0002_more\n")
    assert read_migrations(tmp_path / "list") == {("a", "0001_initial"), ("b", "0002_more")}


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def run(states: list[str], limit: float) -> tuple[bool, list[str]]:
    """Wait through `states`, the last of which lasts; what was told on the way."""
    time, told = Time(), list[str]()
    remaining = iter([*states[:-1]])
    done = wait(lambda: next(remaining, states[-1]), limit, time.clock, time.pause, told.append)
    return done, told


def test_readiness_is_told_with_the_seconds_it_took() -> None:
    assert run(["no", ""], 60) == (True, ["waiting: no", "ready after 1.0 s"])


def test_a_state_that_changes_all_the_time_is_told_now_and_then() -> None:
    _done, told = run([*map(str, range(12)), ""], 60)
    assert told == ["waiting: 0", "waiting: 5", "waiting: 10", "ready after 12.0 s"]


def test_an_unchanged_state_is_told_again_after_a_while_and_given_up_in_the_end() -> None:
    done, told = run(["no"], 20)
    assert not done
    assert told == ["waiting: no", "waiting: no", "gave up after 20 s: no"]
