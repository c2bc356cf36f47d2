# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a member, by the server's numbers."""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    STARTUP = 0
    PRIMARY = 1
    SECONDARY = 2
    RECOVERING = 3
    STARTUP2 = 5
    UNKNOWN = 6
    ARBITER = 7
    DOWN = 8
    ROLLBACK = 9
    REMOVED = 10

    @property
    def text(self) -> str:
        return "(not reachable/healthy)" if self is State.DOWN else self.name


class Leader(Enum):
    """How far a member is in being the primary."""

    NO = "no"
    # Elected, not yet caught up: state PRIMARY, not writable.
    DRAINING = "draining"
    WRITABLE = "writable"
    # A step-down waits for the others to catch up: state PRIMARY, no longer writable.
    STEPPING_DOWN = "stepping down"
