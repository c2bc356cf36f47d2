# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages on the wire: OP_MSG, and OP_QUERY with OP_REPLY as 5.0 still takes them for any command."""

from __future__ import annotations

import asyncio
import itertools
import struct
from dataclasses import dataclass
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

Document = dict[str, Any]

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
CHECKSUM_PRESENT, MORE_TO_COME, EXHAUST_ALLOWED = 1 << 0, 1 << 1, 1 << 16
# Flag bits that a receiver has to know; with any other of the lower 16 it closes (recorded: 13, step 29).
REQUIRED_BITS = 0xFFFF
KNOWN_REQUIRED_BITS = CHECKSUM_PRESENT | MORE_TO_COME
# OP_QUERY's flag SecondaryOk, OP_REPLY's flag AwaitCapable (recorded: 13, responseFlags 8).
SECONDARY_OK, AWAIT_CAPABLE = 1 << 2, 1 << 3
MAX_MESSAGE_BYTES = 48_000_000

HEADER = struct.Struct("<iiii")
INT32 = struct.Struct("<i")
UINT32 = struct.Struct("<I")
# responseFlags, cursorID, startingFrom, numberReturned
REPLY_FIELDS = struct.Struct("<iqii")
CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)

_request_ids = itertools.count(1)


class Documents(list[Document]):
    """A document sequence: an array that came in a section of its own."""


class ProtocolError(Exception):
    """The bytes are no message: the connection cannot go on."""


@dataclass(frozen=True)
class Request:
    """A command as it came. `body` holds `$db` unless the client left it out of an OP_MSG."""

    id: int
    body: Document
    op_query: bool = False
    flags: int = 0

    @property
    def database(self) -> str:
        return str(self.body.get("$db", ""))

    @property
    def wants_no_reply(self) -> bool:
        return not self.op_query and bool(self.flags & MORE_TO_COME)

    @property
    def exhaust_allowed(self) -> bool:
        return not self.op_query and bool(self.flags & EXHAUST_ALLOWED)

    @property
    def secondary_ok(self) -> bool:
        return self.op_query and bool(self.flags & SECONDARY_OK)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes] | None:
    """Request id, responseTo, opcode and payload of the next message; None at the end. Raises ProtocolError."""
    try:
        length, request_id, response_to, opcode = HEADER.unpack(await reader.readexactly(HEADER.size))
        if not HEADER.size <= length <= MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a message of {length} bytes")
        return request_id, response_to, opcode, await reader.readexactly(length - HEADER.size)
    except asyncio.IncompleteReadError:
        return None


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next command of a client; None at the end. Raises ProtocolError."""
    frame = await read_frame(reader)
    if frame is None:
        return None
    request_id, _response_to, opcode, payload = frame
    try:
        if opcode == OP_MSG:
            flags, body = _parse_msg(payload)
            return Request(request_id, body, flags=flags)
        if opcode == OP_QUERY:
            flags, body = _parse_query(payload)
            return Request(request_id, body, op_query=True, flags=flags)
    except (bson.errors.BSONError, struct.error, ValueError) as error:
        raise ProtocolError(str(error)) from error
    raise ProtocolError(f"opcode {opcode}")


def _parse_msg(payload: bytes) -> tuple[int, Document]:
    """Flags and the command, its document sequences put in as arrays. The checksum is not verified, as TCP has its own."""
    (flags,) = UINT32.unpack_from(payload)
    if flags & REQUIRED_BITS & ~KNOWN_REQUIRED_BITS:
        raise ProtocolError(f"unknown required flag bits {flags:#x}")
    position, end = UINT32.size, len(payload) - (4 if flags & CHECKSUM_PRESENT else 0)
    body: Document | None = None
    sequences: Document = {}
    while position < end:
        kind, position = payload[position], position + 1
        (size,) = INT32.unpack_from(payload, position)
        if size <= 0 or position + size > end:
            raise ProtocolError(f"a section of {size} bytes")
        section = payload[position : position + size]
        if kind == 0:
            body = bson.decode(section, CODEC)
        elif kind == 1:
            name_end = section.index(b"\0", INT32.size)
            sequences[section[INT32.size : name_end].decode()] = Documents(bson.decode_all(section[name_end + 1 :], CODEC))
        else:
            raise ProtocolError(f"a section of kind {kind}")
        position += size
    if body is None:
        raise ProtocolError("no body")
    if sequences:
        # The command's name stays first, and $db where the client put it.
        body = {**body, **sequences}
    return flags, body


def _parse_query(payload: bytes) -> tuple[int, Document]:
    """Flags and the command of a query to `<db>.$cmd`, with `$db` as an OP_MSG has it."""
    (flags,) = INT32.unpack_from(payload)
    name_end = payload.index(b"\0", INT32.size)
    namespace = payload[INT32.size : name_end].decode()
    database, _dot, collection = namespace.partition(".")
    if collection != "$cmd":
        raise ProtocolError(f"a query of {namespace}, which is no command")
    document = bson.decode_all(payload[name_end + 1 + 2 * INT32.size :], CODEC)[0]
    if "$query" in document:
        document = {**document["$query"], **{key: value for key, value in document.items() if key == "$readPreference"}}
    return flags, {**document, "$db": database}


def encode_msg(body: Document, response_to: int = 0, flags: int = 0) -> tuple[int, bytes]:
    """An OP_MSG of one document: its request id and its bytes."""
    return _frame(OP_MSG, response_to, UINT32.pack(flags) + b"\0" + bson.encode(body, codec_options=CODEC))


def encode_reply(body: Document, response_to: int) -> tuple[int, bytes]:
    """The OP_REPLY to an OP_QUERY."""
    return _frame(OP_REPLY, response_to, REPLY_FIELDS.pack(AWAIT_CAPABLE, 0, 0, 1) + bson.encode(body, codec_options=CODEC))


def _frame(opcode: int, response_to: int, payload: bytes) -> tuple[int, bytes]:
    request_id = next(_request_ids) & 0x7FFFFFFF
    return request_id, HEADER.pack(HEADER.size + len(payload), request_id, response_to, opcode) + payload


async def read_reply(reader: asyncio.StreamReader) -> Document:
    """The reply to an OP_MSG of ours. Raises ConnectionError when the other end closes, ProtocolError for rubbish."""
    frame = await read_frame(reader)
    if frame is None:
        raise ConnectionResetError("connection closed by the other end")
    _request_id, _response_to, opcode, payload = frame
    if opcode != OP_MSG:
        raise ProtocolError(f"opcode {opcode}")
    return _parse_msg(payload)[1]
