# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a request: may it be run, here, now; run it; wait for its write; date the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.int64 import Int64
from bson.timestamp import Timestamp

from . import (  # pylint: disable=unused-import
    admin_commands,  # noqa: F401 - the families of commands register themselves
    api_version,
    data_commands,  # noqa: F401
    set_commands,  # noqa: F401
)
from .errors import STATE_CHANGE_CODES, CommandError, ConnectionDropped
from .hello import topology_version
from .optime import OpTime
from .registry import COMMANDS, Command, Document
from .states import State
from .statistics import Statistics

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

# A cluster time may be ahead of our clock by so many seconds.
CLUSTER_TIME_LIMIT = 31_536_000
# These look after their own time limit.
OWN_TIME_LIMIT = ("replSetReconfig", "hello", "isMaster", "getMore")


def statistics() -> Statistics:
    return Statistics()


async def run(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """The whole reply. Raises CommandError, complete with what a reply has besides, and ConnectionDropped."""
    name = next(iter(body), "")
    try:
        reply = await _checked(node, connection, db, body, name)
    except CommandError as error:
        if error.code in STATE_CHANGE_CODES and node.topology.replicated:
            error.extra = {"topologyVersion": topology_version(node), **error.extra}
            if error.errmsg == "not primary" and not connection.hello_ok:
                error.errmsg = "not master"
        error.extra |= _times(node)
        raise
    # An initiate was begun where there were no such times yet (recorded: 02, 03b).
    return {**reply, "ok": 1.0, **({} if name == "replSetInitiate" else _times(node))}


async def _checked(node: Node, connection: ConnectionState, db: str, body: Document, name: str) -> Document:
    if "$db" not in body and not connection.op_query:
        raise CommandError(40571, "OP_MSG requests require a $db argument")
    entry = COMMANDS.get(name)
    if entry is None:
        raise CommandError(59, f"no such command: '{name}'")
    sender = str(body.get("from", "")) if entry.internal else None
    _drop(node, sender)
    api_version.check(name, body)
    if entry.admin_only and db != "admin":
        raise CommandError(13, f"{name} may only be run against the admin database.")
    _see_cluster_time(node, body)
    if not entry.before_login:
        node.authorize(connection, node, db, entry.name, body)
    _check_place(node, connection, db, body, entry)
    node.statistics.count(entry.name)
    if sender is not None:
        await node.faults.lag()
    reply = await _timed(node, connection, db, body, entry)
    if sender is not None:
        await node.faults.lag()
        _drop(node, sender)
    return reply


def _drop(node: Node, sender: str | None) -> None:
    faults = node.faults
    if faults.drop_clients if sender is None else sender in faults.cut:
        raise ConnectionDropped


def _check_place(node: Node, connection: ConnectionState, db: str, body: Document, entry: Command) -> None:
    """Whether a member in our state runs this command on this database. Raises CommandError 10107, 13435, 13436."""
    topology = node.topology
    if entry.where == "always" or topology.writable or db == "local" or not topology.replicated:
        return
    if entry.where == "never":
        raise CommandError(10107, "not primary")
    mode = body.get("$readPreference", {}).get("mode", "primary")
    opted_in = mode != "primary" or connection.secondary_ok or connection.internal
    if not opted_in:
        words = "not primary and secondaryOk=false" if connection.hello_ok else "not master and slaveOk=false"
        raise CommandError(13435, words)
    if entry.maintenance_ok or topology.state is State.SECONDARY:
        return
    if topology.state is State.RECOVERING:
        raise CommandError(13436, "node is recovering")
    if topology.state is not State.PRIMARY:
        raise CommandError(13436, "node is not in primary or recovering state")


async def _timed(node: Node, connection: ConnectionState, db: str, body: Document, entry: Command) -> Document:
    """Run it, within its own time limit. Raises CommandError 50."""
    limit = body.get("maxTimeMS")
    if not limit or entry.name in OWN_TIME_LIMIT:
        return await _run(node, connection, db, body, entry)
    try:
        async with node.clock.timeout(float(limit) / 1000):
            return await _run(node, connection, db, body, entry)
    except TimeoutError:
        details = ""
        if entry.name == "setFeatureCompatibilityVersion":
            details = '; Error details: { writeConcern: { w: "majority", wtimeout: 0, provenance: "clientSupplied" } }'
        raise CommandError(50, f"operation exceeded time limit{details}") from None


async def _run(node: Node, connection: ConnectionState, db: str, body: Document, entry: Command) -> Document:
    if entry.where == "never" and not node.unlocked.is_set():
        await node.unlocked.wait()
        _check_place(node, connection, db, body, entry)
    if not entry.write_concern or db == "local":
        return await entry.run(node, connection, db, body)
    before, concern = node.store.applied.optime, node.concerns.of(body)
    try:
        reply = await entry.run(node, connection, db, body)
    except CommandError as error:
        # Even a write that was refused tells whether what it saw is replicated (recorded: 08b, step 77).
        if error.code == 51003 and (problem := await node.concerns.wait(concern, before)) is not None:
            error.extra = {"writeConcernError": problem, **error.extra}
        raise
    written = reply.pop("$written", None)
    problem = await node.concerns.wait(concern, written or max(before, node.store.applied.optime))
    if problem is not None:
        reply["writeConcernError"] = problem
    return reply


def _see_cluster_time(node: Node, body: Document) -> None:
    given = body.get("$clusterTime", {}).get("clusterTime") if isinstance(body.get("$clusterTime"), dict) else None
    if given is None or not node.topology.replicated or node.topology.config is None:
        return
    now = int(node.clock.now().timestamp())
    if given.time > now + CLUSTER_TIME_LIMIT:
        raise CommandError(205, f"New $clusterTime, {given.time}, is too far from this node's wall clock time, {now}.")
    node.cluster_time = max(node.cluster_time, given)


def _has_times(node: Node) -> bool:
    """Members that have data tell logical times (recorded: none in 04b, 04i on the arbiter, 07b, 10b)."""
    topology = node.topology
    return topology.replicated and topology.readable and topology.config is not None


def _times(node: Node) -> Document:
    if not _has_times(node):
        return {}
    applied: OpTime = node.store.applied.optime
    cluster_time: Timestamp = max(node.cluster_time, applied.ts)
    signature = node.statistics.signature(node.options.keys)
    return {
        "$clusterTime": {"clusterTime": cluster_time, "signature": {"hash": signature, "keyId": Int64(0 if not node.options.keys else 1)}},
        "operationTime": applied.ts,
    }
