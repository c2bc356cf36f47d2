# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.object_storage_info; documented in plugins/modules/object_storage_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe, reach
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """Reads."""

    name = "object_storage_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        options = plain(options)
        cluster, namespace = self.cluster(), options["namespace"]
        server = reach.Entrance(cluster, namespace, *reach.target(options)).look(need_quorum=False)
        store = server.store(reach.needed_keys(cluster, namespace, options["credentials"]), options["region"])
        return {"changed": False, **observe.everything(store)}
