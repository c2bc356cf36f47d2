# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking all members of a configuration that is proposed (recorded: 03b, 04e, 04f, 06c, 08c)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bson.int64 import Int64

from .config import Config, Member
from .errors import CommandError
from .network import Unreachable

if TYPE_CHECKING:
    from .node import Node


async def check(node: Node, config: Config, initiate: bool) -> None:
    """Raises CommandError 103 when a member refuses for good, 74 when too few answer. Waits for every answer."""
    me = node.topology.my_id if not initiate else next(member.id for member in config.members if member.host == node.host)
    others = [member for member in config.members if member.id != me]
    failed: list[tuple[str, str]] = []
    responded = [member for member in config.members if member.id == me]
    vetoes: list[str] = []

    async def ask(member: Member) -> None:
        body = node.heartbeats.request(config.stamp, check_empty=initiate)
        body |= {"from": next(m.host for m in config.members if m.id == me), "fromId": me, "primaryId": Int64(-1)}
        # The server puts fromId right after from.
        body = _in_order(body)
        seconds = float(config.settings["heartbeatTimeoutSecs"])
        try:
            reply = await node.network.command(member.host, body, seconds, use="quorum", patient=True)
        except Unreachable as error:
            failed.append((member.host, str(error)))
            return
        except CommandError as error:
            if error.code_name == "InconsistentReplicaSetNames":
                vetoes.append(f"Our set name did not match that of the request target, requestTarget:{member.host}")
            else:
                failed.append((member.host, error.errmsg))
            return
        finally:
            if initiate:
                node.network.forget(member.host, "quorum")
        theirs = reply.get("$replData", {}).get("replicaSetId")
        # Of a set that had no primary yet nothing is said (recorded: 03c).
        if initiate and theirs is not None and int(reply.get("term", 0)) > 0:
            vetoes.append(
                f"Our replica set ID did not match that of our request target, replSetId: {config.set_id}, requestTarget: {member.host}, "
                f"requestTargetReplSetId: {theirs}"
            )
            return
        responded.append(member)

    await asyncio.gather(*(ask(member) for member in others))
    if vetoes:
        raise CommandError(103, vetoes[0])
    failures = ", ".join(f"{host} failed with {reason}" for host, reason in failed)
    if initiate:
        if failed:
            raise CommandError(
                74, f"replSetInitiate quorum check failed because not all proposed set members responded affirmatively: {failures}"
            )
        return
    voters = [member for member in responded if member.voter]
    problem = ""
    if len(voters) < config.majority:
        hosts = ", ".join(member.host for member in voters)
        problem = (
            f"not enough voting nodes responded; required {config.majority} but only the following {len(voters)} voting nodes "
            f"responded: {hosts}"
        )
    elif not any(member.electable for member in responded):
        problem = "no electable nodes responded; at least one required for config"
    if problem:
        tail = f"; the following nodes did not respond affirmatively: {failures}" if failures else ""
        raise CommandError(74, f"Quorum check failed because {problem}{tail}")


def _in_order(body: dict[str, object]) -> dict[str, object]:
    first = {
        key: value for key, value in body.items() if key in ("replSetHeartbeat", "checkEmpty", "configVersion", "configTerm", "hbv", "from")
    }
    return {**first, "fromId": body["fromId"], **body}
