# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers and sentinels say of themselves and of each other, read from their replies. Pure.

Field names are those of INFO and of SENTINEL MASTER (sources: redis 7.0, replication.c, server.c and sentinel.c).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Trouble(StrEnum):
    """Why a member could not be asked."""

    NONE = ""
    UNREACHABLE = "not reachable"
    WRONG_PASSWORD = "wrong password"  # noqa: S105  # not a password
    LOADING = "loading"
    REFUSED = "refused"


@dataclass(frozen=True)
class Replica:
    """A replica by its master's word. offset: what it has acknowledged, at most a second ago; lag: seconds since then."""

    address: str
    state: str = "online"
    offset: int = 0
    lag: int = 0


@dataclass(frozen=True)
class Server:
    """One server. trouble, error: why there is nothing else. role: `master`, `slave`, or empty.

    offset: bytes of the replication stream that it has written (master) or processed (replica).
    master: address of the master that a replica follows. priority: 0 when no sentinel may promote it. uptime_s: seconds.
    rewriting: whether its log is being written anew, so that what it has just got may not be on its disk yet.
    persistence: what is wrong with writing to the disk; empty when nothing is.
    """

    name: str
    address: str = ""
    trouble: Trouble = Trouble.NONE
    error: str = ""
    role: str = ""
    offset: int = 0
    master: str = ""
    link_up: bool = False
    syncing: bool = False
    rewriting: bool = False
    priority: int = 100
    replicas: tuple[Replica, ...] = ()
    version: str = ""
    uptime_s: int = 0
    persistence: str = ""

    @property
    def is_master(self) -> bool:
        return self.role == "master"


@dataclass(frozen=True)
class Known:
    """A server or a sentinel that a sentinel knows.

    priority, info_refresh_ms, role: of a replica; its last INFO is so many milliseconds old, and told this role (`slave`, `master`).
    """

    address: str
    flags: frozenset[str] = frozenset()
    priority: int = 100
    info_refresh_ms: int = 0
    link_ok: bool = True
    role: str = "slave"

    @property
    def down(self) -> bool:
        """Whether that sentinel gets no answer from it."""
        return bool(self.flags & {"s_down", "o_down", "disconnected"})


@dataclass(frozen=True)
class Sentinel:
    """One sentinel. master: the address that it gives to clients; empty when it monitors no master of that name.

    flags: of the master, in its view. epoch: of the configuration it holds. quorum_error: why CKQUORUM refused; empty when it did not.
    """

    name: str
    address: str = ""
    trouble: Trouble = Trouble.NONE
    error: str = ""
    master: str = ""
    flags: frozenset[str] = frozenset()
    epoch: int = 0
    tilt: bool = False
    quorum: int = 0
    down_after_ms: int = 0
    failover_timeout_ms: int = 0
    parallel_syncs: int = 0
    quorum_error: str = ""
    replicas: tuple[Known, ...] = ()
    others: tuple[Known, ...] = ()
    version: str = ""

    @property
    def busy(self) -> str:
        """What it is in the middle of, so that nobody should interfere; empty when it is not."""
        if self.tilt:
            return "TILT: its clock jumped or it was not scheduled for a while, and it does nothing for 30 s"
        if "failover_in_progress" in self.flags:
            return "a failover is in progress"
        if "o_down" in self.flags:
            return "the master is down by the word of a quorum (ODOWN)"
        return ""


@dataclass(frozen=True)
class Observation:
    """One look at all wanted members. name: the master's. others: the names, by address, of known members that are not wanted."""

    name: str
    servers: tuple[Server, ...]
    sentinels: tuple[Sentinel, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Server | Sentinel, ...]:
        """All of them."""
        servers: tuple[Server | Sentinel, ...] = self.servers
        return servers + self.sentinels

    @property
    def masters(self) -> tuple[Server, ...]:
        """The servers that say they are master."""
        return tuple(server for server in self.servers if server.is_master)

    @property
    def majority(self) -> int:
        """How many of the wanted sentinels make a majority."""
        return len(self.sentinels) // 2 + 1

    @property
    def agreed(self) -> str:
        """The master's address by the word of a majority of the wanted sentinels; empty when there is no majority."""
        told = Counter(sentinel.master for sentinel in self.sentinels if sentinel.master)
        address, votes = told.most_common(1)[0] if told else ("", 0)
        return address if votes >= self.majority else ""

    @property
    def epoch(self) -> int:
        """The newest configuration epoch."""
        return max((sentinel.epoch for sentinel in self.sentinels), default=0)

    @property
    def master(self) -> Server | None:
        """The master: the one that the sentinels agree on, without sentinels the only one there is."""
        if not self.sentinels:
            return self.masters[0] if len(self.masters) == 1 else None
        return next((server for server in self.masters if server.address == self.agreed), None)

    def server(self, name: str) -> Server | None:
        """A wanted server by name."""
        return next((server for server in self.servers if server.name == name), None)

    def name_of(self, address: str) -> str:
        """What the member of this address is called; the address when nothing is known of it."""
        found = next((one.name for one in self.members if address and one.address == address), "")
        return found or self.others.get(address, address)

    def extra_replicas(self, sentinel: Sentinel) -> tuple[Known, ...]:
        """The servers that a sentinel knows and nobody wants."""
        wanted = {server.address for server in self.servers}
        return tuple(known for known in sentinel.replicas if known.address not in wanted)

    def extra_sentinels(self, sentinel: Sentinel) -> tuple[Known, ...]:
        """The sentinels that a sentinel knows and nobody wants: also a second entry for the same address."""
        wanted = {one.address for one in self.sentinels if one.name != sentinel.name}
        addresses = Counter(known.address for known in sentinel.others)
        return tuple(known for known in sentinel.others if known.address not in wanted or addresses[known.address] > 1)

    def unknown_to(self, sentinel: Sentinel) -> tuple[str, ...]:
        """The names of the wanted members that a sentinel does not know yet."""
        known = {one.address for one in (*sentinel.replicas, *sentinel.others)} | {sentinel.master, sentinel.address}
        return tuple(one.name for one in self.members if one.address not in known)


# -- reading replies ---------------------------------------------------------------------------------------------------------


def info(text: str) -> dict[str, str]:
    """The fields of an INFO reply."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def pairs(reply: Sequence[Any]) -> dict[str, str]:
    """A flat list of names and values as a dictionary."""
    return {str(name): str(value) for name, value in zip(reply[::2], reply[1::2], strict=False)}


def server(name: str, address: str, reply: str) -> Server:
    """A server from its reply to INFO."""
    said = info(reply)
    role = said.get("role", "")
    master = role == "master"
    loading = said.get("loading") == "1"
    return Server(
        name=name,
        address=address,
        trouble=Trouble.LOADING if loading else Trouble.NONE,
        error=f"it loads its data: {said.get('loading_loaded_perc', '?')} % done" if loading else "",
        role=role,
        offset=_number(said.get("master_repl_offset" if master else "slave_repl_offset")),
        master="" if master else f"{said.get('master_host', '')}:{said.get('master_port', '')}",
        link_up=said.get("master_link_status") == "up",
        syncing=said.get("master_sync_in_progress") == "1",
        rewriting="1" in (said.get("aof_rewrite_in_progress"), said.get("aof_rewrite_scheduled")),
        priority=_number(said.get("slave_priority"), 100),
        replicas=tuple(_replica(said[f"slave{n}"]) for n in range(_number(said.get("connected_slaves"))) if f"slave{n}" in said),
        version=said.get("redis_version", ""),
        uptime_s=_number(said.get("uptime_in_seconds")),
        persistence=_persistence(said),
    )


def sentinel(name: str, address: str, replies: Mapping[str, Any]) -> Sentinel:
    """A sentinel from its replies, by command. Without MASTER it monitors no master of that name."""
    said = info(replies["INFO"])
    tilt, version = said.get("sentinel_tilt", "0") != "0", said.get("redis_version", "")
    if not replies.get("MASTER"):
        return Sentinel(name, address, tilt=tilt, version=version)
    master = pairs(replies["MASTER"])
    # During a failover clients get the new master's address before the entry of the old one is replaced.
    current = replies.get("ADDRESS") or (master.get("ip", ""), master.get("port", ""))
    return Sentinel(
        name=name,
        address=address,
        master=f"{current[0]}:{current[1]}",
        flags=_flags(master),
        epoch=_number(master.get("config-epoch")),
        tilt=tilt,
        quorum=_number(master.get("quorum")),
        down_after_ms=_number(master.get("down-after-milliseconds")),
        failover_timeout_ms=_number(master.get("failover-timeout")),
        parallel_syncs=_number(master.get("parallel-syncs")),
        quorum_error=str(replies.get("CKQUORUM") or ""),
        replicas=tuple(known(reply) for reply in replies.get("REPLICAS") or ()),
        others=tuple(known(reply) for reply in replies.get("SENTINELS") or ()),
        version=version,
    )


def known(reply: Sequence[Any]) -> Known:
    """One entry of SENTINEL REPLICAS or SENTINEL SENTINELS."""
    said = pairs(reply)
    return Known(
        address=f"{said.get('ip', '')}:{said.get('port', '')}",
        flags=_flags(said),
        priority=_number(said.get("slave-priority"), 100),
        info_refresh_ms=_number(said.get("info-refresh")),
        link_ok=said.get("master-link-status", "ok") == "ok",
        role=said.get("role-reported", "slave"),
    )


def _flags(said: Mapping[str, str]) -> frozenset[str]:
    return frozenset(filter(None, said.get("flags", "").split(",")))


def _replica(text: str) -> Replica:
    """`ip=10.0.0.1,port=6379,state=online,offset=42,lag=0`."""
    said = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    address = f"{said.get('ip', '')}:{said.get('port', '')}"
    return Replica(address, said.get("state", ""), _number(said.get("offset")), _number(said.get("lag")))


def _persistence(said: Mapping[str, str]) -> str:
    fields = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    return ", ".join(f"{name}: {said[name]}" for name in fields if said.get(name, "ok") != "ok")


def _number(text: str | None, otherwise: int = 0) -> int:
    try:
        return int(text or "")
    except ValueError:
        return otherwise
