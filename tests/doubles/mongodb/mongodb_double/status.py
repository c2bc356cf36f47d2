# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""replSetGetStatus (recorded: 01b, 02, 04i, 06c, 07b, 08c, 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.int64 import Int64
from bson.timestamp import Timestamp

from .config import Member
from .errors import CommandError
from .members import View
from .optime import EPOCH
from .registry import Document, command
from .states import Leader, State
from .stepdown import require_set

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node


@command("replSetGetStatus", admin_only=True)
async def get_status(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    topology = node.topology
    config, me = topology.config, topology.me
    if topology.quiesce_until is not None:
        raise CommandError(91, "shutdown in progress")
    if config is None or me is None:
        raise CommandError(93, "Our replica set config is invalid or we are not a member of it")
    metrics = topology.metrics
    initial = topology.sync_progress
    return {
        "set": config.name,
        "date": node.clock.now(),
        "myState": int(topology.state),
        "term": Int64(topology.term),
        **_source(node, topology.sync_source),
        "heartbeatIntervalMillis": Int64(config.settings["heartbeatIntervalMillis"]),
        "majorityVoteCount": config.majority,
        "writeMajorityCount": config.write_majority,
        "votingMembersCount": len(config.voters),
        "writableVotingMembersCount": len(config.writable_voters),
        "optimes": _optimes(node),
        "lastStableRecoveryTimestamp": Timestamp(0, 0) if me.arbiter or initial is not None else _stable(node),
        **({} if initial is None else {"initialSyncStatus": initial.document(node.clock.now())}),
        **({} if metrics.candidate is None else {"electionCandidateMetrics": metrics.candidate}),
        **({} if metrics.participant is None else {"electionParticipantMetrics": metrics.participant}),
        "members": [_own(node, member) if member.id == me.id else _other(node, topology.views[member.id]) for member in config.members],
    }


def _stable(node: Node) -> Timestamp:
    """What a restart would begin with: the commit point, or after one what was found on the disk (recorded: 08c, step 21)."""
    committed = node.topology.committed.optime.ts
    return committed if committed.time else node.store.durable.optime.ts


def _source(node: Node, host: str) -> Document:
    member = None if node.topology.config is None else node.topology.config.by_host(host)
    return {"syncSourceHost": host, "syncSourceId": -1 if member is None else member.id}


def _optimes(node: Node) -> Document:
    topology, store = node.topology, node.store
    applied, committed = node.applied_position(), topology.committed
    durable = store.durable if topology.pending_position is None else applied
    majority: Any = min(committed, applied)
    return {
        "lastCommittedOpTime": committed.optime.document(),
        "lastCommittedWallTime": committed.wall,
        **({"readConcernMajorityOpTime": majority.optime.document()} if majority.optime.ts.time else {}),
        "appliedOpTime": applied.optime.document(),
        "durableOpTime": durable.optime.document(),
        "lastAppliedWallTime": applied.wall,
        "lastDurableWallTime": durable.wall,
    }


def _own(node: Node, member: Member) -> Document:
    topology = node.topology
    config = topology.config
    assert config is not None
    applied, durable = node.applied_position(), node.store.durable
    if topology.pending_position is not None:
        durable = applied
    alone = len(config.members) == 1 and not topology.info_message
    optime = (
        {}
        if member.arbiter
        else {
            "optime": applied.optime.document(),
            "optimeDate": applied.optime.date,
            "lastAppliedWallTime": applied.wall,
            "lastDurableWallTime": durable.wall,
        }
    )
    return {
        "_id": member.id,
        "name": member.host,
        "health": 1.0,
        "state": int(topology.state),
        "stateStr": topology.state.text,
        "uptime": int((node.clock.now() - topology.started).total_seconds()),
        **optime,
        **_source(node, topology.sync_source),
        **({"maintenanceMode": topology.maintenance} if topology.maintenance else {}),
        "infoMessage": "Could not find member to sync from" if alone else topology.info_message,
        **_election(topology.leader is not Leader.NO, topology.election_time),
        "configVersion": config.version,
        "configTerm": config.term,
        "self": True,
        "lastHeartbeatMessage": "",
    }


def _other(node: Node, view: View) -> Document:
    config = node.topology.config
    assert config is not None
    member = config.member(view.member_id)
    assert member is not None
    down = view.health == 0
    uptime = int((node.clock.now() - view.up_since).total_seconds()) if view.up else 0
    state = State.UNKNOWN if view.auth_issue else view.state
    optimes = (
        {}
        if member.arbiter
        else {
            "optime": view.beat_applied.optime.document(),
            "optimeDurable": view.beat_durable.optime.document(),
            "optimeDate": view.beat_applied.optime.date,
            "optimeDurableDate": view.beat_durable.optime.date,
        }
    )
    return {
        "_id": view.member_id,
        "name": view.host,
        "health": view.health,
        "state": int(state),
        "stateStr": State.DOWN.text if down else state.text,
        "uptime": uptime,
        **optimes,
        **({} if member.arbiter else {"lastAppliedWallTime": view.applied.wall, "lastDurableWallTime": view.durable.wall}),
        "lastHeartbeat": view.last_heartbeat,
        "lastHeartbeatRecv": view.last_heartbeat_received,
        "pingMs": Int64(view.ping),
        "lastHeartbeatMessage": view.message,
        **({"authenticated": False} if view.auth_issue else {}),
        **_source(node, view.sync_source),
        "infoMessage": "",
        **_election(view.up and view.state is State.PRIMARY, view.election_time),
        "configVersion": view.config_version,
        "configTerm": view.config_term,
    }


def _election(is_primary: bool, time: Timestamp) -> Document:
    if not is_primary or time.time == 0:
        return {}
    return {"electionTime": time, "electionDate": EPOCH if time.time == 0 else time.as_datetime()}
