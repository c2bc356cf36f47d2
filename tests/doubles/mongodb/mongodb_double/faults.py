# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on order: what a test or a drill does to a member from outside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from .clock import Clock
from .signals import Signal

# The server's own fault that does the same as our order, by command or by setParameter.
HOLD_INITIAL_SYNC = "initialSyncHangBeforeFinish"


@dataclass
class Faults:
    clock: Clock
    # Members ("host:port") that nothing reaches, and from which nothing comes.
    cut: frozenset[str] = frozenset()
    # Seconds that each message between members takes, each way.
    delay: float = 0.0
    hold_initial_sync: bool = False
    # A hosts file of the member's own; None: the name does not resolve.
    names: dict[str, str | None] = field(default_factory=dict)
    drop_clients: bool = False

    def __post_init__(self) -> None:
        self.changed = Signal(self.clock)

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Obey: {"order": "partition", "hosts": [...]}, heal, slow (seconds), hold_initial_sync (hold), names, drop_clients (drop)."""
        match order:
            case {"order": "partition", "hosts": hosts}:
                self.cut |= frozenset(hosts)
            case {"order": "heal"}:
                self.cut, self.delay, self.drop_clients = frozenset(), 0.0, False
            case {"order": "slow", "seconds": seconds}:
                self.delay = float(seconds)
            case {"order": "hold_initial_sync", "hold": hold}:
                self.hold_initial_sync = bool(hold)
            case {"order": "names", "names": names}:
                self.names = dict(names)
            case {"order": "drop_clients", "drop": drop}:
                self.drop_clients = bool(drop)
            case _:
                return {"ok": 0, "errmsg": f"unknown order {order!r}"}
        self.changed.notify()
        return {"ok": 1}

    async def lag(self) -> None:
        """The time one message is under way."""
        if self.delay:
            await self.clock.sleep(self.delay)

    async def pass_through(self, host: str, seconds: float) -> None:
        """Return when messages reach the member again. Raises TimeoutError after so many seconds without."""
        if host in self.cut and not await self.changed.until(lambda: host not in self.cut, seconds):
            raise TimeoutError
        await asyncio.sleep(0)
