# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a stage is true; see plugins/modules/gate.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, _report
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._fields import FieldErrors
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Runner, Threads
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """Parses, runs, reports."""

    name = "gate"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        gate = f"gate {options['stage']}" if options["stage"] else "gate"
        conditions = _conditions(options["conditions"])
        if not conditions:
            return {"changed": False, "holds": True, "conditions": [], "waited": 0.0, "msg": f"{gate}: no conditions"}
        session = Session(self.cluster(), options["namespace"], unschedulable_after=options["unschedulable_after"])
        host = task_vars.get("inventory_hostname", "")
        outcome = Runner(
            conditions,
            new_view=lambda: View(session),
            say=lambda line: self.say(f"[{host}] {gate}: {line}"),
            crew=Threads(),
            timeout=options["timeout"],
            interval=options["interval"],
            stable=options["stable"],
            once=self.check_mode,
        ).run()
        good = outcome.holds or self.check_mode
        found = _report.as_data(outcome, None if good else View(session))
        result = {"changed": False, "holds": outcome.holds, "conditions": found, "waited": round(outcome.waited, 2)}
        if good:
            return {**result, "msg": _report.summary(gate, found, outcome.waited)}
        return {**result, "failed": True, "msg": _report.text(gate, found, outcome.waited, outcome.timed_out)}


def _conditions(given: list[Any]) -> list[_protocol.Condition]:
    try:
        return _protocol.parse(given)
    except FieldErrors as error:
        raise StackgateError(
            "conditions that a gate understands", "\n".join(error.mistakes), "docs/gates.md lists every kind and its fields"
        ) from error
