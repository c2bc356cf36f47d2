# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member knows about another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bson.timestamp import Timestamp

from .optime import EPOCH, NOWHERE, Position
from .states import State


@dataclass
class View:
    """From heartbeats and from the progress that is reported to us. Times without "date" are of the clock, in seconds."""

    member_id: int
    host: str
    state: State = State.UNKNOWN
    # -1: not heard yet, 0: down, 1: up.
    health: float = -1.0
    up_since: datetime = EPOCH
    last_heartbeat: datetime = EPOCH
    last_heartbeat_received: datetime = EPOCH
    # Milliseconds.
    ping: int = 0
    message: str = ""
    auth_issue: bool = False
    sync_source: str = ""
    config_version: int = -1
    config_term: int = -1
    term: int = -1
    electable: bool = False
    election_time: Timestamp = field(default_factory=lambda: Timestamp(0, 0))
    # As of the last heartbeat.
    beat_applied: Position = NOWHERE
    beat_durable: Position = NOWHERE
    # As of whatever came last.
    applied: Position = NOWHERE
    durable: Position = NOWHERE
    # When it last gave a sign of life; and that this was too long ago.
    last_update: float = 0.0
    stale: bool = False
    # It answered, or failed to, since the heartbeats were restarted.
    fresh: bool = False

    @property
    def up(self) -> bool:
        return self.health > 0

    def alive(self, now: float) -> None:
        self.last_update, self.stale = now, False

    def advance(self, applied: Position, durable: Position) -> None:
        self.applied = max(self.applied, applied)
        self.durable = max(self.durable, durable)

    def down(self, date: datetime, message: str, auth_issue: bool = False) -> None:
        """Known to be down; what it was last seen to have replicated is kept (recorded: 06c)."""
        self.health, self.up_since = 0.0, EPOCH
        self.state = State.UNKNOWN if auth_issue else State.DOWN
        self.message = "" if auth_issue else message
        self.auth_issue = auth_issue
        self.last_heartbeat, self.fresh, self.electable = date, True, False
        self.sync_source, self.ping = "", 0
        self.beat_applied = self.beat_durable = NOWHERE
