# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server writes BSON into its messages."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from bson.binary import UUID_SUBTYPE, Binary
from bson.objectid import ObjectId
from bson.timestamp import Timestamp


def text(value: Any) -> str:
    """As in `{ _id: 0, host: "a:1", tags: {}, priority: 1.0 }` (recorded: 03b, 08a)."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return repr(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return "{ " + ", ".join(f"{key}: {text(inner)}" for key, inner in value.items()) + " }" if value else "{}"
        case list():
            return "[ " + ", ".join(text(inner) for inner in value) + " ]" if value else "[]"
        case ObjectId():
            return f"ObjectId('{value}')"
        case Timestamp():
            return f"Timestamp({value.time}, {value.inc})"
        case Binary() if value.subtype == UUID_SUBTYPE:
            return f'UUID("{uuid.UUID(bytes=bytes(value))}")'
        case uuid.UUID():
            return f'UUID("{value}")'
        case bytes():
            return f"BinData({getattr(value, 'subtype', 0)}, {value.hex().upper()})"
        case datetime():
            return f"new Date({int(value.timestamp() * 1000)})"
    return str(value)


def type_name(value: Any) -> str:
    """The server's name of a value's BSON type."""
    names: dict[type, str] = {bool: "bool", int: "int", float: "double", str: "string", dict: "object", list: "array"}
    for kind, name in names.items():
        if type(value) is kind:  # pylint: disable=unidiomatic-typecheck
            return name
    return {"NoneType": "null", "Int64": "long", "ObjectId": "objectId", "datetime": "date"}.get(type(value).__name__, "object")
