# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One clock for every sleep and every timeout, so that a test can let a replica set live faster than the wall clock."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """Server seconds pass `speed` times as fast as real ones.

    Only timers are sped up. Dates stay those of the machine, so that members in different processes agree,
    and a client that compares a member's date with its own sees no skew.
    """

    speed: float = 1.0
    _origin: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The date, cut to milliseconds as BSON does."""
        date = datetime.now(UTC)
        return date.replace(microsecond=date.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Server seconds since the clock was made."""
        return (time.monotonic() - self._origin) * self.speed

    def real(self, seconds: float) -> float:
        """How long so many server seconds really take."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.real(seconds))

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """As asyncio.timeout, in server seconds: TimeoutError when they have passed."""
        return asyncio.timeout(None if seconds is None else self.real(seconds))
