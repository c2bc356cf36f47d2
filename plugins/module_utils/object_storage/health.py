# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the servers say of their health: endpoints that need no login, and the administration's list of drives.

Facts, read in cmd/healthcheck-handler.go and cmd/erasure-server-pool.go of MinIO 2026-02-12 and seen on running servers:
/minio/health/cluster is 200 with write quorum in every set, 503 without, and names the quorum in X-Minio-Write-Quorum. With
?maintenance=true the drives of the server that is asked do not count, and it is 412 also while any other drive is healing; only there
X-Minio-Healing-Drives is told. /minio/health/live and /ready say nothing of quorum. The list of drives is given without quorum, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer, Server

CLUSTER, READ, MAINTENANCE = "/minio/health/cluster", "/minio/health/cluster/read", "/minio/health/cluster?maintenance=true"
LIVE = "/minio/health/live"
WRITE_QUORUM, HEALING, SERVER_STATUS = "x-minio-write-quorum", "x-minio-healing-drives", "x-minio-server-status"
GOOD = "ok"

T = TypeVar("T")


def each(servers: Sequence[Server], question: Callable[[Server], T]) -> list[T | StackgateError]:
    """Ask all servers at the same time; the answers, or why there was none, in their order."""

    def ask(server: Server) -> T | StackgateError:
        try:
            return question(server)
        except StackgateError as error:
            return error

    if len(servers) == 1:
        return [ask(servers[0])]
    with ThreadPoolExecutor(max(len(servers), 1), thread_name_prefix="object storage") as pool:
        return list(pool.map(ask, servers))


def ask_each(servers: Sequence[Server], path: str) -> list[Answer | StackgateError]:
    """Ask all servers for a health endpoint."""
    return each(servers, lambda server: server.ask(path))


@dataclass(frozen=True)
class Drive:
    """A drive as the server that was asked sees it. state: ok, offline, unformatted, missing, faulty, ..."""

    server: str
    path: str
    state: str
    healing: bool
    pool: int
    set: int

    @property
    def name(self) -> str:
        """`object-storage-2 /data`, the server's first label being the pod."""
        host = self.server.rpartition(":")[0] or self.server
        return f"{host if host.replace('.', '').isdigit() else host.partition('.')[0]} {self.path}".strip()


@dataclass(frozen=True)
class Drives:
    """All drives, and what a set needs. parity: drives of a set that hold parity; set_sizes: by pool."""

    all: tuple[Drive, ...]
    parity: int
    set_sizes: tuple[int, ...]
    versions: tuple[str, ...] = ()

    @property
    def bad(self) -> tuple[Drive, ...]:
        """Those that are not there."""
        return tuple(drive for drive in self.all if drive.state != GOOD)

    @property
    def healing(self) -> tuple[Drive, ...]:
        """Those that are being filled again."""
        return tuple(drive for drive in self.all if drive.healing)

    @property
    def online(self) -> int:
        """How many are there."""
        return len(self.all) - len(self.bad)

    def quorum(self, pool: int, write: bool) -> int:
        """Drives of a set that must be there, in a pool by its index."""
        size = self.set_sizes[pool] if pool < len(self.set_sizes) else 0
        data = size - self.parity
        return data + 1 if write and self.parity and data == self.parity else data

    def short(self, write: bool) -> tuple[str, ...]:
        """The sets that have lost their quorum, each as `2 of 4 drives online, 3 needed`, with the set's place where there are several."""
        there: Counter[tuple[int, int]] = Counter()
        for drive in self.all:
            if drive.pool >= 0 and drive.set >= 0:
                there[(drive.pool, drive.set)] += drive.state == GOOD
        found = []
        for (pool, number), online in sorted(there.items()):
            needed = self.quorum(pool, write)
            if online < needed:
                where = f"pool {pool + 1}, set {number + 1}: " if len(there) > 1 else ""
                found.append(f"{where}{online} of {self.set_sizes[pool]} drives online, {needed} needed")
        return tuple(found)


def drives_of(info: Mapping[str, Any]) -> Drives:
    """From the administration's answer (Store.info)."""
    backend = info.get("backend") or {}
    servers = info.get("servers") or []
    found = [
        Drive(
            server=str(server.get("endpoint") or ""),
            path=urlsplit(str(drive.get("endpoint") or "")).path or str(drive.get("path") or ""),
            state=str(drive.get("state") or "unknown"),
            healing=bool(drive.get("healing")),
            pool=int(drive.get("pool_index", -1)),
            set=int(drive.get("set_index", -1)),
        )
        for server in servers
        for drive in server.get("drives") or []
    ]
    return Drives(
        all=tuple(sorted(found, key=lambda drive: (drive.server, drive.path))),
        parity=int(backend.get("standardSCParity") or 0),
        set_sizes=tuple(int(size) for size in backend.get("totalDrivesPerSet") or []),
        versions=tuple(sorted({str(server["version"]) for server in servers if server.get("version")})),
    )


def named(drives: Sequence[Drive], most: int = 6) -> str:
    """Drives for a message, with their state where it is not a good one."""
    shown = [f"{drive.name}{f' ({drive.state})' if drive.state not in (GOOD, 'offline') else ''}" for drive in drives[:most]]
    return ", ".join(shown) + (f" and {len(drives) - most} more" if len(drives) > most else "")


def trouble(drives: Drives, wanted: int | None = None) -> str:
    """What is wrong with the drives, worst first; empty when all are there and none is healing. wanted: how many there must be."""
    lost = drives.short(write=True)
    if lost:
        reads = "reads go on" if not drives.short(write=False) else "reads are refused as well"
        away = f"; offline: {named(drives.bad)}" if drives.bad else ""
        return f"write quorum lost: {'; '.join(lost)} ({reads}){away}"
    if drives.bad:
        return f"{drives.online} of {len(drives.all)} drives online; not there: {named(drives.bad)}"
    if wanted is not None and drives.online != wanted:
        return f"{drives.online} drives online, {wanted} wanted"
    if drives.healing:
        return f"{len(drives.healing)} of {len(drives.all)} drives healing: {named(drives.healing)}"
    return ""


def unwell(answer: Answer) -> str:
    """What an answer of /minio/health/cluster says is wrong; empty when it is 200."""
    if answer.status == 200:
        return ""
    starting = answer.headers.get(SERVER_STATUS)
    if starting:
        return f"the server is not ready yet ({starting})"
    quorum = answer.headers.get(WRITE_QUORUM)
    if answer.status == 503 and quorum:
        return f"write quorum lost: {quorum} drives of a set are needed"
    return f"status {answer.status}"
