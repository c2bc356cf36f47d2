# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents as the server's messages show them (recorded: 08a, 08b): { ping: 1, $db: "admin" }."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Binary, ObjectId, Timestamp


def shell_text(value: Any) -> str:
    """A value of a document, or a whole one."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key}: {shell_text(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[ " + ", ".join(map(shell_text, value)) + " ]" if value else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Binary) and value.subtype == 4:
        return f'UUID("{value.as_uuid()}")'
    if isinstance(value, bytes):
        return f"BinData({getattr(value, 'subtype', 0)}, {value.hex().upper()})"
    if isinstance(value, Timestamp):
        return f"Timestamp({value.time}, {value.inc})"
    if isinstance(value, ObjectId):
        return f"ObjectId('{value}')"
    if isinstance(value, datetime):
        return f"new Date({int(value.timestamp() * 1000)})"
    return str(value)
