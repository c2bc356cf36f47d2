# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of serverStatus."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

KINDS = {"insert": "insert", "find": "query", "update": "update", "delete": "delete", "getMore": "getmore"}


class Statistics:
    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()

    def count(self, command: str) -> None:
        self.operations[KINDS.get(command, "command")] += 1

    def opcounters(self) -> dict[str, int]:
        return {kind: self.operations[kind] for kind in ("insert", "query", "update", "delete", "getmore", "command")}

    def signature(self, keys: Sequence[str]) -> bytes:
        """Of the cluster time: nothing without keys, something with them; nobody verifies it."""
        return hashlib.sha1(keys[0].encode()).digest() if keys else bytes(20)
