# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's connection to another member, logged in by the key file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from . import scram, wire
from .errors import CommandError

SYSTEM_USER, SYSTEM_DATABASE = "__system", "local"


class Peer:
    """Connects when first needed and anew after an error. One command at a time, others wait for their turn.

    keys: those of the key file, tried in their order; none: no login.
    """

    def __init__(self, address: str, keys: Sequence[str]) -> None:
        self._host, _colon, port = address.rpartition(":")
        self._port = int(port)
        self._keys = tuple(keys)
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def command(self, db: str, body: wire.Document, timeout: float) -> wire.Document:
        """The reply. timeout: real seconds for everything, waiting for a turn, connecting and login included.

        Raises CommandError for ok 0 and for a refused login (18); OSError or TimeoutError for the network.
        """
        async with asyncio.timeout(timeout), self._turn:
            try:
                if self._streams is None:
                    await self._connect()
                reply = await self._exchange({**body, "$db": db})
            except BaseException as error:
                # After an interruption the answer to this command could be taken for the next one's.
                self.close()
                if isinstance(error, wire.ProtocolError):
                    raise ConnectionResetError(str(error)) from error
                raise
        if reply.get("ok") != 1:
            raise _error(reply)
        return reply

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(Exception):
                self._streams[1].close()
            self._streams = None

    async def _connect(self) -> None:
        self._streams = await asyncio.open_connection(self._host, self._port)
        refusal: CommandError | None = None
        for key in self._keys:
            try:
                await self._login(key)
                return
            except CommandError as error:
                refusal = error
        if refusal is not None:
            raise refusal

    async def _login(self, key: str) -> None:
        """SCRAM-SHA-256 as __system, whose password is the key. Raises CommandError."""
        conversation = scram.ClientConversation(scram.SHA256, SYSTEM_USER, key)
        started = await self._exchange(
            {
                "saslStart": 1,
                "mechanism": scram.SHA256.name,
                "payload": conversation.first,
                "options": {"skipEmptyExchange": True},
                "$db": SYSTEM_DATABASE,
            }
        )
        if started.get("ok") != 1:
            raise _error(started)
        finished = await self._exchange(
            {
                "saslContinue": 1,
                "conversationId": started["conversationId"],
                "payload": conversation.final(started["payload"]),
                "$db": SYSTEM_DATABASE,
            }
        )
        if finished.get("ok") != 1:
            raise _error(finished)
        try:
            conversation.check(finished["payload"])
        except scram.ScramError as error:
            raise CommandError(18, "Authentication failed.") from error

    async def _exchange(self, body: wire.Document) -> wire.Document:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(wire.encode_msg(body)[1])
        await writer.drain()
        return await wire.read_reply(reader)


def _error(reply: wire.Document) -> CommandError:
    known = ("ok", "errmsg", "code", "codeName")
    extra = {key: value for key, value in reply.items() if key not in known}
    return CommandError(reply.get("code"), str(reply.get("errmsg", "")), extra, reply.get("codeName"))
