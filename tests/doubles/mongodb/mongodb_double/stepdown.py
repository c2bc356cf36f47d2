# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""replSetStepDown, replSetStepUp, replSetFreeze, replSetMaintenance (recorded: 05, 05b, 10b)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import Member
from .errors import CommandError
from .network import Unreachable
from .registry import Document, command
from .states import Leader, State

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

DEFAULT_PERIOD, DEFAULT_CATCH_UP = 60.0, 10.0


def require_set(node: Node) -> None:
    """Raises CommandError 76 or 94 for a member that is in no set."""
    if not node.topology.replicated:
        raise CommandError(76, "not running with --replSet")
    if node.topology.config is None:
        raise CommandError(94, "no replset config has been received")


def number(value: Any) -> float:
    """As the server reads one: anything else is 0."""
    return float(value) if isinstance(value, int | float) else 0.0


def _caught_up(node: Node) -> list[Member]:
    """Members that could be primary at once, the best first."""
    topology = node.topology
    assert topology.config is not None
    applied = node.store.applied.optime
    ready = [
        member
        for view in topology.views.values()
        if view.up and view.electable and view.applied.optime >= applied and (member := topology.config.member(view.member_id)) is not None
    ]
    return sorted((member for member in ready if member.electable), key=lambda member: -member.priority)


def _may_go(node: Node) -> bool:
    """A majority has everything, and one of it could be primary."""
    topology = node.topology
    assert topology.config is not None
    applied = node.store.applied.optime
    have = {key: pair[0].optime >= applied for key, pair in topology.positions().items()}
    return sum(have.get(member.id, False) for member in topology.config.voters) >= topology.config.majority and bool(_caught_up(node))


async def step_down(node: Node, period: float, catch_up: float, force: bool) -> None:
    """Wait until others have caught up, and be a secondary for a period. Times in seconds. Raises CommandError."""
    topology, clock = node.topology, node.clock
    if topology.leader is Leader.STEPPING_DOWN:
        raise CommandError(117, "This node is already in the process of stepping down")
    if topology.leader is not Leader.WRITABLE:
        raise CommandError(10107, "not primary so can't step down")
    topology.leader = Leader.STEPPING_DOWN
    topology.bump()
    try:
        # An exhaust hello shows this state, too (recorded: 13, step 51).
        await clock.sleep(0.001)
        ready = await topology.progress.until(lambda: topology.leader is not Leader.STEPPING_DOWN or _may_go(node), catch_up)
        if topology.leader is not Leader.STEPPING_DOWN:
            raise CommandError(
                189, "While waiting for secondaries to catch up before stepping down, this node decided to step down for other reasons"
            )
        if not ready and not force:
            date = clock.now().isoformat(timespec="milliseconds")
            raise CommandError(
                262,
                f"No electable secondaries caught up as of {date}. Please use the replSetStepDown command with the argument "
                "{force: true} to force node to step down.",
            )
    except BaseException:
        if topology.leader is Leader.STEPPING_DOWN:
            topology.leader = Leader.WRITABLE
            topology.bump()
        raise
    successors = _caught_up(node)
    topology.frozen_until = clock.monotonic() + period
    node.elections.step_down_now()
    if successors and not force:
        node.spawn(_hand_over(node, successors[0].host))


async def _hand_over(node: Node, host: str) -> None:
    try:
        await node.network.command(host, {"replSetStepUp": 1, "skipDryRun": True, "from": node.host}, 10.0, use="vote")
    except (Unreachable, CommandError):
        return


@command("replSetStepDown", admin_only=True)
async def replset_step_down(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    force = bool(body.get("force", False))
    period = number(body["replSetStepDown"])
    if period < 0:
        raise CommandError(2, "stepdown period must be a positive integer")
    period = period or DEFAULT_PERIOD
    catch_up = number(body.get("secondaryCatchUpPeriodSecs", 0.0 if force else DEFAULT_CATCH_UP))
    if catch_up < 0:
        raise CommandError(2, "secondaryCatchUpPeriodSecs period must be a positive or absent")
    if period < catch_up:
        raise CommandError(2, "stepdown period must be longer than secondaryCatchUpPeriodSecs")
    await step_down(node, period, catch_up, force)
    return {}


@command("replSetStepUp", admin_only=True)
async def replset_step_up(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    skip = bool(body.get("skipDryRun", False))
    if not await node.elections.run("stepUpRequestSkipDryRun" if skip else "stepUpRequest", dry_run=not skip):
        raise CommandError(125, "Election failed.")
    return {}


@command("replSetFreeze", admin_only=True)
async def replset_freeze(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    topology, seconds = node.topology, number(body["replSetFreeze"])
    if topology.leader is not Leader.NO or topology.candidate:
        state = "Primary" if topology.leader is not Leader.NO else "Candidate"
        raise CommandError(95, f"Cannot freeze node when primary or running for election, state: {state}")
    if seconds <= 0:
        topology.frozen_until = 0.0
        node.elections.if_alone()
        return {"info": "unfreezing"} if seconds == 0 else {}
    topology.frozen_until = max(topology.frozen_until, node.clock.monotonic() + seconds)
    return {"warning": "you really want to freeze for only 1 second?"} if seconds == 1 else {}


@command("replSetMaintenance", admin_only=True)
async def replset_maintenance(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    require_set(node)
    topology = node.topology
    if topology.state is State.PRIMARY:
        raise CommandError(95, "primaries can't modify maintenance mode")
    if body["replSetMaintenance"]:
        topology.maintenance += 1
    elif topology.maintenance == 0:
        raise CommandError(96, "already out of maintenance mode")
    else:
        topology.maintenance -= 1
    topology.bump()
    return {}
