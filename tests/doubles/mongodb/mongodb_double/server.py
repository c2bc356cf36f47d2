# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listening side: connections, one request after the other on each, and the stream of an exhaust hello."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import traceback
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from . import log, wire
from .connection import ConnectionState
from .errors import CommandError, ConnectionDropped

if TYPE_CHECKING:
    from .node import Node

HANDSHAKES = ("hello", "isMaster", "ismaster")


class Server:
    """Listens for a node. start() returns when all addresses listen, so that the node may look for itself."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, addresses: Sequence[str], port: int) -> None:
        """Raises OSError when an address is taken or not ours."""
        self._listener = await asyncio.start_server(self._accepted, list(addresses), port, backlog=512)

    def stop(self) -> None:
        """Close the listeners and every connection, without an answer to what is under way."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        remote, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        connection = ConnectionState(
            connection_id=next(self._ids),
            remote=remote[0],
            local=f"{local[0]}:{local[1]}",
            loopback=ip_address(remote[0]).is_loopback,
        )
        try:
            while (request := await wire.read_request(reader)) is not None:
                await self._answer(connection, request, writer)
        except (ConnectionDropped, ConnectionError, wire.ProtocolError):
            pass
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    async def _answer(self, connection: ConnectionState, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        """Send one reply; to an exhaust hello one after the other, each in answer to the one before (recorded: 13, step 27)."""
        response_to = request.id
        while True:
            reply = await self._run(connection, request)
            if request.wants_no_reply:
                return
            streaming = _streams(request, reply)
            if request.op_query:
                _id, message = wire.encode_reply(reply, response_to)
            else:
                response_to, message = wire.encode_msg(reply, response_to, wire.MORE_TO_COME if streaming else 0)
            writer.write(message)
            await writer.drain()
            if not streaming:
                return
            request = replace(request, body={**request.body, "topologyVersion": reply["topologyVersion"]})

    async def _run(self, connection: ConnectionState, request: wire.Request) -> wire.Document:
        connection.op_query, connection.secondary_ok = request.op_query, request.secondary_ok
        try:
            return await self._node.command(connection, request.database, request.body)
        except CommandError as error:
            return error.reply()
        except (ConnectionDropped, asyncio.CancelledError):
            raise
        except Exception as error:  # the double itself is wrong: say so where a test looks
            log.write("E", "COMMAND", 5000, f"conn{connection.connection_id}", "Command failed", error=traceback.format_exc())
            return CommandError(1, f"{type(error).__name__}: {error}").reply()


def _streams(request: wire.Request, reply: wire.Document) -> bool:
    """Whether the client gets hello after hello without asking again: it allowed it, and waits for changes."""
    return (
        request.exhaust_allowed
        and next(iter(request.body), "") in HANDSHAKES
        and "maxAwaitTimeMS" in request.body
        and "topologyVersion" in reply
        and reply["ok"] == 1
    )
