# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's data on disk: one file that only grows, read once at start."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# Length and checksum of the BSON that follows.
FRAME = struct.Struct("<II")


class Journal:
    """Records reach the operating system at once (a killed process loses none), the disk with sync()."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None if path is None else path.open("ab", buffering=0)

    def records(self) -> Iterator[dict[str, Any]]:
        """What was written, in order; a torn end is cut off."""
        if self._path is None or self._file is None:
            return
        content, position = self._path.read_bytes(), 0
        while position + FRAME.size <= len(content):
            length, checksum = FRAME.unpack_from(content, position)
            record = content[position + FRAME.size : position + FRAME.size + length]
            if len(record) < length or zlib.crc32(record) != checksum:
                break
            yield bson.decode(record, CODEC)
            position += FRAME.size + length
        if position < len(content):
            self._file.truncate(position)

    def append(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            content = bson.encode(record, codec_options=CODEC)
            self._file.write(FRAME.pack(len(content), zlib.crc32(content)) + content)

    async def sync(self) -> None:
        """Return when everything appended so far is on the disk."""
        if self._file is not None:
            await asyncio.to_thread(os.fdatasync, self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
