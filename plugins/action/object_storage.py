# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.object_storage; documented in plugins/modules/object_storage.py."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import desired, observe, perform, plan, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

# Ansible imports this file once, before it forks: what is loaded here costs no task anything. Who lacks it is told by the task.
with contextlib.suppress(ImportError):
    importlib.import_module("minio")


class ActionModule(StackgateAction):
    """Declares, looks, plans, performs."""

    name = "object_storage"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        options = plain(options)  # without ansible's notes of where each value came from
        cluster, namespace = self.cluster(), options["namespace"]
        entrance = reach.Entrance(cluster, namespace, *reach.target(options))
        wanted = desired.parse(options["buckets"], options["users"], self._keys(cluster, options))
        if self.check_mode:
            root = reach.keys(cluster, namespace, **options["credentials"])
            try:
                actions = self._predict(entrance, root, options["region"], wanted)
            except reach.NoWay as error:
                return {
                    "changed": False,
                    "actions": [],
                    "warnings": [f"whether buckets and users are as declared is not known: {error.seen}"],
                }
        else:
            root = reach.needed_keys(cluster, namespace, options["credentials"])
            host = task_vars.get("inventory_hostname", "")
            actions = perform.converge(
                entrance, root, options["region"], wanted, options["timeout"], lambda line: self.say(f"[{host}] object_storage: {line}")
            )
        result: dict[str, Any] = {"changed": bool(actions), "actions": [action.sentence for action in actions]}
        if self.diff_mode and actions:
            result["diff"] = perform.difference(actions)
        return result

    def _keys(self, cluster: Any, options: dict[str, Any]) -> dict[str, Keys | None]:
        """Each user's keys by the name of its Secret; None for a Secret that a run would have made by now."""
        found: dict[str, Keys | None] = {}
        for user in options["users"]:
            secret = user.get("secret")
            if not secret or user["state"] == "absent":
                continue
            found[secret] = reach.keys(cluster, options["namespace"], secret, user["access_key"], user["secret_key"])
            if found[secret] is None and not self.check_mode:
                raise StackgateError(f"Secret {secret} with S3 keys in namespace {options['namespace']}", "there is no such Secret")
        return found

    def _predict(self, entrance: reach.Entrance, root: Keys | None, region: str, wanted: desired.Desired) -> list[plan.Action]:
        """What a run would do. Where there is no store yet, everything."""
        seen = observe.Seen()
        try:
            if root is not None:
                seen = observe.observe(entrance.look(need_quorum=False).store(root, region), wanted)
        except reach.NoWay as error:
            if not error.absent:
                raise
        return plan.plan(wanted, seen)
