# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request bodies: forms, JSON, and multipart with files that are made on the spot."""

from __future__ import annotations

import json
import re
import secrets
import struct
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class File:
    """A file of a multipart body: a generated picture, or a text."""

    png: str | None = field(
        default=None, metadata={"doc": "Width and height of a generated picture, as 64x64.", "pattern": r"\d{1,4}x\d{1,4}", "like": "64x64"}
    )
    text: str | None = field(default=None, metadata={"doc": "The file's content, instead of a picture."})
    filename: str | None = field(default=None, metadata={"doc": "The name it is sent under."})
    type: str | None = field(default=None, metadata={"doc": "Its media type."})

    def check(self) -> Iterator[tuple[str, str]]:
        """One content."""
        if (self.png is None) == (self.text is None):
            yield "png", "give either png or text"


def form_body(form: Mapping[str, Any]) -> tuple[bytes, str]:
    """(body, content type) of a form."""
    return urllib.parse.urlencode({k: str(v) for k, v in form.items()}).encode(), "application/x-www-form-urlencoded"


def json_body(value: Any) -> tuple[bytes, str]:
    """(body, content type) of a JSON value."""
    return json.dumps(value).encode(), "application/json"


def multipart_body(fields: Mapping[str, str | File]) -> tuple[bytes, str]:
    """(body, content type) of a multipart form."""
    boundary = f"stackgate-{secrets.token_hex(12)}"
    parts = []
    for name, value in fields.items():
        if isinstance(value, File):
            content = picture(*map(int, value.png.split("x"))) if value.png else (value.text or "").encode()
            filename = value.filename or ("picture.png" if value.png else "file.txt")
            kind = value.type or ("image/png" if value.png else "text/plain; charset=utf-8")
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"; filename="{_quoted(filename)}"\r\nContent-Type: {kind}'
        else:
            content, head = str(value).encode(), f'Content-Disposition: form-data; name="{_quoted(name)}"'
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _quoted(name: str) -> str:
    return re.sub(r'["\r\n]', "_", name)


def picture(width: int, height: int) -> bytes:
    """A PNG of one random colour with a gradient, so that no two are alike: an upload that is stored is a new file."""
    red, green, blue = secrets.token_bytes(3)
    row = b"".join(bytes((red, (green + x) % 256, blue)) for x in range(width))
    data = zlib.compress(b"".join(b"\x00" + row for _line in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# -- placeholders ------------------------------------------------------------------------------------------------

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def placeholders(value: Any) -> set[str]:
    """The names in ${...} anywhere in a value."""
    if isinstance(value, str):
        return set(PLACEHOLDER.findall(value))
    if isinstance(value, File):
        return placeholders([value.text, value.filename])
    if isinstance(value, Mapping):
        return {name for pair in value.items() for member in pair for name in placeholders(member)}
    if isinstance(value, list | tuple):
        return {name for member in value for name in placeholders(member)}
    return set()


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with its placeholders replaced. A text that is nothing but one placeholder takes the variable's type."""
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        return variables[whole[1]] if whole else PLACEHOLDER.sub(lambda found: str(variables[found[1]]), value)
    if isinstance(value, File):
        text = None if value.text is None else str(filled(value.text, variables))
        name = None if value.filename is None else str(filled(value.filename, variables))
        return File(png=value.png, text=text, filename=name, type=value.type)
    if isinstance(value, Mapping):
        return {filled(name, variables): filled(member, variables) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [filled(member, variables) for member in value]
    return value


def at(value: Any, path: str) -> Any:
    """A member of parsed JSON by a path such as results.0.id; LookupError names the part that is not there."""
    for part in path.split(".") if path else []:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (LookupError, ValueError, TypeError) as error:
            has = (
                ", ".join(map(str, value))
                if isinstance(value, dict)
                else f"{len(value)} members"
                if isinstance(value, list)
                else repr(value)
            )
            raise LookupError(f"no {part!r} of {path!r} in the JSON; there: {has[:200] or 'nothing'}") from error
    return value
