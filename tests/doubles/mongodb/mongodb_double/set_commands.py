# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands on the set and between its members that have no file of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.objectid import ObjectId

from . import (  # pylint: disable=unused-import
    status,  # noqa: F401 - registers replSetGetStatus
    stepdown,  # noqa: F401 - registers replSetStepDown and its like
)
from .bsontext import text
from .config import Config, ConfigError, Member, parse
from .config_rules import validate
from .errors import CommandError
from .faults import HOLD_INITIAL_SYNC
from .reconfigurations import not_electable
from .registry import Document, command
from .self_detection import default_host, find_self
from .states import Leader
from .stepdown import require_set

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

DEFAULT_INFO = "no configuration specified. Using a default configuration for the set"


@command("replSetInitiate", admin_only=True)
async def initiate(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """The checks in the server's order (recorded: 03a, 03b, 09b)."""
    if not node.topology.replicated:
        raise CommandError(76, "This node was not started with the replSet option")
    with node.reconfigurations.initiating():
        given, reply = body["replSetInitiate"], {}
        if not isinstance(given, dict) or not given:
            host = default_host(node)
            given = {"_id": node.topology.set_name, "version": 1, "members": [{"_id": 0, "host": host}]}
            reply = {"info2": DEFAULT_INFO, "me": host}
        try:
            config, me = await _first_config(node, given if "version" in given else {**given, "version": 1})
        except ConfigError as error:
            raise CommandError(93, str(error)) from None
        await node.reconfigurations.initiate(config, me)
    return reply


async def _first_config(node: Node, given: Document) -> tuple[Config, Member]:
    """The configuration, and ourselves in it. Raises ConfigError."""
    name = node.topology.set_name
    if isinstance(given.get("settings"), dict) and "replicaSetId" in given["settings"]:
        raise ConfigError(f"replica set configuration cannot contain 'replicaSetId' field when called from replSetInitiate: {text(given)}")
    config = parse(given).with_(term=0, set_id=ObjectId())
    if config.name != name:
        raise ConfigError(
            "Rejecting initiate with a set name that differs from command line set name, "
            f"initiate set name: {config.name}, command line set name: {name}"
        )
    validate(config)
    if config.version != 1:
        raise ConfigError(f"Configuration used to initiate a replica set must  have version 1, but found {config.version}")
    found = await find_self(node, config)
    where = f"in new configuration with {config.stamp} for replica set {config.name}"
    if not found:
        raise ConfigError(f"No host described {where} maps to this node")
    if len(found) > 1:
        raise ConfigError(f"The hosts {' and '.join(member.host for member in found)} all map to this node {where}")
    if not found[0].electable:
        raise ConfigError(not_electable(found[0], config))
    return config, found[0]


@command("replSetReconfig", admin_only=True)
async def reconfig(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    limit = body.get("maxTimeMS")
    # Anything but false, null and 0 is true (recorded: 04d, step 50).
    force = bool(body.get("force", False))
    await node.reconfigurations.reconfigure(body["replSetReconfig"], force, float(limit) / 1000 if limit else None)
    return {}


@command("replSetGetConfig", admin_only=True)
async def get_config(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    topology = node.topology
    assert topology.config is not None
    reply: dict[str, Any] = {"config": topology.config.document(hide_newly_added=True)}
    if body.get("commitmentStatus"):
        if topology.leader is not Leader.WRITABLE:
            raise CommandError(10107, "commitmentStatus is only supported on primary.")
        reply["commitmentStatus"] = topology.config_is_committed() and topology.old_writes_are_committed()
    return reply


@command("replSetHeartbeat", admin_only=True, internal=True)
async def heartbeat(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return node.heartbeats.answer(body)


@command("replSetRequestVotes", admin_only=True, internal=True)
async def request_votes(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    return await node.elections.vote(body)


@command("replSetGetRBID", admin_only=True)
async def get_rollback_id(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    return {"rbid": node.store.rollback_id}


@command("replSetResizeOplog", admin_only=True)
async def resize_oplog(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    if node.topology.config is None:
        raise CommandError(26, "oplog does not exist")
    return {}


@command("appendOplogNote", admin_only=True, where="never", write_concern=True)
async def append_oplog_note(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {"$written": node.replicate("n", "", body.get("data", {})).optime}


@command("configureFailPoint", admin_only=True)
async def configure_fail_point(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    """The one that holds an initial sync (recorded: 07b)."""
    if body["configureFailPoint"] != HOLD_INITIAL_SYNC:
        raise CommandError(60, f"{body['configureFailPoint']} not found", name="FailPointSetFailed")
    hold = body.get("mode") != "off"
    node.faults.order({"order": "hold_initial_sync", "hold": hold})
    return {"count": 0}
