# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of three under Patroni 4.0.7 as it was recorded, and what else its members have been seen to say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import MemberObservation, Observation

RECORDED = Path(__file__).parent / "recorded" / "healthy.json"
NAMES = ("postgresql-0", "postgresql-1", "postgresql-2")
LEADER, ASYNCHRONOUS, SYNCHRONOUS = NAMES


class Recorded:
    """The members' answers, to be altered: status[name] is GET /patroni, cluster GET /cluster, config GET /config.

    silent: members that do not answer, with why.
    """

    def __init__(self) -> None:
        found = json.loads(RECORDED.read_text(encoding="utf-8"))
        self.status: dict[str, dict[str, Any]] = found["patroni"]
        self.cluster: dict[str, Any] | None = found["cluster"]
        self.config: dict[str, Any] = found["config"]
        self.silent: dict[str, str] = {}

    def entry(self, name: str) -> dict[str, Any]:
        """A member's entry in /cluster."""
        assert self.cluster is not None
        found: dict[str, Any] = next(one for one in self.cluster["members"] if one["name"] == name)
        return found

    def without(self, *names: str) -> Recorded:
        """A cluster that has never had these members."""
        assert self.cluster is not None
        self.cluster["members"] = [one for one in self.cluster["members"] if one["name"] not in names]
        for name in names:
            del self.status[name]
        for status in self.status.values():
            if "replication" in status:
                status["replication"] = [one for one in status["replication"] if one["application_name"] not in names]
        return self

    def lead(self, name: str) -> None:
        """Make another member the leader, on a new timeline, and what was the leader the synchronous replica."""
        old = next(one for one, status in self.status.items() if status.get("role") == "primary")
        if old == name:
            return
        mine, theirs = self.status[name], self.status[old]
        for key in ("state", "role", "xlog", "replication", "replication_state"):
            one, other = mine.pop(key, None), theirs.pop(key, None)
            mine.update({key: other} if other is not None else {})
            theirs.update({key: one} if one is not None else {})
        mine.pop("sync_standby", None)
        theirs["sync_standby"] = True
        timeline = mine["timeline"] + 1
        replicas = [one for one in self.status if one != name]
        for one, status in self.status.items():
            status["timeline"] = timeline
            if one not in (name, old):
                status.pop("sync_standby", None)
        self.status[name]["replication"] = [
            {"application_name": one, "state": "streaming", "sync_state": "sync" if one == old else "async"} for one in replicas
        ]
        for one in self.status:
            entry = self.entry(one)
            entry.update(timeline=timeline, role="leader" if one == name else "sync_standby" if one == old else "replica")
            entry["state"] = "running" if one == name else "streaming"

    def observe(self) -> Observation:
        """What observe.observe() makes of it."""
        members = tuple(
            MemberObservation(name, error=self.silent[name]) if name in self.silent else observation.member_of(name, copy.deepcopy(status))
            for name, status in self.status.items()
        )
        listed = None if self.cluster is None else observation.listed_of(self.cluster)
        return Observation("postgresql", members, listed, observation.scheduled_of(self.cluster or {}))
