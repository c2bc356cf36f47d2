# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be known to be wrong before anything has changed, in one report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.preflight import inputs, surroundings
from ansible_collections.stackgate.k3s.plugins.plugin_utils import registry
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

COLLECTION = Path(__file__).resolve().parents[2]


class ActionModule(StackgateAction):
    """See plugins/modules/preflight.py."""

    name = "preflight"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        components: list[str] = options["components"]
        problems = self._input_problems(components, task_vars)
        warnings: list[str] = []
        # Wrong input and an unreachable cluster are both worth knowing at once; what needs a connection waits for one.
        connection = surroundings.kubeconfig_problems(
            str(self.connection_options.get("kubeconfig") or ""), str(self.connection_options.get("context") or "")
        )
        if not connection:
            cluster = self.cluster()
            connection = surroundings.server_problems(cluster)
            if not connection:
                connection = surroundings.rights_problems(cluster, options["namespace"], components)
                missing_classes, warnings = surroundings.class_problems(cluster, options["storage_classes"], options["ingress_class"])
                connection += missing_classes
        problems += connection
        problems += self._registry_problems(options, task_vars)
        if problems:
            count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
            raise StackgateError(
                "input and surroundings that a deployment can begin with",
                f"{count}; nothing has been changed\n" + "\n".join(map(str, problems)),
            )
        return {"changed": False, "warnings": warnings, "msg": "nothing stands in the way"}

    def _registry_problems(self, options: dict[str, Any], task_vars: dict[str, Any]) -> list[inputs.Problem]:
        """A registry that does not answer or refuses the login; nothing where none is named."""
        options = registry.with_variables(options, registry.REGISTRY, task_vars, self._templar.template)
        if not options["registry"]:
            return []
        try:
            registry.client(options).wait(options["registry_timeout"])
        except StackgateError as error:
            return [inputs.Problem(error.expected, error.seen, error.hint)]
        return []

    def _input_problems(self, components: list[str], task_vars: dict[str, Any]) -> list[inputs.Problem]:
        stack = str(task_vars.get("inventory_hostname", ""))
        specs = _role_specs()
        known = [name for stage in task_vars.get("stackgate_stage_components", {}).values() for name in stage]
        problems = inputs.unknown_components(stack, components, known or specs)
        stages = ["images", "verify", *task_vars.get("stackgate_stage_components", {})]
        problems += inputs.unknown_tags(task_vars.get("ansible_run_tags", []), [*stages, *known])
        written = [name for name in task_vars if not name.startswith("_")]
        problems += inputs.misspelt(written, {**specs, "stackgate": _shared_variables()})
        for role, spec in specs.items():
            values = {name: value for name in spec if name in task_vars for value in self._templated(task_vars[name])}
            problems += inputs.wrong_values(role, spec, values)
        problems += inputs.unfit_namespaces(self._namespaces(task_vars))
        return problems + inputs.doubled_hosts(self._ingress_hosts(task_vars))

    def _templated(self, value: Any) -> list[Any]:
        """The value, or nothing where it refers to a role's own variables, which exist only in the role."""
        try:
            return [self._templar.template(value)]
        except AnsibleError:
            return []

    def _namespaces(self, task_vars: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """(instance, cluster, namespace) of every instance in the inventory whose variables can be told from here."""
        hostvars = task_vars.get("hostvars", {})
        for instance in task_vars.get("groups", {}).get("stacks", []):
            known = hostvars[instance]
            try:
                cluster = [str(self._templar.template(known.get(f"stackgate_{name}", ""))) for name in ("kubeconfig", "context")]
                yield instance, " ".join(cluster), str(self._templar.template(known.get("stackgate_namespace", instance)))
            except AnsibleError:
                continue

    def _ingress_hosts(self, task_vars: dict[str, Any]) -> Iterator[tuple[str, str]]:
        hostvars = task_vars.get("hostvars", {})
        for instance in task_vars.get("groups", {}).get("stacks", []):
            try:
                rules = self._templar.template(hostvars[instance].get("ingress_hosts", []))
            except AnsibleError:
                continue
            for rule in rules or []:
                if isinstance(rule, dict) and rule.get("host"):
                    yield instance, str(rule["host"])


def _role_specs() -> dict[str, dict[str, Any]]:
    """Role name -> the options of its main entry point, for every role that ships with the collection."""
    specs = {}
    for path in sorted(COLLECTION.glob("roles/*/meta/argument_specs.yml")):
        documented = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        specs[path.parents[1].name] = documented.get("options") or {}
    return specs


def _shared_variables() -> list[str]:
    """The collection-wide variables: those that playbooks/group_vars/all.yml gives a default."""
    return list(yaml.safe_load((COLLECTION / "playbooks/group_vars/all.yml").read_text(encoding="utf-8")))
