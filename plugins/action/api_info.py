# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.api_info; documented in plugins/modules/api_info.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


def served(cluster: Cluster, api_version: str) -> set[str]:
    """The kinds of one API version; empty when the cluster does not serve it. Asks the server: caches are older than CRDs."""
    try:
        listed = cluster.request("GET", f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
    except ApiError as error:
        if error.not_found:
            return set()
        raise
    return {resource["kind"] for resource in listed.get("resources") or []}


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "api_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask once for each API version."""
        wanted = [(kind, *kind.rpartition("/")[::2]) for kind in options["kinds"]]
        wrong = [kind for kind, api_version, _kind in wanted if not api_version]
        if wrong:
            raise StackgateError("kinds like traefik.io/v1alpha1/Middleware or v1/Service", ", ".join(wrong))
        cluster = self.cluster()
        known = {api_version: served(cluster, api_version) for _name, api_version, _kind in wanted}
        return {"changed": False, "served": [name for name, api_version, kind in wanted if kind in known[api_version]]}
