# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.redis_sentinel; documented in plugins/modules/redis_sentinel.py."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import login, plan, report
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.execute import Execution, Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.plan import Step, Wanted
from ansible_collections.stackgate.k3s.plugins.plugin_utils import redis
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

# Options by the names of SENTINEL SET.
SETTINGS = {
    "quorum": "quorum",
    "down-after-milliseconds": "down_after_ms",
    "failover-timeout": "failover_timeout_ms",
    "parallel-syncs": "parallel_syncs",
}


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "redis_sentinel"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or carry out the plan."""
        options = plain(options)  # without ansible's notes of where each value came from
        wanted = Wanted(options["phase"], settings(options))
        cluster = functools.cache(self.cluster)
        if not redis.request(options).sentinels:
            return {"changed": False, "plan": [], "performed": []}
        with redis.access(options, cluster, self.check_mode) as fleet:
            if wanted.phase == plan.SHRINK and len(fleet.request.pods) == len((*fleet.servers, *fleet.sentinels)) and not fleet.leaving:
                return {"changed": False, "plan": [], "performed": []}  # nobody is to go: nobody need be asked
            monitor = login.credentials(cluster, fleet.request.namespace, options["monitor_credentials"], self.check_mode)
            execution = Execution(fleet, Observer(fleet, options["answer_timeout"]), wanted, monitor, options["timeout"], self.say)
            try:
                outcome = execution.predict() if self.check_mode else execution.run()
            except StackgateError as error:
                error.details = {**self._result(execution.outcome), **error.details}
                raise
            return self._result(outcome)

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        shown = outcome.plan if self.check_mode else outcome.performed
        result: dict[str, Any] = {
            "changed": bool(shown),
            "plan": [_told(step) for step in outcome.plan],
            "performed": [_told(step) for step in outcome.performed],
            **report.data(outcome.observation),
        }
        if self.diff_mode and shown:
            result["diff"] = [
                {
                    "before": step.before,
                    "after": step.after,
                    "before_header": step.target,
                    "after_header": f"{step.target}: {step.sentence}",
                }
                for step in shown
            ]
        return result


def settings(options: Mapping[str, Any]) -> dict[str, int]:
    """The settings that are asked for. Raises StackgateError for a number that no sentinel takes."""
    found = {name: options[option] for name, option in SETTINGS.items() if options[option] is not None}
    found.setdefault("quorum", len(options["sentinels"]) // 2 + 1)
    wrong = [f"{SETTINGS[name]}: {value}" for name, value in found.items() if value < 1]
    if found["quorum"] > max(len(options["sentinels"]), 1):
        wrong.append(f"quorum: {found['quorum']} of {len(options['sentinels'])} sentinels")
    if wrong:
        raise StackgateError("each setting is 1 or more, and the quorum no more than the number of sentinels", "; ".join(wrong))
    return found


def _told(step: Step) -> dict[str, str]:
    return {"kind": step.kind.value, "sentence": step.sentence}
