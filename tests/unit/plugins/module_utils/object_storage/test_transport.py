# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line gives each caller a connection of its own."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.transport import Line


class Slow(socket.socket):
    """A socket whose first use lets another thread open one meanwhile."""

    barrier = threading.Barrier(2)

    def settimeout(self, value: float | None) -> None:
        self.barrier.wait(timeout=10)
        super().settimeout(value)
        self.barrier.wait(timeout=10)


def test_two_threads_never_share_a_connection() -> None:
    line = Line("here", lambda _timeout: Slow(), 1.0)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _number: line.open(), range(2))
    with first, second:
        assert first is not second
        assert line.said == ""
