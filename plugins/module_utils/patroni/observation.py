# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni's members say of themselves and of each other (recorded: Patroni 4.0). Pure.

/patroni is a member's own state, asked of its server while it answers; /cluster is what the store of truth (the DCS) has, who holds the
leader's lock included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RUNNING, STREAMING = "running", "streaming"
PRIMARY, REPLICA = "primary", "replica"
# Roles of /cluster.
LEADERS = frozenset({"leader", "standby_leader"})
SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})


@dataclass(frozen=True)
class Standby:
    """A connection that a server sends its WAL to. state: `streaming`, ...; sync_state: `sync`, `quorum`, `potential`, `async`."""

    name: str
    state: str
    sync_state: str


@dataclass(frozen=True)
class MemberObservation:
    """One member by its own word.

    error: why it did not answer; everything else is empty then. state: `running`, `creating replica`, `start failed`, ...
    role: `primary` or `replica`. location: bytes of WAL that a primary has flushed, or a replica has received; replayed: applied.
    pending_restart: what waits for a restart of the server, as `parameter: old -> new`. dcs_last_seen: seconds since the epoch.
    """

    name: str
    error: str = ""
    scope: str = ""
    state: str = ""
    role: str = ""
    timeline: int | None = None
    location: int | None = None
    replayed: int | None = None
    replay_paused: bool = False
    replication_state: str = ""
    synchronous: bool = False
    standbys: tuple[Standby, ...] = ()
    pending_restart: tuple[str, ...] = ()
    paused: bool = False
    unlocked: bool = False
    failsafe: bool = False
    system_id: str = ""
    server_version: int | None = None
    patroni_version: str = ""
    started: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict)
    dcs_last_seen: float | None = None

    @property
    def reachable(self) -> bool:
        return not self.error

    @property
    def writable(self) -> bool:
        """Whether its server runs and is no replica."""
        return self.role == PRIMARY and self.state == RUNNING

    @property
    def streams(self) -> bool:
        """Whether it is a replica that receives the leader's WAL as it is written."""
        return self.role == REPLICA and self.state == RUNNING and self.replication_state == STREAMING


@dataclass(frozen=True)
class Listed:
    """A member as the store of truth has it. lag: bytes; None when it is not known."""

    name: str
    role: str
    state: str
    timeline: int | None = None
    lag: int | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """All members, and the store of truth; `listed` is None when nobody could tell what it has."""

    scope: str
    members: tuple[MemberObservation, ...]
    listed: tuple[Listed, ...] | None = None
    scheduled_switchover: str = ""

    def member(self, name: str) -> MemberObservation | None:
        """What one said; None when it was not asked."""
        return next((member for member in self.members if member.name == name), None)

    def entry(self, name: str) -> Listed | None:
        """What the store of truth has of one."""
        return next((entry for entry in self.listed or () if entry.name == name), None)

    @property
    def holder(self) -> str:
        """Who holds the leader's lock; empty for nobody, or when it is not known."""
        return next((entry.name for entry in self.listed or () if entry.role in LEADERS), "")

    @property
    def primaries(self) -> tuple[MemberObservation, ...]:
        """Those that take writes."""
        return tuple(member for member in self.members if member.writable)

    @property
    def leader(self) -> MemberObservation | None:
        """The member that holds the lock and takes writes."""
        return next((member for member in self.primaries if member.name == self.holder and not member.unlocked), None)

    @property
    def initialised(self) -> bool:
        """Whether there is a cluster: a member has its identity, or one holds the lock."""
        return bool(self.holder) or any(member.system_id for member in self.members)


def member_of(name: str, status: Mapping[str, Any]) -> MemberObservation:
    """From the JSON of GET /patroni."""
    xlog = status.get("xlog") or {}
    patroni = status.get("patroni") or {}
    return MemberObservation(
        name=name,
        scope=str(patroni.get("scope") or ""),
        state=str(status.get("state") or ""),
        # Patroni 3 says master.
        role=PRIMARY if status.get("role") in ("primary", "master") else str(status.get("role") or ""),
        timeline=_number(status.get("timeline")),
        location=_number(xlog.get("location", xlog.get("received_location"))),
        replayed=_number(xlog.get("replayed_location")),
        replay_paused=bool(xlog.get("paused")),
        replication_state=str(status.get("replication_state") or ""),
        synchronous=bool(status.get("sync_standby") or status.get("quorum_standby")),
        standbys=tuple(
            Standby(str(one.get("application_name")), str(one.get("state")), str(one.get("sync_state")))
            for one in status.get("replication") or ()
        ),
        pending_restart=_pending(status),
        paused=bool(status.get("pause")),
        unlocked=bool(status.get("cluster_unlocked")),
        failsafe=bool(status.get("failsafe_mode_is_active")),
        system_id=str(status.get("database_system_identifier") or ""),
        server_version=_number(status.get("server_version")),
        patroni_version=str(patroni.get("version") or ""),
        started=str(status.get("postmaster_start_time") or ""),
        tags=status.get("tags") or {},
        dcs_last_seen=status.get("dcs_last_seen"),
    )


def listed_of(cluster: Mapping[str, Any]) -> tuple[Listed, ...]:
    """The members in the JSON of GET /cluster."""
    return tuple(
        Listed(
            str(entry["name"]),
            str(entry.get("role") or ""),
            str(entry.get("state") or ""),
            _number(entry.get("timeline")),
            _number(entry.get("lag")),
            entry.get("tags") or {},
        )
        for entry in cluster.get("members") or ()
    )


def scheduled_of(cluster: Mapping[str, Any]) -> str:
    """The switchover that somebody has scheduled, as words; empty for none."""
    found = cluster.get("scheduled_switchover")
    if not found:
        return ""
    return f"from {found.get('from') or 'the leader'} to {found.get('to') or 'any replica'} at {found.get('at')}"


def behind(member: MemberObservation, leader: MemberObservation) -> int | None:
    """Bytes of WAL that a replica has not received yet; 0 when it has more (it was asked later). None when one does not tell."""
    if member.location is None or leader.location is None:
        return None
    return max(leader.location - member.location, 0)


def _pending(status: Mapping[str, Any]) -> tuple[str, ...]:
    reasons = status.get("pending_restart_reason") or {}
    told = tuple(f"{name}: {change.get('old_value')} -> {change.get('new_value')}" for name, change in sorted(reasons.items()))
    return told or (("a parameter",) if status.get("pending_restart") else ())


def _number(value: Any) -> int | None:
    """Whole numbers; Patroni writes `unknown` for a lag that it does not know."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
