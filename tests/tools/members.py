# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do in the forum, as calls of its API."""

from __future__ import annotations

import secrets
import struct
import zlib

from visitor import Answer, Visitor


def png(red: int, green: int, blue: int, edge: int = 512) -> bytes:
    """A square picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * edge) * edge
    head = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def a_category(visitor: Visitor) -> int:
    """A category that the visitor may post in."""
    return next(entry["id"] for entry in visitor.get("/api/threads/editor/").json() if entry.get("post"))


def new_thread(visitor: Visitor, text: str, **more: object) -> Answer:
    data = {"category": a_category(visitor), "title": f"Test {secrets.token_hex(6)}", "post": text, **more}
    answer = visitor.post("/api/threads/", data)
    assert answer.status == 200, answer.text
    return answer


def member(visitor: Visitor) -> str:
    """The name of a new account, made the way a person makes one, and logged in."""
    name = f"Ana{secrets.token_hex(4)}"
    assert visitor.get("/").status == 200
    account = {"username": name, "email": f"{name.lower()}@example.org", "password": secrets.token_urlsafe(16)}
    answer = visitor.post("/api/users/", account)
    assert answer.status == 200, answer.text
    assert answer.json()["activation"] == "active"
    return name
