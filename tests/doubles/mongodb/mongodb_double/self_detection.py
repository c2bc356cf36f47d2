# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which member of a configuration we are: the one whose address leads to this process (recorded: 09, 09b, 10)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from .config import Config, Member, with_port
from .errors import CommandError
from .network import Unreachable
from .registry import Document, command

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

# Seconds that we wait for an address to tell who it is.
PATIENCE = 30.0


@command("_isSelf", admin_only=True, before_login=True)
async def is_self(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return {"id": node.topology.process_id}


async def find_self(node: Node, config: Config) -> list[Member]:
    """The members that are this process: by their address alone, else by asking all of them."""
    by_address = await asyncio.gather(*(_is_own_address(node, member.host) for member in config.members))
    found = [member for member, own in zip(config.members, by_address, strict=True) if own]
    if not found:
        answers = await asyncio.gather(*(_answers_as_self(node, member.host) for member in config.members))
        found = [member for member, own in zip(config.members, answers, strict=True) if own]
    return found


async def _is_own_address(node: Node, host: str) -> bool:
    with contextlib.suppress(Unreachable):
        address, _colon, port = (await node.network.resolve(host)).rpartition(":")
        if int(port) != node.options.port:
            return False
        bound = node.options.bind_ip.split(",")
        if "0.0.0.0" in bound or "*" in bound or "::" in bound:
            return _is_local(address)
        return address in bound or (ip_address(address).is_loopback and "localhost" in bound)
    return False


def _is_local(address: str) -> bool:
    """An address of this machine is one that can be bound."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


async def _answers_as_self(node: Node, host: str) -> bool:
    try:
        reply = await node.network.command(host, {"_isSelf": 1}, PATIENCE, use="self")
    except (Unreachable, CommandError):
        return False
    finally:
        node.network.forget(host, "self")
    return bool(reply.get("id") == node.topology.process_id)


def default_host(node: Node) -> str:
    """Our address, for a configuration that the server makes itself (recorded: 01b)."""
    bound = node.options.bind_ip.split(",")[0]
    name = socket.gethostname() if bound in ("0.0.0.0", "*", "::") else bound
    return with_port(f"{name}:{node.options.port}")
