# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the API server writes them, and durations as people read them."""

from __future__ import annotations

from datetime import datetime


def epoch(stamp: str | None) -> float | None:
    """Seconds since the epoch of `2026-11-21T12:00:00Z` (with or without a fraction); None when there is none."""
    if not stamp:
        return None
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return None


def seconds_between(stamp: str | None, now: float) -> float | None:
    """Seconds from a server's time stamp until now, never negative; None when there is no stamp."""
    then = epoch(stamp)
    return None if then is None else max(0.0, now - then)


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for large, small, names in ((60, 1, ("min", "s")), (3600, 60, ("h", "min")), (86400, 3600, ("d", "h"))):
        if whole < large * (60 if large < 3600 else 24 if large < 86400 else 10**9):
            rest = whole % large // small
            return f"{whole // large} {names[0]}" + (f" {rest} {names[1]}" if rest else "")
    raise AssertionError("the last unit has no upper end")
