# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for servers of tests."""

from __future__ import annotations

import random
import socket

# Below the kernel's range for outgoing connections: one of those would take a port while its server is away.
FIRST, LAST = 15000, 32000


def free_ports(number: int, address: str = "127.0.0.1") -> list[int]:
    """Ports of an address (empty: of all) that nobody listens on, no two the same."""
    found: list[int] = []
    while len(found) < number:
        port = random.randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
