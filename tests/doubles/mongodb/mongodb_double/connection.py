# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member remembers about one connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ConnectionState:
    """Made by the wire for each accepted connection."""

    connection_id: int
    # Address of the other end, without its port.
    remote: str
    # Of this end, as "address:port": what the client connected to.
    local: str
    # From a loopback address, or the member's own socket: the localhost exception needs it.
    loopback: bool
    # The client said helloOk: messages then say "not primary" instead of "not master" (recorded: 13).
    hello_ok: bool = False
    # The request at hand came as OP_QUERY, and whether with the flag SecondaryOk.
    op_query: bool = False
    secondary_ok: bool = False
    # A member of the set (key file), not a client.
    internal: bool = False
    # The client document of the first hello; a second one is an error.
    client: dict[str, Any] | None = None
    # Belongs to auth.py.
    auth: Any = None
