# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Something happened: whoever waits for it looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .clock import Clock


class Signal:
    """Wakes all that wait, each time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """True when something happened, False when so many server seconds passed without."""
        event = self._event
        try:
            async with self._clock.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def until(self, holds: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until the condition holds; False when it did not in so many server seconds."""
        deadline = None if seconds is None else self._clock.monotonic() + seconds
        while not holds():
            left = None if deadline is None else deadline - self._clock.monotonic()
            if left is not None and left <= 0:
                return False
            await self.wait(left)
        return True
