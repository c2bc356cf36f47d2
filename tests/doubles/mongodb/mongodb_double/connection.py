# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server knows of one client connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any


@dataclass
class ConnectionState:
    """One TCP connection, from accept to close.

    users: who is logged in, as {"user", "db"}. internal: logged in as __system, by the key file.
    hello_ok: the client said helloOk, so errors say "primary", not "master" (recorded: 13).
    """

    id: int
    peer: str
    hello_ok: bool = False
    handshaken: bool = False
    client_metadata: Mapping[str, Any] | None = None
    compression: list[str] = field(default_factory=list)
    users: list[dict[str, str]] = field(default_factory=list)
    internal: bool = False
    sasl: Any = None

    @property
    def loopback(self) -> bool:
        """Whether the client is on the server's own machine."""
        return ip_address(self.peer).is_loopback
