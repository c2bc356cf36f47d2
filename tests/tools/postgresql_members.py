# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of an instance's PostgreSQL, as Patroni tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from instance import Instance


@dataclass
class Members:
    """The members as Patroni itself tells: each writes on its own pod what it is."""

    instance: Instance

    def pods(self) -> dict[str, dict[str, Any]]:
        return {pod["metadata"]["name"]: pod for pod in self.instance.pods("app.kubernetes.io/name=postgresql")}

    def states(self) -> dict[str, tuple[str, str]]:
        """Role and state by member; that of a replica is what it does with its leader's log."""
        told = {name: json.loads(pod["metadata"].get("annotations", {}).get("status", "{}")) for name, pod in self.pods().items()}
        return {name: (status.get("role", ""), status.get("replication_state") or status.get("state", "")) for name, status in told.items()}

    def record(self, name: str) -> dict[str, str]:
        """The annotations of one of Patroni's ConfigMaps."""
        return self.instance.core.read_namespaced_config_map(name, self.instance.namespace).metadata.annotations or {}

    def leader(self) -> str:
        return self.record("postgresql-leader").get("leader", "")

    def synchronous(self) -> list[str]:
        return [name for name in self.record("postgresql-sync").get("sync_standby", "").split(",") if name]

    def whole(self, count: int = 3) -> bool:
        """A leader, everybody else streaming, and a commit waits for any one of them."""
        states = sorted(self.states().values())
        wanted = [("primary", "running"), *[("replica", "streaming")] * (count - 1)]
        ready = all(status["ready"] for pod in self.pods().values() for status in pod["status"].get("containerStatuses", []))
        leads = self.states().get(self.leader(), ("",))[0] == "primary"
        return states == wanted and ready and leads and len(self.synchronous()) == count - 1

    def node(self, member: str) -> str:
        return str(self.pods()[member]["spec"]["nodeName"])
