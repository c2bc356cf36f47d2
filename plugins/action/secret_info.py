# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.secret_info; documented in plugins/modules/secret_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles.secrets import checksum
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "secret_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Read and digest."""
        names = sorted(set(options["names"]))
        cluster = self.cluster() if names else None
        found = {name: cluster.get("v1", "Secret", name, options["namespace"]) for name in names} if cluster else {}
        return {
            "changed": False,
            "checksums": {name: checksum(secret) if secret else "" for name, secret in found.items()},
            "missing": [name for name, secret in found.items() if not secret],
        }
