# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.mongodb_replica_set_info; documented in plugins/modules/mongodb_replica_set_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import report
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.plugins.plugin_utils import mongodb
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "mongodb_replica_set_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask everybody once."""
        with mongodb.access(options, self.cluster) as access:
            observed = Observer(access.members, options["name"], access.names, options["answer_timeout"]).observe()
        sets = {identity: [access.names.get(host, host) for host in hosts] for identity, hosts in observed.sets.items()}
        return {"changed": False, "sets": sets, **report.set_data(observed, access.names)}
