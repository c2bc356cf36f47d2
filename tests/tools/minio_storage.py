# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MinIO servers of this machine, and the collection's way to them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from minio_servers import MinioServers
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import desired, observe, perform, plan
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused, Server, Store


class Storage(MinioServers):
    """Servers that can be spoken to as a task does: over sockets that are handed to it."""

    def server(self, member: int, timeout: float = 10.0) -> Server:
        host, port = self.address(member).rsplit(":", 1)
        return Server(
            self.address(member),
            self.address(member),
            lambda seconds: socket.create_connection((host, int(port)), seconds),
            timeout=timeout,
        )

    @property
    def servers(self) -> list[Server]:
        return [self.server(member) for member in range(len(self.ports))]

    @property
    def root(self) -> Keys:
        return Keys(self.access_key, self.secret_key)

    def store(self, member: int = 0, keys: Keys | None = None) -> Store:
        return self.server(member).store(keys or self.root)

    def wait(self, status: int = 200, path: str = "/minio/health/cluster", members: tuple[int, ...] = ()) -> None:
        """As of all servers; healthy ones also know their users by then, which they load after they say that they are healthy."""
        super().wait(status, path, members)
        asked = members or self.running if status == 200 else ()
        until(f"all of members {asked} know their users", lambda: all(self._knows_users(member) for member in asked), pause=0.2)

    def _knows_users(self, member: int) -> bool:
        try:
            self.store(member).users()
        except Refused as error:
            if error.for_now:
                return False
            raise
        return True

    def declare(
        self, buckets: Sequence[Mapping[str, Any]] = (), users: Sequence[Mapping[str, Any]] = (), keys: Mapping[str, Keys] | None = None
    ) -> list[str]:
        """What the module does with such options; the sentences of what was done."""
        wanted = desired.parse(buckets, users, keys or {})
        store = self.store()
        actions = plan.plan(wanted, observe.observe(store, wanted))
        perform.perform(store, actions)
        return [action.sentence for action in actions]
