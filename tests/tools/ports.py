# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for servers of tests."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

# Below the kernel's range for outgoing connections: one of those would take a port while its server is away.
FIRST, LAST = 15000, 32000
# Tests that run beside each other take ports from shares of their own: between the choice and the server's start a port is free.
SHARES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_given: deque[int] = deque(maxlen=500)


def free_ports(number: int, address: str = "127.0.0.1") -> list[int]:
    """Ports of an address (empty: of all) that nobody listens on, and that this process has not got lately."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(FIRST + SHARE, LAST, SHARES)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        _given.append(port)
        found.append(port)
    return found
