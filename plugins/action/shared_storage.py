# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.shared_storage; documented in plugins/modules/shared_storage.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils import shared_storage
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """Asks the memory first."""

    name = "shared_storage"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        namespace, names = str(options["namespace"]), list(dict.fromkeys(map(str, options["storage_classes"])))
        if options["state"] == "absent":
            return {"changed": shared_storage.forget(self.cluster(), namespace, self.check_mode), "proofs": {}, "unproved": {}}
        result: dict[str, Any] = {"changed": False, "proofs": {}, "unproved": {}}
        if names:
            cluster = self.cluster()
            for name in names:
                self._one(cluster, namespace, name, options, result, task_vars)
        return result

    def _one(
        self, cluster: Cluster, namespace: str, name: str, options: dict[str, Any], result: dict[str, Any], task_vars: dict[str, Any]
    ) -> None:
        wanted = shared_storage.storage_class(cluster, name)
        proof = shared_storage.remembered(cluster, namespace, wanted)
        if proof:
            result["proofs"][name] = proof
            return
        missing = _no_namespace(cluster, namespace)
        if missing or self.check_mode:
            result["unproved"][name] = missing or "two pods would share a volume"
            # Without the namespace, a task that is not required leaves it to a later one.
            result["changed"] |= self.check_mode and (options["required"] or not missing)
            return
        if not options["image"]:
            raise StackgateError("an image with a shell for the pods", "the option image is empty")

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] shared_storage: {line}")

        try:
            proof = shared_storage.Proof(
                cluster, namespace, wanted, str(options["image"]), str(options["pull_secret"]), options["timeout"], say
            ).make()
        except shared_storage.NotTried as error:
            if options["required"]:
                raise
            result["unproved"][name] = error.seen
            return
        shared_storage.remember(cluster, namespace, wanted, proof)
        say(f"storage class {wanted.name}: {proof}")
        result["proofs"][name] = proof
        result["changed"] = True


def _no_namespace(cluster: Cluster, namespace: str) -> str:
    """Why nothing can be tried in the namespace; empty when it is there, or when this identity may not know."""
    try:
        found = cluster.get("v1", "Namespace", namespace)
    except ApiError as error:
        if error.forbidden:
            return ""
        raise
    if found is None or found["metadata"].get("deletionTimestamp"):
        return f"there is no namespace {namespace} yet"
    return ""
