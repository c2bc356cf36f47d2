# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.single_points_info; documented in plugins/modules/single_points_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.single_points import single_points
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "single_points_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Look, and warn."""
        found = single_points(self.cluster(), options["ingress_namespace"], options["namespace"] or "")
        return {"changed": False, "single_points": found, "warnings": list(found)}
