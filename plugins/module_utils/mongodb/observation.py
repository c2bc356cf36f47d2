# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every member said about itself and its peers, at one moment.

`observe_member` reads one member's raw replies, `observe` joins the members and draws the conclusions that need more than one
witness. Both are pure: recorded replies are their tests. Facts of the protocol are marked with the recording they come from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig

# Member states by number (replSetGetStatus myState).
STATES = (
    "STARTUP",
    "PRIMARY",
    "SECONDARY",
    "RECOVERING",
    "(4)",
    "STARTUP2",
    "UNKNOWN",
    "ARBITER",
    "DOWN",
    "ROLLBACK",
    "REMOVED",
)
# States in which a member has the set's data, or needs none, and votes: it can be counted on.
SOUND = frozenset({"PRIMARY", "SECONDARY", "ARBITER"})

NOT_A_MEMBER = 93  # has a configuration that does not name it
UNINITIALISED = 94  # has no configuration yet
STANDALONE = 76  # started without --replSet
UNAUTHORIZED = 13
UNKNOWN_FCV = 258  # recorded: 01, no data directory of an earlier life


class Standing(Enum):
    """What a member is, seen from the set that is wanted."""

    UNREACHABLE = "unreachable"  # no answer, or shutting down
    STANDALONE = "standalone"  # started without --replSet
    UNINITIALISED = "uninitialised"  # no configuration: may be initiated, or be added
    MEMBER = "member"  # belongs to a set, whatever its state
    REMOVED = "removed"  # has a configuration in which it does not find itself
    WRONG_SET_NAME = "wrong set name"  # belongs to, or was started for, a set of another name
    WRONG_KEY = "wrong key"  # the others refuse its key file, or it theirs
    NEEDS_LOGIN = "needs login"  # would say more to a user who logged in


@dataclass(frozen=True, order=True)
class OpTime:
    """A place in the log of operations: the primary's term, seconds since 1970, increment."""

    term: int
    seconds: int
    increment: int

    @classmethod
    def read(cls, found: Any) -> OpTime | None:
        """From {ts, t}, or a bare timestamp of an older server; None when there is none."""
        stamp, term = (found.get("ts"), found.get("t", -1)) if isinstance(found, Mapping) else (found, -1)
        if stamp is None or not hasattr(stamp, "inc"):
            return None
        return cls(int(term), int(stamp.time), int(stamp.inc))


@dataclass(frozen=True)
class PeerView:
    """How one member sees another (replSetGetStatus members[])."""

    host: str
    state: str
    healthy: bool
    authenticated: bool
    message: str
    config_version: int
    config_term: int
    optime: OpTime | None
    optime_date: datetime | None

    @property
    def sound(self) -> bool:
        return self.healthy and self.state in SOUND


@dataclass(frozen=True)
class MemberObservation:
    """One member's own words. What it did not say is None (or empty).

    host: the address under which it was asked for.
    me: the address by which it knows itself.
    error: why it did not answer, or why its status stayed unread.
    state: its member state; "" when it is no member.
    primary: the host that it takes for the primary.
    writable: whether it says of itself that it is the primary and takes writes.
    voting_count: how many members vote, as it counts: fewer than in its configuration while a new voter is being added by the
        server itself (recorded: 04c).
    commitment: whether its configuration is committed; only a primary says so.
    clock_offset_s: its clock minus ours, in seconds.
    """

    host: str
    standing: Standing
    error: str = ""
    me: str | None = None
    state: str = ""
    set_name: str | None = None
    config: ReplicaSetConfig | None = None
    writable: bool = False
    primary: str | None = None
    peers: tuple[PeerView, ...] = ()
    voting_count: int | None = None
    commitment: bool | None = None
    term: int | None = None
    optime: OpTime | None = None
    optime_date: datetime | None = None
    committed: OpTime | None = None
    committed_date: datetime | None = None
    uptime_s: int | None = None
    has_user_data: bool | None = None
    version: tuple[int, ...] | None = None
    fcv: tuple[int, int] | None = None
    fcv_target: tuple[int, int] | None = None
    max_wire_version: int | None = None
    default_write_concern_set: bool | None = None
    clock_offset_s: float | None = None
    hello: Mapping[str, Any] = field(default_factory=dict, repr=False)
    status: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def reachable(self) -> bool:
        return self.standing is not Standing.UNREACHABLE

    @property
    def set_id(self) -> str | None:
        return self.config.set_id if self.config else None

    @property
    def sound(self) -> bool:
        """Whether it can be counted on for a vote and, unless it is an arbiter, for data."""
        return self.standing is Standing.MEMBER and self.state in SOUND

    @property
    def in_own_config(self) -> bool:
        """Whether the configuration that it stores names it, by the address under which it was asked."""
        return self.config is not None and self.config.member(self.host) is not None

    def peer(self, host: str) -> PeerView | None:
        return next((peer for peer in self.peers if peer.host == host), None)


@dataclass(frozen=True)
class Observation:
    """All members at one moment. `set_name` is the name of the set that is wanted."""

    set_name: str
    members: tuple[MemberObservation, ...]
    now: datetime | None = None

    def member(self, host: str) -> MemberObservation | None:
        return next((member for member in self.members if member.host == host), None)

    def standing(self, host: str) -> Standing:
        """A member's standing; unreachable when it was not asked."""
        found = self.member(host)
        return found.standing if found else Standing.UNREACHABLE

    @property
    def initialised(self) -> tuple[MemberObservation, ...]:
        """Members that have a configuration, of whatever set."""
        return tuple(m for m in self.members if m.standing in (Standing.MEMBER, Standing.REMOVED) or m.config is not None)

    @property
    def primary(self) -> MemberObservation | None:
        """The writable primary. Of two (one does not know yet that it was deposed) the one of the newer term."""
        writable = [m for m in self.members if m.standing is Standing.MEMBER and m.writable]
        return max(writable, key=lambda m: m.term if m.term is not None else -1, default=None)

    @property
    def config(self) -> ReplicaSetConfig | None:
        """The configuration in force: the primary's, else the newest that a member knows, else the newest of a removed one."""
        primary = self.primary
        if primary is not None and primary.config is not None:
            return primary.config
        for standing in (Standing.MEMBER, Standing.REMOVED):
            newest: ReplicaSetConfig | None = None
            for found in (m.config for m in self.members if m.standing is standing and m.config):
                if newest is None or found.newer_than(newest):
                    newest = found
            if newest is not None:
                return newest
        return None

    @property
    def sets(self) -> dict[str, tuple[str, ...]]:
        """The identities of the replica sets that were found, each with the members that belong to it."""
        found: dict[str, tuple[str, ...]] = {}
        for member in self.members:
            if member.set_id is not None and member.standing in (Standing.MEMBER, Standing.REMOVED):
                found[member.set_id] = (*found.get(member.set_id, ()), member.host)
        return found

    def sound(self, host: str) -> bool:
        """Whether the member can be counted on: by its own word, or the primary's when nobody but the primary can reach it."""
        found = self.member(host)
        if found is not None and found.reachable:
            return found.sound
        view = self.primary.peer(host) if self.primary else None
        return view is not None and view.sound

    @property
    def votes_pending(self) -> int:
        """New voters that do not count yet: the server turns them into voters by a reconfiguration of its own (recorded: 04c)."""
        primary = self.primary
        if primary is None or primary.config is None or primary.voting_count is None:
            return 0
        return max(0, len(primary.config.voters) - primary.voting_count)


def observe(set_name: str, members: Iterable[MemberObservation], now: datetime | None = None) -> Observation:
    """Joins the members, and marks those that belong to a set of another name and those that the others do not let in."""
    found = Observation(set_name, tuple(_with_set_name_checked(member, set_name) for member in members), now)
    locked_out = {member.host for member in found.members if _locked_out(found, member)}
    return dataclasses.replace(
        found,
        members=tuple(
            dataclasses.replace(member, standing=Standing.WRONG_KEY) if member.host in locked_out else member for member in found.members
        ),
    )


def _with_set_name_checked(member: MemberObservation, set_name: str) -> MemberObservation:
    if member.set_name is not None and member.set_name != set_name and member.reachable:
        return dataclasses.replace(member, standing=Standing.WRONG_SET_NAME)
    return member


def _locked_out(found: Observation, member: MemberObservation) -> bool:
    """Whether the others do not authenticate this member: the primary says so, or without a primary half of them (recorded: 08c)."""
    if member.standing not in (Standing.MEMBER, Standing.UNINITIALISED) or member.sound:
        return False
    primary = found.primary
    witnesses = [primary] if primary else [m for m in found.members if m.standing is Standing.MEMBER and m is not member]
    views = [view for view in (witness.peer(member.host) for witness in witnesses if witness is not member) if view]
    return bool(views) and 2 * sum(not view.authenticated for view in views) >= len(views)


def observe_member(
    host: str,
    replies: Mapping[str, Mapping[str, Any]],
    *,
    logged_in: bool | None = None,
    clock_offset_s: float | None = None,
) -> MemberObservation:
    """One member from its raw replies.

    replies: by command: `hello` (or the reply to isMaster) is needed; replSetGetStatus, replSetGetConfig, buildInfo,
        getParameter (featureCompatibilityVersion), getDefaultRWConcern, serverStatus and getCmdLineOpts tell more. A command that
        failed has {errmsg, code, codeName}; a member that does not answer has hello: {errmsg: why}.
    logged_in: True: as a user; False: the login was refused; None: nobody tried.
    """
    hello = replies.get("hello", {"errmsg": "not asked"})
    if _failed(hello):
        return MemberObservation(host, Standing.UNREACHABLE, error=str(hello["errmsg"]), clock_offset_s=clock_offset_s)
    status, config = replies.get("replSetGetStatus", {}), _config(replies.get("replSetGetConfig", {}))
    standing, error = _standing(hello, status)
    optimes = {} if _failed(status) else status.get("optimes") or {}
    peers = () if _failed(status) else tuple(_peer(entry) for entry in status.get("members") or () if not entry.get("self"))
    own: Mapping[str, Any] = next((entry for entry in status.get("members") or () if entry.get("self")), {}) if not _failed(status) else {}
    fcv, fcv_target = _feature_compatibility(replies.get("getParameter", {}))
    return MemberObservation(
        host=host,
        standing=standing,
        error=error,
        me=hello.get("me"),
        state=_state(hello, status) if standing is Standing.MEMBER else "",
        set_name=_set_name(hello, config, replies.get("getCmdLineOpts", {})),
        config=config,
        writable=bool(hello.get("isWritablePrimary", hello.get("ismaster", False))),
        primary=hello.get("primary"),
        peers=peers,
        voting_count=status.get("votingMembersCount"),
        commitment=replies.get("replSetGetConfig", {}).get("commitmentStatus"),
        term=status.get("term"),
        optime=OpTime.read(optimes.get("appliedOpTime")),
        optime_date=optimes.get("lastAppliedWallTime"),
        committed=OpTime.read(optimes.get("lastCommittedOpTime")),
        committed_date=optimes.get("lastCommittedWallTime"),
        uptime_s=own.get("uptime"),
        has_user_data=_has_user_data(replies, logged_in) if standing is Standing.UNINITIALISED else None,
        version=_version(replies.get("buildInfo", {})),
        fcv=fcv,
        fcv_target=fcv_target,
        max_wire_version=hello.get("maxWireVersion"),
        default_write_concern_set=_default_write_concern_set(replies.get("getDefaultRWConcern", {})),
        clock_offset_s=clock_offset_s,
        hello=hello,
        status={} if _failed(status) else status,
    )


def _failed(reply: Mapping[str, Any]) -> bool:
    return "errmsg" in reply and reply.get("ok") != 1


def _standing(hello: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Standing, str]:
    """The standing and, when the status was refused, the server's words.

    hello alone does not tell an uninitialised member from a removed one; replSetGetStatus does: 94 and 93 (recorded: 01, 04b).
    """
    code = status.get("code") if _failed(status) else None
    error = str(status["errmsg"]) if _failed(status) else ""
    if "setName" in hello and code != NOT_A_MEMBER:
        return Standing.MEMBER, error
    if code == STANDALONE or not ("isreplicaset" in hello or "setName" in hello):
        return Standing.STANDALONE, error
    if code == UNINITIALISED:
        return Standing.UNINITIALISED, error
    if code == NOT_A_MEMBER:
        return Standing.REMOVED, error
    return Standing.NEEDS_LOGIN, error or "replSetGetStatus was not answered"


def _state(hello: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    number = status.get("myState")
    if number is not None:
        return STATES[number] if 0 <= number < len(STATES) else f"({number})"
    if hello.get("isWritablePrimary", hello.get("ismaster", False)):
        return "PRIMARY"
    if hello.get("secondary"):
        return "SECONDARY"
    return "ARBITER" if hello.get("arbiterOnly") else "UNKNOWN"


def _peer(entry: Mapping[str, Any]) -> PeerView:
    state = entry.get("state", 6)
    return PeerView(
        host=str(entry["name"]),
        state=STATES[state] if 0 <= state < len(STATES) else f"({state})",
        healthy=entry.get("health", 0) == 1,
        authenticated=bool(entry.get("authenticated", True)),
        message=str(entry.get("lastHeartbeatMessage") or ""),
        config_version=int(entry.get("configVersion", -1)),
        config_term=int(entry.get("configTerm", -1)),
        optime=OpTime.read(entry.get("optime")),
        optime_date=entry.get("optimeDate"),
    )


def _config(reply: Mapping[str, Any]) -> ReplicaSetConfig | None:
    found = reply.get("config")
    return None if found is None else ReplicaSetConfig(found)


def _set_name(hello: Mapping[str, Any], config: ReplicaSetConfig | None, options: Mapping[str, Any]) -> str | None:
    """The set's name, by its own word, its command line or its stored configuration.

    Data of one set started for another stays up and looks like a removed member (recorded: 10): the command line tells.
    """
    if "setName" in hello:
        return str(hello["setName"])
    replication = (options.get("parsed") or {}).get("replication") or {}
    told = replication.get("replSet", replication.get("replSetName"))
    if told is not None:
        return str(told).partition("/")[0]
    return config.name if config else None


def _has_user_data(replies: Mapping[str, Mapping[str, Any]], logged_in: bool | None) -> bool | None:
    """Whether an uninitialised member holds data of users: their names cannot be listed in that state (13436, recorded: 01).

    A user who can log in is data. serverStatus counts the collections that are not the server's own. A feature compatibility
    version that is not known yet (258) is a data directory that was never written.
    """
    if logged_in:
        return True
    collections = (replies.get("serverStatus", {}).get("catalogStats") or {}).get("collections")
    if collections is not None:
        return int(collections) > 0
    return False if replies.get("getParameter", {}).get("code") == UNKNOWN_FCV else None


def _version(build: Mapping[str, Any]) -> tuple[int, ...] | None:
    numbers = build.get("versionArray")
    return tuple(int(number) for number in numbers[:3]) if numbers else None


def _feature_compatibility(reply: Mapping[str, Any]) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The feature compatibility version, and the one that an interrupted change was going to (recorded: 12)."""
    found = reply.get("featureCompatibilityVersion")
    if found is None:
        return None, None
    document = found if isinstance(found, Mapping) else {"version": found}
    return _two(document.get("version")), _two(document.get("targetVersion"))


def _two(text: Any) -> tuple[int, int] | None:
    if text is None:
        return None
    major, _dot, minor = str(text).partition(".")
    return int(major), int(minor or 0)


def _default_write_concern_set(reply: Mapping[str, Any]) -> bool | None:
    """Whether somebody set a default write concern (source global, recorded: 04i); None when it is not known."""
    if not reply or _failed(reply):
        return None
    if "defaultWriteConcernSource" in reply:
        return reply["defaultWriteConcernSource"] == "global"
    return "defaultWriteConcern" in reply
