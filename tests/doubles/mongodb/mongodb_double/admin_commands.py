# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on the process and its databases (recorded: 01, 08b, 11, 14)."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from typing import TYPE_CHECKING, Any

import bson
from bson.int64 import Int64

from . import (  # pylint: disable=unused-import
    auth,
    concerns,  # noqa: F401 - registers get- and setDefaultRWConcern
    fcv,
    hello,
)
from .errors import CommandError, ConnectionDropped
from .registry import Document, command
from .states import Leader
from .stepdown import number, step_down

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

LOCK_DOCUMENTATION = "http://dochub.mongodb.org/core/fsynccommand"
DEFAULT_SHUTDOWN = 15.0
VIEW = "system.tenantMigration.oplogView"
# The server's own collections, in the order recorded (01, 02).
LOCAL = [
    *("replset.oplogTruncateAfterPoint", "startup_log", "system.rollback.id", "replset.election", "replset.minvalid", "system.views"),
    VIEW,
]
LOCAL_MEMBER = [
    *("replset.election", "oplog.rs", "system.views", "startup_log", "replset.initialSyncId", "replset.oplogTruncateAfterPoint"),
    *("system.replset", "system.rollback.id", "replset.minvalid", VIEW),
]


@command("ping", before_login=True)
async def ping(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {}


@command("buildInfo", "buildinfo", before_login=True)
async def build_info(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    version = node.options.version
    return {
        "version": version,
        "gitVersion": "nogit",
        "modules": [],
        "allocator": "system",
        "javascriptEngine": "none",
        "sysInfo": "deprecated",
        "versionArray": [*(int(part) for part in version.split("-")[0].split(".")), 0],
        "bits": 64,
        "debug": False,
        "maxBsonObjectSize": 16777216,
        "storageEngines": ["wiredTiger"],
    }


@command("getCmdLineOpts", admin_only=True)
async def get_command_line(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {"argv": list(node.options.argv), "parsed": node.options.parsed}


@command("getParameter", admin_only=True)
async def get_parameter(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    known: dict[str, Any] = {
        **node.options.parsed.get("setParameter", {}),
        "authenticationMechanisms": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
        "enableLocalhostAuthBypass": True,
    }
    if body["getParameter"] == "*":
        return {**known, "featureCompatibilityVersion": fcv.shown(node)}
    wanted = [name for name in body if name != "getParameter" and not name.startswith(("$", "lsid", "maxTimeMS", "comment"))]
    found = {
        name: fcv.shown(node) if name == fcv.DOCUMENT_ID else known[name] for name in wanted if name in known or name == fcv.DOCUMENT_ID
    }
    if not found:
        raise CommandError(72, "no option found to get", name="InvalidOptions")
    return found


@command("hostInfo", admin_only=True)
async def host_info(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "system": {
            "currentTime": node.clock.now(),
            "hostname": f"{socket.gethostname()}:{node.options.port}",
            "cpuAddrSize": 64,
            "memSizeMB": Int64(memory),
            "memLimitMB": Int64(memory),
            "numCores": os.cpu_count(),
            "cpuArch": platform.machine(),
            "numaEnabled": False,
        },
        "os": {"type": "Linux", "name": platform.system(), "version": platform.release()},
        "extra": {},
    }


@command("getLog", admin_only=True)
async def get_log(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {"totalLinesWritten": 0, "log": []}


@command("serverStatus")
async def server_status(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    now = node.clock.now()
    uptime = (now - node.topology.started).total_seconds()
    counters = node.statistics.opcounters()
    return {
        "host": f"{socket.gethostname()}:{node.options.port}",
        "version": node.options.version,
        "process": "mongod",
        "pid": Int64(os.getpid()),
        "uptime": float(int(uptime)),
        "uptimeMillis": Int64(int(uptime * 1000)),
        "uptimeEstimate": Int64(int(uptime)),
        "localTime": now,
        "asserts": dict.fromkeys(("regular", "warning", "msg", "user", "tripwire", "rollovers"), 0),
        "connections": {
            "current": 1,
            "available": 15999,
            "totalCreated": connection.connection_id,
            "active": 1,
            "threaded": 1,
            "exhaustIsMaster": 0,
            "exhaustHello": 0,
            "awaitingTopologyChanges": 0,
        },
        "electionMetrics": _election_metrics(node),
        "globalLock": {
            "totalTime": Int64(int(uptime * 1e6)),
            "currentQueue": dict.fromkeys(("total", "readers", "writers"), 0),
            "activeClients": dict.fromkeys(("total", "readers", "writers"), 0),
        },
        "mem": {"bits": 64, "resident": 64, "virtual": 256, "supported": True},
        "metrics": {
            "document": dict.fromkeys(("deleted", "inserted", "returned", "updated"), Int64(0)),
            "cursor": {"open": {"total": Int64(0)}},
        },
        "network": {"bytesIn": Int64(0), "bytesOut": Int64(0), "numRequests": Int64(sum(counters.values()))},
        "opcounters": counters,
        "opcountersRepl": dict.fromkeys(counters, 0),
        **({"repl": _repl(node, bool(body.get("repl")))} if node.topology.replicated else {}),
        "storageEngine": {"name": "wiredTiger", "supportsCommittedReads": True, "readOnly": False, "persistent": True},
        "wiredTiger": {"cache": {"bytes currently in the cache": 0, "maximum bytes configured": 268435456}},
    }


def _election_metrics(node: Node) -> Document:
    metrics = node.topology.metrics
    kinds = ("stepUpCmd", "priorityTakeover", "catchUpTakeover", "electionTimeout", "freezeTimeout")
    catch_ups = ("Succeeded", "AlreadyCaughtUp", "Skipped", "TimedOut", "FailedWithError", "FailedWithNewTerm")
    return {
        **{kind: {"called": Int64(metrics.called.get(kind, 0)), "successful": Int64(metrics.successful.get(kind, 0))} for kind in kinds},
        "numStepDownsCausedByHigherTerm": Int64(metrics.step_downs_by_higher_term),
        "numCatchUps": Int64(0),
        **{f"numCatchUps{kind}": Int64(metrics.caught_up if kind == "AlreadyCaughtUp" else 0) for kind in catch_ups},
        "numCatchUpsFailedWithReplSetAbortPrimaryCatchUpCmd": Int64(0),
        "averageCatchUpOps": 0.0,
    }


def _repl(node: Node, progress: bool) -> Document:
    topology = node.topology
    state = "running" if topology.leader is Leader.WRITABLE else "paused"
    reply = {"topologyVersion": hello.topology_version(node), **hello.member_document(node, "isWritablePrimary")}
    if progress and topology.config is not None and topology.me is not None:
        positions = topology.positions()
        reply["replicationProgress"] = [
            {
                "host": member.host,
                "optime": positions[member.id][1].optime.document(),
                "lastAppliedOpTime": positions[member.id][0].optime.document(),
                "memberId": member.id,
            }
            for member in topology.config.members
            if member.id in positions
        ]
    services = ("TenantMigrationDonorService", "TenantMigrationRecipientService")
    return {
        **reply,
        "primaryOnlyServices": {name: {"state": state, "numInstances": 0} for name in services},
        "rbid": node.store.rollback_id,
    }


@command("getDiagnosticData", admin_only=True)
async def get_diagnostic_data(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    data: Document = {"start": node.clock.now(), "serverStatus": await server_status(node, connection, db, {"serverStatus": 1})}
    return {"data": {**data, "end": node.clock.now()}}


@command("listDatabases", admin_only=True, where="opt_in")
async def list_databases(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    sizes: dict[str, int] = {"local": 4096} if node.topology.replicated else {}
    for namespace, documents in node.store.collections.items():
        name = namespace.partition(".")[0]
        sizes[name] = sizes.get(name, 4096) + sum(len(bson.encode(document)) for document in documents.values())
    seen = sorted(name for name in sizes if auth.sees_database(connection, node, name))
    if body.get("nameOnly"):
        return {"databases": [{"name": name} for name in seen]}
    total = sum(sizes[name] for name in seen)
    return {
        "databases": [{"name": name, "sizeOnDisk": Int64(sizes[name]), "empty": False} for name in seen],
        "totalSize": Int64(total),
        "totalSizeMb": Int64(total // 2**20),
    }


@command("listCollections", where="opt_in")
async def list_collections(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    names = [name.partition(".")[2] for name in node.store.collections if name.startswith(f"{db}.")]
    if db == "local":
        names += LOCAL_MEMBER if node.topology.config is not None else LOCAL
    wanted = body.get("filter", {}).get("name")
    shown: list[Document] = [{"name": name, "type": _kind(name)} for name in names if wanted in (None, name)]
    if not body.get("nameOnly"):
        shown = [{**entry, "options": {}, "info": {"readOnly": False}} for entry in shown]
    return {"cursor": {"id": Int64(0), "ns": f"{db}.$cmd.listCollections", "firstBatch": shown}}


def _kind(name: str) -> str:
    return "view" if name == VIEW else "collection"


@command("dbStats", "dbstats", where="opt_in")
async def db_stats(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    collections = {name: docs for name, docs in node.store.collections.items() if name.startswith(f"{db}.")}
    size = sum(len(bson.encode(document)) for docs in collections.values() for document in docs.values())
    counted = {"collections": len(collections), "views": 0, "objects": sum(map(len, collections.values()))}
    sizes = dict.fromkeys(("dataSize", "storageSize"), float(size))
    return {"db": db, **counted, "avgObjSize": 0.0, **sizes, "indexes": len(collections), "indexSize": 0.0, "totalSize": float(size)}


@command("fsync", admin_only=True)
async def fsync(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    await node.store.sync()
    if not body.get("lock"):
        return {"numFiles": 1}
    node.locks += 1
    node.unlocked.clear()
    info = "now locked against writes, use db.fsyncUnlock() to unlock"
    return {"info": info, "lockCount": Int64(node.locks), "seeAlso": LOCK_DOCUMENTATION}


@command("fsyncUnlock", admin_only=True)
async def fsync_unlock(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    if not node.locks:
        raise CommandError(None, "fsyncUnlock called when not locked")
    node.locks -= 1
    if not node.locks:
        node.unlocked.set()
    return {"info": "fsyncUnlock completed", "lockCount": Int64(node.locks)}


@command("currentOp", admin_only=True)
async def current_op(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    locked = {"fsyncLock": True, "info": "use db.fsyncUnlock() to terminate the fsync write/snapshot lock"}
    return {"inprog": [], **(locked if node.locks else {})}


@command("shutdown", admin_only=True)
async def shutdown(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """Go; the connection ends without an answer (recorded: 05b, step 16). Raises CommandError 262 when nobody could follow."""
    force, seconds = bool(body.get("force", False)), number(body.get("timeoutSecs", DEFAULT_SHUTDOWN))
    if node.topology.leader is Leader.WRITABLE:
        await step_down(node, 120.0, seconds, force)
    leaving = asyncio.ensure_future(node.quiesce(seconds))
    await asyncio.shield(leaving)
    raise ConnectionDropped
