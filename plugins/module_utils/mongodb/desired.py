# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replica set that is asked for: its name, its members by name, its settings. All mistakes are told at once.

The rules are the server's own (mongodb validate(): 1-50 members, 1-7 voters, ...), so that a bad list stops before anything
is asked of a server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import DELAY, MAX_MEMBERS, MAX_VOTERS, OLD_DELAY, Member

DEFAULT_PORT = 27017
MAX_PRIORITY = 1000
MAX_DELAY_S = 31_622_400

# Settings of the configuration that may be given; replicaSetId is the set's identity, getLastErrorDefaults is refused by 5.0
# and newer (recorded: 04d, step 43).
SETTINGS: Mapping[str, type] = {
    "chainingAllowed": bool,
    "heartbeatIntervalMillis": int,
    "heartbeatTimeoutSecs": int,
    "electionTimeoutMillis": int,
    "catchUpTimeoutMillis": int,
    "catchUpTakeoverDelayMillis": int,
    "getLastErrorModes": dict,
}
# Where the server takes a value below one: -1 = no limit, or never.
MAY_BE_NEGATIVE = frozenset({"catchUpTimeoutMillis", "catchUpTakeoverDelayMillis"})


@dataclass(frozen=True)
class DesiredMember:
    """One member as it shall be.

    name: what people and consents call it, such as the pod's name.
    host: `name:port`, its address inside the set.
    secondary_delay_s: seconds that it applies writes late.
    build_indexes, tags, horizons: None = as it is (a new member: the server's default).
    """

    name: str
    host: str
    priority: float = 1
    votes: int = 1
    hidden: bool = False
    secondary_delay_s: int = 0
    arbiter: bool = False
    build_indexes: bool | None = None
    tags: Mapping[str, str] | None = None
    horizons: Mapping[str, str] | None = None

    @property
    def electable(self) -> bool:
        return self.priority > 0

    def document(self, member_id: int, delay_field: str) -> dict[str, Any]:
        """The document of a new member. `delay_field` is how the server names the delay; it is left out when there is none."""
        found: dict[str, Any] = {
            "_id": member_id,
            "host": self.host,
            "arbiterOnly": self.arbiter,
            "hidden": self.hidden,
            "priority": self.priority,
            "votes": self.votes,
        }
        if self.build_indexes is not None:
            found["buildIndexes"] = self.build_indexes
        if self.secondary_delay_s:
            found[delay_field] = self.secondary_delay_s
        if self.tags:
            found["tags"] = dict(self.tags)
        if self.horizons:
            found["horizons"] = dict(self.horizons)
        return found

    def differences(self, member: Member, delay_field: str) -> dict[str, Any]:
        """The fields of an existing member's document that must change, but for votes, horizons and what needs it to be added anew."""
        found: dict[str, Any] = {}
        if member.priority != self.priority:
            found["priority"] = self.priority
        if member.hidden != self.hidden:
            found["hidden"] = self.hidden
        if member.delay_s != self.secondary_delay_s:
            found[delay_field] = self.secondary_delay_s
        if self.tags is not None and member.tags != dict(self.tags):
            found["tags"] = dict(self.tags)
        return found

    def needs_adding_anew(self, member: Member) -> bool:
        """Whether the server can only take it out and add it again: it never changes arbiterOnly or buildIndexes (e.3-15)."""
        indexes = self.build_indexes if self.build_indexes is not None else member.build_indexes or self.priority > 0
        return self.arbiter != member.arbiter or indexes != member.build_indexes


@dataclass(frozen=True)
class DesiredSet:
    """The whole set. The list of members is complete: whoever is in the set and not in it is to be removed."""

    name: str
    members: tuple[DesiredMember, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def member(self, host: str) -> DesiredMember | None:
        return next((member for member in self.members if member.host == host), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(member.host for member in self.members)


def host_and_port(address: str) -> str:
    """The address with a port, as the server stores it (it adds the default one: e.3-21)."""
    return address if ":" in address else f"{address}:{DEFAULT_PORT}"


def from_options(name: str, members: Sequence[Mapping[str, Any]], settings: Mapping[str, Any] | None = None) -> DesiredSet:
    """The desired set from a module's options; an option that is None counts as not given.

    A member's `name` defaults to its host; `priority` to 0 for a member that the server allows no other (an arbiter, hidden,
    delayed, without a vote, without indexes), else to 1.

    Raises StackgateError with every mistake at once.
    """
    given = [{key: value for key, value in member.items() if value is not None} for member in members]
    if any("host" not in member for member in given):
        raise StackgateError("every member has a host", f"members without one: {[member for member in given if 'host' not in member]}")
    desired = DesiredSet(name, tuple(_member(member) for member in given), dict(settings or {}))
    if found := [*_mistakes(desired), *_settings_mistakes(desired.settings)]:
        raise StackgateError(
            f"a replica set {name!r} as a server accepts it",
            "; ".join(found),
            "correct the members and settings; nothing was changed",
            details={"mistakes": found},
        )
    return desired


def _member(given: Mapping[str, Any]) -> DesiredMember:
    host = host_and_port(str(given["host"]))
    arbiter, hidden = bool(given.get("arbiter", False)), bool(given.get("hidden", False))
    votes, delay = int(given.get("votes", 1)), int(given.get("secondary_delay_s", 0))
    build_indexes = given.get("build_indexes")
    never_primary = arbiter or hidden or delay > 0 or votes == 0 or build_indexes is False
    return DesiredMember(
        name=str(given.get("name", host)),
        host=host,
        priority=float(given.get("priority", 0 if never_primary else 1)),
        votes=votes,
        hidden=hidden,
        secondary_delay_s=delay,
        arbiter=arbiter,
        build_indexes=build_indexes,
        tags=given.get("tags"),
        horizons=given.get("horizons"),
    )


def _mistakes(desired: DesiredSet) -> Iterable[str]:
    members = desired.members
    if not desired.name:
        yield "the set has no name"
    if not 1 <= len(members) <= MAX_MEMBERS:
        yield f"{len(members)} members: a set has 1 to {MAX_MEMBERS}"
    for what, values in (("name", [member.name for member in members]), ("host", [member.host for member in members])):
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{times} members have the {what} {value}"
    voters = sum(member.votes for member in members)
    if not 1 <= voters <= MAX_VOTERS:
        yield f"{voters} voting members: a set has 1 to {MAX_VOTERS}; the others need votes: 0"
    if not any(member.electable and not member.arbiter for member in members):
        yield "no member may become primary: one that holds data needs a priority above 0"
    local = [member.name for member in members if _is_local(member.host)]
    if local and len(local) < len(members):
        yield f"either all hosts are on loopback or none is; on loopback: {', '.join(local)}"
    for member in members:
        for mistake in _member_mistakes(member):
            yield f"{member.name}: {mistake}"
    yield from _horizon_mistakes(members)


def _member_mistakes(member: DesiredMember) -> Iterable[str]:
    name, _separator, port = member.host.rpartition(":")
    if not name or not port.isdigit() or not 0 < int(port) < 65536 or any(character.isspace() for character in member.host):
        yield f"{member.host!r} is no name:port"
    if member.votes not in (0, 1):
        yield f"votes {member.votes}: a member has 0 or 1"
    if not 0 <= member.priority <= MAX_PRIORITY:
        yield f"priority {member.priority:g}: 0 to {MAX_PRIORITY}"
    if not 0 <= member.secondary_delay_s <= MAX_DELAY_S:
        yield f"a delay of {member.secondary_delay_s} s: 0 to {MAX_DELAY_S}"
    reasons = {
        "an arbiter": member.arbiter,
        "hidden": member.hidden,
        "delayed": member.secondary_delay_s > 0,
        "without a vote": member.votes == 0,
        "without indexes": member.build_indexes is False,
    }
    if member.priority > 0 and (why := [reason for reason, holds in reasons.items() if holds]):
        yield f"priority {member.priority:g}, yet {' and '.join(why)}: that needs priority 0"
    if member.arbiter and member.votes == 0:
        yield "an arbiter without a vote has no purpose: it must vote"
    if member.arbiter and member.tags:
        yield "an arbiter has no tags"
    if member.arbiter and (member.hidden or member.secondary_delay_s):
        yield "an arbiter holds no data: it cannot be hidden or delayed"


def _horizon_mistakes(members: Sequence[DesiredMember]) -> Iterable[str]:
    named = {member.name: frozenset(member.horizons or ()) for member in members}
    if len(set(named.values())) > 1:
        told = "; ".join(f"{name}: {', '.join(sorted(horizons)) or 'none'}" for name, horizons in named.items())
        yield f"all members need the same horizons ({told})"
    endpoints = Counter(endpoint for member in members for endpoint in (member.horizons or {}).values())
    for endpoint, times in endpoints.items():
        if times > 1:
            yield f"{times} members have the horizon's address {endpoint}"


def _settings_mistakes(settings: Mapping[str, Any]) -> Iterable[str]:
    for key, value in settings.items():
        kind = SETTINGS.get(key)
        if kind is None:
            yield f"setting {key}: known are {', '.join(SETTINGS)}"
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield f"setting {key}: {value!r} is no {kind.__name__}"
        elif isinstance(value, int) and kind is int and value < (-1 if key in MAY_BE_NEGATIVE else 1):
            yield f"setting {key}: {value} is too small"


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0].strip("[]")
    return name == "localhost" or name == "::1" or name.startswith("127.")


def delay_field(fcv: tuple[int, int] | None, version: tuple[int, ...] | None) -> str:
    """How a server names a member's delay: by its feature compatibility version; by its version when it has none yet (before initiate)."""
    known = fcv or version
    return OLD_DELAY if known is not None and tuple(known[:2]) < (5, 0) else DELAY
