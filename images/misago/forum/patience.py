# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries again what a store that is failing over refuses. Standard library only, so that it is tested without Django and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

PAUSE = 0.2  # seconds between two tries
PATIENCE = 8.0  # seconds: longer than most failovers, and not so long that all threads wait


def persist(
    call: Callable[[], Result],
    passing: tuple[type[BaseException], ...],
    limit: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Result:
    """The result of `call`, tried again after errors of the kinds `passing`, but not after `limit` seconds: then the error is raised.

    What failed may have been done all the same, its answer lost: `call` is something that may be done twice.
    """
    ended = clock() + limit
    while True:
        try:
            return call()
        except passing:
            if clock() >= ended:
                raise
        pause(PAUSE)
