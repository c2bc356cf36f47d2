# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.service_info; documented in plugins/modules/service_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "service_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Read each."""
        names = sorted(set(options["names"]))
        cluster = self.cluster() if names else None
        found = {name: cluster.get("v1", "Service", name, options["namespace"]) for name in names} if cluster else {}
        addresses = {name: str((service or {}).get("spec", {}).get("clusterIP") or "None") for name, service in found.items()}
        return {"changed": False, "addresses": {name: address for name, address in addresses.items() if address != "None"}}
