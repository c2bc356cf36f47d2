# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.object_storage_rollout; documented in plugins/modules/object_storage_rollout.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _web
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.rollout import Rollout, decide
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

# Seconds for an answer of a server that is just starting, or on a node that is just dying.
PATIENCE = 10.0


class ActionModule(StackgateAction):
    """Looks at the pods, decides, and goes."""

    name = "object_storage_rollout"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        options = plain(options)
        cluster, namespace = self.cluster(), options["namespace"]
        templates = _templates(cluster, namespace, options["stateful_sets"])
        pods = Pods(cluster, namespace, {name: name for name in templates})
        pending = pods.pending()
        nothing = {"changed": False, "restarted": [], "how": "", "reason": ""}
        if not pending:
            return nothing
        live = pods.live()
        how, reason = decide(options["how"], {name: live[name] for name in pending if name in live}, templates, len(templates))
        if self.check_mode:
            return {"changed": True, "restarted": list(pending), "how": how, "reason": reason}
        tls = (
            _web.Tls(options["tls_name"] or "", options["tls_ca_cert"] or "", options["tls_verify"])
            if options["scheme"] == "https"
            else None
        )
        servers = {name: reach.pod_server(cluster, namespace, name, int(options["port"] or 9000), tls, PATIENCE) for name in templates}
        root = reach.needed_keys(cluster, namespace, options["credentials"])

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] object_storage_rollout: {line}")

        say(f"{len(pending)} of {len(templates)} pods restart, {'all at once' if how == 'at_once' else 'one at a time'}: {reason}")
        rollout = Rollout(
            pods, servers, lambda server: health.drives_of(server.store(root, options["region"]).info()), say, options["timeout"]
        )
        try:
            rollout.run(how)
        except StackgateError as error:
            error.details = {"changed": bool(rollout.restarted), "restarted": rollout.restarted, **error.details}
            raise
        return {"changed": True, "restarted": rollout.restarted, "how": how, "reason": reason}


def _templates(cluster: Cluster, namespace: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Each pod that there should be, with its template. A StatefulSet that is yet to be made (check mode) has none."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        owner = cluster.get("apps/v1", "StatefulSet", name, namespace)
        if owner:
            found.update({f"{name}-{number}": owner["spec"]["template"] for number in range(int(owner["spec"].get("replicas", 1)))})
    return found
