# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.namespace; documented in plugins/modules/namespace.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles.namespace import ensure, remove
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "namespace"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Make or delete."""
        cluster = self.cluster()
        present = options["state"] == "present"
        if present:
            labels = {str(key): str(value) for key, value in options["labels"].items()}
            outcome = ensure(cluster, options["name"], labels, dry_run=self.check_mode)
        else:
            outcome = remove(cluster, options["name"], dry_run=self.check_mode)
        result: dict[str, Any] = {"changed": outcome.changed, "exists": present or bool(outcome.warning), "lacking": outcome.lacking}
        if outcome.warning:
            result["warnings"] = [outcome.warning]
        if self.diff_mode and outcome.changed and present:
            result["diff"] = {"before": {"labels": outcome.before}, "after": {"labels": outcome.after}}
        return result
