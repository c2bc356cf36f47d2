# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.patroni_cluster_info; documented in plugins/modules/patroni_cluster_info.py."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observe, report, store
from ansible_collections.stackgate.k3s.plugins.plugin_utils import patroni
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "patroni_cluster_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask everybody once."""
        cluster = functools.cache(self.cluster)
        members = patroni.access(options, cluster)
        found = observe.observe(members)
        configuration = observe.configuration(members, found) if found.initialised else None
        if configuration is None and options["namespace"]:
            with contextlib.suppress(StackgateError):  # nobody answers, and there may not even be a namespace
                configuration = store.configuration(cluster(), str(options["namespace"]), members.scope)
        secrets: dict[str, str] = {}
        if options["namespace"]:
            with contextlib.suppress(StackgateError):  # here, too
                secrets = store.secret_volumes(cluster(), str(options["namespace"]), members.scope)
        return {"changed": False, **report.cluster_data(found, configuration), "secret_volumes": secrets}
