# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task that makes a Secret's values once. What it does is in module_utils/secrets."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.prepare import Component
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import store, values
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """stackgate.k3s.generated_secret"""

    name = "generated_secret"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then make, update or delete the Secret."""
        options = plain(options)  # without ansible's notes of where each value came from
        instance = options["instance"] or str(task_vars["inventory_hostname"])
        component = Component(options["component"], instance, options["namespace"], options["part_of"] or instance)
        place = store.Place(options["name"], options["namespace"], options["type"], component.labels)
        if options["state"] == "absent":
            outcome = store.remove(self.cluster(), place, self.check_mode)
        else:
            wanted = values.request(options["generate"], options["values"], options["fields"], options["rotate"])
            outcome = store.ensure(self.cluster(), place, wanted, self.check_mode)
        result: dict[str, Any] = {"changed": outcome.changed, "keys": outcome.actions, "checksum": outcome.checksum}
        if self.diff_mode and outcome.diff:
            result["diff"] = [outcome.diff]
        return result
