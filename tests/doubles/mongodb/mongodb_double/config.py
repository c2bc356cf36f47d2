# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a set: from and to its document, with the parser's messages (recorded: 03b, 04d)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from bson.int64 import Int64
from bson.objectid import ObjectId

from .bsontext import text, type_name

Document = dict[str, Any]

DEFAULT_PORT = 27017
DEFAULT_SETTINGS: Document = {
    "chainingAllowed": True,
    "heartbeatIntervalMillis": 2000,
    "heartbeatTimeoutSecs": 10,
    "electionTimeoutMillis": 10000,
    "catchUpTimeoutMillis": -1,
    "catchUpTakeoverDelayMillis": 30000,
    "getLastErrorModes": {},
    "getLastErrorDefaults": {"w": 1, "wtimeout": 0},
}
# (lowest, highest, whether the lowest itself is too low)
RANGES: dict[str, tuple[float, float, bool]] = {
    "protocolVersion": (1, 1, False),
    "version": (1, 2**31 - 1, False),
    "heartbeatIntervalMillis": (0, 2**31 - 1, True),
    "heartbeatTimeoutSecs": (0, 2**31 - 1, True),
    "electionTimeoutMillis": (0, 2**31 - 1, True),
    "catchUpTimeoutMillis": (-1, 2**31 - 1, False),
    "catchUpTakeoverDelayMillis": (-1, 2**31 - 1, False),
    "_id": (0, 255, False),
    "votes": (0, 1, False),
    "priority": (0, 1000, False),
    "secondaryDelaySecs": (0, 31_622_400, False),
    "slaveDelay": (0, 31_622_400, False),
}
CONFIG_TYPES = {
    "_id": "string",
    "version": "number",
    "term": "number",
    "members": "array",
    "protocolVersion": "number",
    "writeConcernMajorityJournalDefault": "bool",
    "settings": "object",
    "configsvr": "bool",
}
MEMBER_TYPES = {
    "_id": "number",
    "host": "string",
    "arbiterOnly": "flag",
    "newlyAdded": "flag",
    "buildIndexes": "flag",
    "hidden": "flag",
    "priority": "number",
    "tags": "object",
    "horizons": "object",
    "secondaryDelaySecs": "number",
    "slaveDelay": "number",
    "votes": "number",
}


class ConfigError(ValueError):
    """What the parser says; the command that parsed adds the code, which is 93."""


@dataclass(frozen=True)
class Member:
    id: int
    host: str
    arbiter: bool = False
    newly_added: bool = False
    build_indexes: bool = True
    hidden: bool = False
    priority: float = 1.0
    tags: Document = field(default_factory=dict)
    horizons: Document = field(default_factory=dict)
    # Seconds.
    delay: int = 0
    # The field came by its old name, which goes with feature compatibility 4.4.
    delay_by_old_name: bool | None = None
    votes: int = 1

    @property
    def voter(self) -> bool:
        """Whether it counts: a newly added member does not yet."""
        return self.votes > 0 and not self.newly_added

    @property
    def electable(self) -> bool:
        return self.voter and not self.arbiter and self.priority > 0

    @property
    def effective_priority(self) -> float:
        return 0.0 if self.newly_added else self.priority

    def document(self, delay_name: str) -> Document:
        return {
            "_id": self.id,
            "host": self.host,
            "arbiterOnly": self.arbiter,
            **({"newlyAdded": True} if self.newly_added else {}),
            "buildIndexes": self.build_indexes,
            "hidden": self.hidden,
            "priority": float(self.priority),
            "tags": self.tags,
            **({"horizons": self.horizons} if self.horizons else {}),
            delay_name: Int64(self.delay),
            "votes": self.votes,
        }


class VersionAndTerm(tuple[int, int]):
    """Orders configurations: by term first, unless one of them has none."""

    def __new__(cls, version: int, term: int) -> VersionAndTerm:
        return super().__new__(cls, (version, term))

    def older_than(self, other: tuple[int, int]) -> bool:
        if self[1] == -1 or other[1] == -1:
            return self[0] < other[0]
        return (self[1], self[0]) < (other[1], other[0])

    def __str__(self) -> str:
        return f"{{version: {self[0]}, term: {self[1]}}}"


@dataclass(frozen=True)
class Config:
    name: str
    version: int
    # -1: none, after a forced reconfiguration.
    term: int
    members: tuple[Member, ...]
    settings: Document = field(default_factory=lambda: dict(DEFAULT_SETTINGS))
    set_id: ObjectId | None = None
    journal_default: bool = True
    # The field of the delay is slaveDelay below feature compatibility 5.0.
    old_delay_name: bool = False

    @property
    def stamp(self) -> VersionAndTerm:
        return VersionAndTerm(self.version, self.term)

    @property
    def voters(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.voter)

    @property
    def writable_voters(self) -> tuple[Member, ...]:
        return tuple(member for member in self.voters if not member.arbiter)

    @property
    def majority(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def write_majority(self) -> int:
        return min(self.majority, len(self.writable_voters))

    @property
    def election_timeout(self) -> float:
        """Seconds."""
        return float(self.settings["electionTimeoutMillis"]) / 1000

    @property
    def heartbeat_interval(self) -> float:
        """Seconds."""
        return float(self.settings["heartbeatIntervalMillis"]) / 1000

    @property
    def implicit_majority(self) -> bool:
        """Whether writes without a write concern wait for a majority (arbiters may make that unwise)."""
        has_arbiter = any(member.arbiter for member in self.members)
        return not has_arbiter or len(self.writable_voters) > self.majority

    def member(self, member_id: int | None) -> Member | None:
        return next((member for member in self.members if member.id == member_id), None)

    def by_host(self, host: str) -> Member | None:
        return next((member for member in self.members if member.host == host), None)

    def with_(self, **changes: Any) -> Config:
        return replace(self, **changes)

    def document(self, hide_newly_added: bool = False) -> Document:
        """As local.system.replset stores it, or as replSetGetConfig shows it."""
        delay_name = "slaveDelay" if self.old_delay_name else "secondaryDelaySecs"
        members = [replace(member, newly_added=False) if hide_newly_added else member for member in self.members]
        return {
            "_id": self.name,
            "version": self.version,
            **({} if self.term == -1 else {"term": self.term}),
            "members": [member.document(delay_name) for member in members],
            "protocolVersion": Int64(1),
            "writeConcernMajorityJournalDefault": self.journal_default,
            "settings": {**self.settings, **({} if self.set_id is None else {"replicaSetId": self.set_id})},
        }


def parse(document: Document) -> Config:
    """Raises ConfigError with the parser's text."""
    _check_fields(document, CONFIG_TYPES, "ReplSetConfig", ("_id", "version", "members"))
    settings, set_id = dict(DEFAULT_SETTINGS), None
    for name, value in document.get("settings", {}).items():
        if name == "replicaSetId":
            set_id = value
        elif name in DEFAULT_SETTINGS:
            _check_range(name, value)
            settings[name] = value
    members = tuple(parse_member(member) for member in document["members"])
    return Config(
        name=document["_id"],
        version=int(document["version"]),
        term=int(document.get("term", -1)),
        members=members,
        settings=settings,
        set_id=set_id,
        journal_default=document.get("writeConcernMajorityJournalDefault", True),
        old_delay_name=any(member.delay_by_old_name for member in members),
    )


def parse_member(document: Document) -> Member:
    """Raises ConfigError; its text shows the member."""
    try:
        _check_fields(document, MEMBER_TYPES, "MemberConfig", ("_id", "host"))
        return _checked(
            Member(
                id=int(document["_id"]),
                host=with_port(document["host"]),
                arbiter=bool(document.get("arbiterOnly", False)),
                newly_added=bool(document.get("newlyAdded", False)),
                build_indexes=bool(document.get("buildIndexes", True)),
                hidden=bool(document.get("hidden", False)),
                # An arbiter's priority of 1, the default, becomes 0.
                priority=_priority(document),
                tags=document.get("tags", {}),
                horizons=document.get("horizons", {}),
                delay=int(document.get("secondaryDelaySecs", document.get("slaveDelay", 0))),
                delay_by_old_name=True if "slaveDelay" in document else False if "secondaryDelaySecs" in document else None,
                votes=int(document.get("votes", 1)),
            )
        )
    except ConfigError as error:
        raise ConfigError(f"member: {text(document)} :: caused by :: {error}") from None


def _priority(document: Document) -> float:
    priority = float(document.get("priority", 1.0))
    return 0.0 if document.get("arbiterOnly", False) and priority == 1.0 else priority


def _checked(member: Member) -> Member:
    if member.arbiter:
        if member.tags:
            raise ConfigError("Cannot set tags on arbiters.")
        if not member.votes:
            raise ConfigError("Arbiter must vote (cannot have 0 votes)")
        if member.priority:
            raise ConfigError("priority must be 0 when arbiterOnly=true")
    if member.priority:
        if member.delay:
            raise ConfigError(f"priority must be 0 when {'slaveDelay' if member.delay_by_old_name else 'secondaryDelaySecs'} is used")
        if not member.votes:
            raise ConfigError("priority must be 0 when non-voting (votes:0)")
        if member.hidden:
            raise ConfigError("priority must be 0 when hidden=true")
        if not member.build_indexes:
            raise ConfigError("priority must be 0 when buildIndexes=false")
    return member


def _check_fields(document: Document, types: dict[str, str], struct: str, required: tuple[str, ...]) -> None:
    for name, value in document.items():
        if name not in types:
            raise ConfigError(f"BSON field '{struct}.{name}' is an unknown field.")
        _check_type(struct, name, value, types[name])
    for name in required:
        if name not in document:
            raise ConfigError(f"BSON field '{struct}.{name}' is missing but a required field")


def _check_type(struct: str, name: str, value: Any, wanted: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted == "number":
        if not is_number:
            raise ConfigError(f"Expected a number, got value of type {type_name(value)} for field {name}")
        _check_range(name, value)
    elif wanted == "flag":
        if not is_number and not isinstance(value, bool):
            raise ConfigError(f"Field '{name}' should be a boolean value, but found: {type_name(value)}")
    elif type_name(value) != wanted:
        raise ConfigError(f"BSON field '{struct}.{name}' is the wrong type '{type_name(value)}', expected type '{wanted}'")


def _check_range(name: str, value: Any) -> None:
    if name not in RANGES or isinstance(value, dict | str | bool):
        return
    lowest, highest, exclusive = RANGES[name]
    if value < lowest or (exclusive and value == lowest):
        raise ConfigError(f"BSON field '{name}' value must be {'>' if exclusive else '>='} {lowest}, actual value '{text(value)}'")
    if value > highest:
        raise ConfigError(f"BSON field '{name}' value must be <= {highest}, actual value '{text(value)}'")


def with_port(host: str) -> str:
    """The address with its port. Raises ConfigError for what is none."""
    name, colon, port = host.rpartition(":") if (re.search(r":[^\]:]*$", host) and host.count(":") == 1) or "]:" in host else (host, "", "")
    if colon and not port.isdigit():
        raise ConfigError("Did not consume whole string.")
    if not (name or host):
        raise ConfigError("Empty host component parsing HostAndPort from " + text(host))
    return f"{name}:{port}" if colon else f"{host}:{DEFAULT_PORT}"


def is_localhost(host: str) -> bool:
    name = host.rpartition(":")[0]
    return name == "localhost" or name.startswith("127.") or name in ("::1", "[::1]")
