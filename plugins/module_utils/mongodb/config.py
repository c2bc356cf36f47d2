# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replica set configuration document, as replSetGetConfig returns it and replSetReconfig takes it.

Both classes wrap the server's document instead of copying it into fields of their own: whatever a newer server or another
tool has put there is carried along untouched, with its type. Nothing here changes a document; every edit makes a new one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_MEMBERS = 50
MAX_VOTERS = 7
MAX_MEMBER_ID = 255

# The delay of a member was renamed in 5.0. The feature compatibility version decides which name a server takes, not the
# binary: recorded 12 (a 5.0.7 at FCV 4.4 shows slaveDelay) and 04i (the other name is refused with 103).
DELAY = "secondaryDelaySecs"
OLD_DELAY = "slaveDelay"


def majority(voters: int) -> int:
    """How many of so many voting members are a majority."""
    return voters // 2 + 1


@dataclass(frozen=True)
class Member:
    """One entry of `members`."""

    document: Mapping[str, Any]

    @property
    def id(self) -> int:
        """The member's `_id`: the identity of its vote, 0 to 255."""
        return int(self.document["_id"])

    @property
    def host(self) -> str:
        """`name:port`, by which every other member and every client must reach it."""
        return str(self.document["host"])

    @property
    def votes(self) -> int:
        return int(self.document.get("votes", 1))

    @property
    def priority(self) -> float:
        """0 = never primary. An arbiter's priority is 0, whatever is written (e.5: the server makes 1 into 0)."""
        return 0.0 if self.arbiter else float(self.document.get("priority", 1))

    @property
    def arbiter(self) -> bool:
        return bool(self.document.get("arbiterOnly", False))

    @property
    def build_indexes(self) -> bool:
        return bool(self.document.get("buildIndexes", True))

    @property
    def hidden(self) -> bool:
        return bool(self.document.get("hidden", False))

    @property
    def delay_s(self) -> int:
        """Seconds that the member applies writes late."""
        return int(self.document.get(DELAY, self.document.get(OLD_DELAY, 0)))

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.document.get("tags") or {})

    @property
    def horizons(self) -> dict[str, str]:
        """Further addresses by which clients of another network know the member, by name."""
        return dict(self.document.get("horizons") or {})

    @property
    def electable(self) -> bool:
        return self.priority > 0

    @property
    def writable_voter(self) -> bool:
        """Whether it votes and holds data, so that it can acknowledge a majority write."""
        return self.votes > 0 and not self.arbiter

    def edited(self, changes: Mapping[str, Any]) -> Member:
        """The member with these fields of its document set; a field set to None is left out."""
        merged = {**self.document, **changes}
        return Member({key: value for key, value in merged.items() if value is not None})


@dataclass(frozen=True)
class ReplicaSetConfig:
    """A whole configuration: `_id` (the set's name), `version`, `term` (since 4.4), `members`, `settings` and all else."""

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["_id"])

    @property
    def version(self) -> int:
        return int(self.document.get("version", 1))

    @property
    def term(self) -> int:
        """-1 when there is none: a server older than 4.4, or a forced reconfiguration was the last (recorded: 04f, step 7)."""
        term = self.document.get("term")
        return -1 if term is None else int(term)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        return tuple(Member(document) for document in self.document["members"])

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.document.get("settings") or {}

    @property
    def set_id(self) -> str | None:
        """The identity of the set, made at its initiation; None in sets made by servers older than 3.2."""
        found = self.settings.get("replicaSetId")
        return None if found is None else str(found)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(member.host for member in self.members)

    @property
    def voters(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.votes)

    @property
    def arbiters(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.arbiter)

    @property
    def electable(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.electable)

    @property
    def majority(self) -> int:
        """Votes that elect a primary and commit a configuration."""
        return majority(len(self.voters))

    @property
    def default_write_concern_is_majority(self) -> bool:
        """Whether 5.0 and newer take w: majority as long as nobody has set a default (recorded: 04i, 3 data members + 1 arbiter = w 1)."""
        writable = sum(member.writable_voter for member in self.voters)
        return not self.arbiters or writable > self.majority

    @property
    def delay_field(self) -> str | None:
        """The name of the delay's field that this configuration uses: the server always fills it in; None when no member has it."""
        for name in (DELAY, OLD_DELAY):
            if any(name in member.document for member in self.members):
                return name
        return None

    def member(self, host: str) -> Member | None:
        return next((member for member in self.members if member.host == host), None)

    def newer_than(self, other: ReplicaSetConfig) -> bool:
        """The server's order: by term, then version; by version alone when either has no term (it was forced)."""
        if self.term == -1 or other.term == -1:
            return self.version > other.version
        return (self.term, self.version) > (other.term, other.version)

    def new_id(self) -> int:
        """An `_id` for a new host: above every one in use, so that no vote is inherited; the lowest free one when 255 is in use."""
        used = {member.id for member in self.members}
        following = max(used, default=-1) + 1
        return following if following <= MAX_MEMBER_ID else min(set(range(MAX_MEMBER_ID + 1)) - used)

    def successor(self, members: Iterable[Member], settings: Mapping[str, Any] | None = None) -> ReplicaSetConfig:
        """The next version with these members, and these settings merged into those that are there."""
        document: dict[str, Any] = {**self.document, "version": self.version + 1, "members": [member.document for member in members]}
        if settings:
            document["settings"] = {**self.settings, **settings}
        return ReplicaSetConfig(document)

    def to_document(self) -> dict[str, Any]:
        """A copy that the caller may change and send."""
        return copy.deepcopy(dict(self.document))
