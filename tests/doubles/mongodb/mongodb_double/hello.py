# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hello and isMaster: who we are in the set (recorded: 01, 02, 04i, 07b, 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.int64 import Int64
from bson.objectid import ObjectId

from . import auth
from .errors import CommandError
from .registry import Document, command
from .states import Leader, State

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

MAX_WIRE_VERSION = 13


def election_id(term: int) -> ObjectId:
    return ObjectId(f"7fffffff{term:016x}")


def topology_version(node: Node) -> Document:
    return {"processId": node.topology.process_id, "counter": Int64(node.topology.version)}


def member_document(node: Node, writable_name: str) -> Document:
    """What a member says of its set; of being in none, or removed from it, the same."""
    topology = node.topology
    config, me = topology.config, topology.me
    if config is None or me is None:
        info = "Does not have a valid replica set config"
        return {writable_name: False, "secondary": False, "info": info, "isreplicaset": True}
    shown = [member for member in config.members if not member.hidden and member.delay == 0]
    data = [member for member in shown if not member.arbiter]
    hosts = [member.host for member in data if member.effective_priority > 0]
    passives = [member.host for member in data if member.effective_priority == 0]
    arbiters = [member.host for member in shown if member.arbiter]
    draining = topology.leader is Leader.DRAINING
    delay_name = "slaveDelay" if writable_name == "ismaster" or config.old_delay_name else "secondaryDelaySecs"
    return {
        **({"hosts": hosts} if hosts else {}),
        **({"passives": passives} if passives else {}),
        **({"arbiters": arbiters} if arbiters else {}),
        "setName": config.name,
        "setVersion": config.version,
        writable_name: topology.leader is Leader.WRITABLE,
        "secondary": topology.state is State.SECONDARY or draining,
        **({} if topology.primary_host is None else {"primary": topology.primary_host}),
        **({"arbiterOnly": True} if me.arbiter else {}),
        **({"passive": True} if me.effective_priority == 0 and not me.arbiter else {}),
        **({"hidden": True} if me.hidden else {}),
        **({} if me.build_indexes else {"buildIndexes": False}),
        **({delay_name: Int64(me.delay)} if me.delay else {}),
        **({"tags": me.tags} if me.tags else {}),
        "me": me.host,
        **({} if topology.leader is Leader.NO else {"electionId": election_id(topology.term)}),
        "lastWrite": last_write(node),
    }


def last_write(node: Node) -> Document:
    applied, committed = node.applied_position().optime, node.topology.committed.optime
    document: Document = {"opTime": applied.document(), "lastWriteDate": applied.date}
    if committed.ts.time:
        document |= {"majorityOpTime": committed.document(), "majorityWriteDate": committed.date}
    return document


@command("hello", before_login=True)
async def hello(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return await _answer(node, connection, body, "isWritablePrimary")


@command("isMaster", "ismaster", before_login=True)
async def is_master(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return await _answer(node, connection, body, "ismaster")


async def _answer(node: Node, connection: ConnectionState, body: Document, writable_name: str) -> Document:
    if "client" in body and connection.client is not None:
        raise CommandError(186, "The client metadata document may only be sent in the first hello", name="ClientMetadataCannotBeMutated")
    if connection.client is None:
        connection.client = body.get("client", {})
    await _await_change(node, body)
    reply: Document = {}
    if "helloOk" in body:
        connection.hello_ok = connection.hello_ok or bool(body["helloOk"])
        reply["helloOk"] = True
    version = topology_version(node)
    if node.topology.replicated:
        reply |= {"topologyVersion": version, **member_document(node, writable_name)}
    else:
        reply |= {writable_name: True, "topologyVersion": version}
    reply |= {
        "maxBsonObjectSize": 16777216,
        "maxMessageSizeBytes": 48000000,
        "maxWriteBatchSize": 100000,
        "localTime": node.clock.now(),
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": connection.connection_id,
        "minWireVersion": 0,
        "maxWireVersion": MAX_WIRE_VERSION,
        "readOnly": False,
    }
    return {**reply, **auth.hello_fields(connection, node, body)}


async def _await_change(node: Node, body: Document) -> None:
    """Wait until something differs from the version that the client knows. Raises CommandError 31368, 31382, 91."""
    topology = node.topology
    known, seconds = body.get("topologyVersion"), body.get("maxAwaitTimeMS")
    if (known is None) != (seconds is None):
        raise CommandError(
            31368,
            "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'"
            if seconds is None
            else "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'",
        )
    if known is not None and known["processId"] == topology.process_id:
        if known["counter"] > topology.version:
            raise CommandError(
                31382,
                f"Received a topology version with counter: {known['counter']} which is greater than the server topology version "
                f"counter: {topology.version}",
            )
        current = topology.version
        if known["counter"] == current:
            changed = topology.changed
            await changed.until(lambda: topology.version != current or topology.quiesce_until is not None, seconds / 1000)
    if topology.quiesce_until is not None:
        left = max(0.0, topology.quiesce_until - node.clock.monotonic())
        raise CommandError(
            91, "The server is in quiesce mode and will shut down", {"remainingQuiesceTimeMillis": Int64(round(left * 1000))}
        )
