# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of a write in the history of a set: its term, and its timestamp within it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson.int64 import Int64
from bson.timestamp import Timestamp

EPOCH = datetime.fromtimestamp(0, UTC)


class OpTime(NamedTuple):
    """Compares by term, then by timestamp, as the server does."""

    term: int
    ts: Timestamp

    @classmethod
    def parse(cls, document: dict[str, Any]) -> OpTime:
        return cls(int(document["t"]), document["ts"])

    def document(self) -> dict[str, Any]:
        return {"ts": self.ts, "t": Int64(self.term)}

    @property
    def date(self) -> datetime:
        """To the second, as the server derives dates from timestamps."""
        return datetime.fromtimestamp(self.ts.time, UTC)


NULL = OpTime(-1, Timestamp(0, 0))


class Position(NamedTuple):
    """How far something is, and when that was written."""

    optime: OpTime = NULL
    wall: datetime = EPOCH


NOWHERE = Position()
