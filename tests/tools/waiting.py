# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which tests wait: look again and again until what is seen is as wanted.

A test says what is reached in the end, and not how soon: how long a busy machine takes is no fault of what is tested. So the time-out is
generous, and ends a test that would fail anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0  # seconds


def until(
    what: str,
    look: Callable[[], Any],
    timeout: float = PATIENCE,
    *,
    holds: Callable[[Any], object] = bool,
    passing: tuple[type[Exception], ...] = (),
    details: Callable[[], str] = str,
    pause: float = 0.1,
) -> Any:
    """What was seen, as soon as it is as wanted (true, or `holds` is of it).

    passing: errors of `look` that mean "not yet". details: what the error tells besides. pause: seconds between two looks.
    Raises AssertionError with what was expected, what was seen last, and for how long, after timeout seconds.
    """
    began = time.monotonic()
    while True:
        try:
            seen = look()
            if holds(seen):
                return seen
            last = repr(seen)
        except passing as error:
            last = f"{type(error).__name__}: {error}"
        waited = time.monotonic() - began
        if waited >= timeout:
            raise AssertionError(f"expected: {what}\nseen after {waited:.0f} s: {last}\n{details()}".rstrip())
        time.sleep(pause)
