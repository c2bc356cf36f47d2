# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.patroni_cluster; documented in plugins/modules/patroni_cluster.py."""

from __future__ import annotations

import functools
import json
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import desired, report, store
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.execute import CONFIGURATION, Entry, Execution, Outcome, Request
from ansible_collections.stackgate.k3s.plugins.plugin_utils import patroni
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "patroni_cluster"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or do what is wanted."""
        options = plain(options)  # without ansible's notes of where each value came from
        if options["phase"] == "forget":
            return self._forget(str(options["scope"]), str(options["namespace"] or ""), options["timeout"])
        cluster = functools.cache(self.cluster)
        members = patroni.access(options, cluster, self.check_mode)
        secret = patroni.secrets(str(options["namespace"] or ""), cluster, self.check_mode)
        reset = options["update_password"] != "on_create"  # noqa: S105
        wanted = desired.from_options(options["roles"], options["databases"], secret, reset)
        request = Request(options["settings"], wanted, options["timeout"], options["phase"])

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] patroni_cluster {members.scope}: {line}")

        execution = Execution(members, request, say)
        try:
            outcome = execution.predict() if self.check_mode else execution.run()
        except StackgateError as error:
            error.details = {**self._result(execution.outcome), **error.details}
            raise
        return self._result(outcome)

    def _forget(self, scope: str, namespace: str, timeout: float) -> dict[str, Any]:
        if not namespace:
            raise StackgateError("namespace says where Patroni keeps what it knows", "it is not given", "set the option namespace")
        sentences = store.forget(self.cluster(), namespace, scope, timeout, self.check_mode)
        return {"changed": bool(sentences), "plan": sentences, "performed": [] if self.check_mode else sentences}

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        shown = outcome.plan if self.check_mode else outcome.performed
        result: dict[str, Any] = {
            "changed": bool(shown),
            "plan": [entry.sentence for entry in outcome.plan],
            "performed": [entry.sentence for entry in outcome.performed],
            **report.cluster_data(outcome.observation, outcome.configuration),
        }
        if outcome.warnings:
            result["warnings"] = outcome.warnings
        if self.diff_mode and shown:
            result["diff"] = [difference(entry) for entry in shown if entry.after is not None]
        return result


def difference(entry: Entry) -> dict[str, str]:
    """One entry of a plan, as ansible shows differences. It holds no password."""

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True) + "\n"

    header = "dynamic configuration" if entry.kind == CONFIGURATION else entry.kind
    return {"before_header": header, "after_header": header, "before": text(entry.before), "after": text(entry.after)}
