# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a stage is true; see plugins/modules/gate.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, _report
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._fields import FieldErrors
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Runner, Threads
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction
from ansible_collections.stackgate.k3s.plugins.plugin_utils.registry import REGISTRY, client, with_variables

# Seconds for one question to the registry: the gate goes on asking.
REGISTRY_PATIENCE = 5.0

# Ansible imports this file once, before it forks: what is loaded here costs no task anything.
for _kind in _protocol.kinds():
    _protocol.kind_class(_kind)


class ActionModule(StackgateAction):
    """Parses, runs, reports."""

    name = "gate"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        gate = f"gate {options['stage']}" if options["stage"] else "gate"
        conditions = _conditions(options["conditions"])
        if not conditions:
            return {"changed": False, "holds": True, "conditions": [], "waited": 0.0, "msg": f"{gate}: no conditions"}
        registry = self._registry(options, task_vars)
        session = Session(
            self.cluster(),
            options["namespace"],
            unschedulable_after=options["unschedulable_after"],
            check_mode=self.check_mode,
            registry=registry[0],
            digest_of=registry[1],
        )
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

    def _registry(self, options: dict[str, Any], task_vars: dict[str, Any]) -> tuple[str, Callable[[str], str] | None]:
        """The registry part of our images' references, and how to ask for a digest there; ("", None) without a registry."""
        given = with_variables(options, REGISTRY, task_vars, self._templar.template)
        prefix = str(given["registry"]).strip("/")
        if not prefix:
            return "", None
        asked = client({**given, "registry": prefix}, timeout=REGISTRY_PATIENCE)
        return prefix, lambda image: digest(asked, prefix, image)


def digest(registry: Registry, prefix: str, image: str) -> str:
    """The digest that the registry holds for a reference. StackgateError when it has no such image, or does not answer."""
    repository, _colon, tag = image.removeprefix(f"{prefix}/").rpartition(":")
    found = registry.digest(repository or tag, tag if repository else "latest")
    if found is None:
        raise StackgateError(
            f"the registry has {image}", f"{registry.address.url} has no such image", "run the images stage: --tags images"
        )
    return found


def _conditions(given: list[Any]) -> list[_protocol.Condition]:
    try:
        return _protocol.parse(given)
    except FieldErrors as error:
        raise StackgateError(
            "conditions that a gate understands", "\n".join(error.mistakes), "docs/gates.md lists every kind and its fields"
        ) from error
