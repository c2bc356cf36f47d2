# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the collection's actions: they run inside ansible's own process, with the Kubernetes client already loaded.

A module costs 0.2-0.5 s to start (it is packed, copied and run in a new Python); an action costs about 0.02 s.
Options are declared once, in the DOCUMENTATION of plugins/modules/<name>.py, and validated from there.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

PLUGINS = "ansible_collections.stackgate.k3s.plugins"
# The keys of a documented option that an argument spec knows, too.
SPEC_KEYS = ("type", "elements", "default", "choices", "required", "no_log", "aliases", "options", "mutually_exclusive")


def _spec(options: dict[str, Any]) -> dict[str, Any]:
    """Turn documented options into an argument spec."""
    spec: dict[str, Any] = {}
    for name, documented in options.items():
        entry = {key: documented[key] for key in SPEC_KEYS if key in documented}
        # A name like `secret` or `password` makes ansible guess that the value must be hidden, and warn.
        entry.setdefault("no_log", False)
        if "suboptions" in documented:
            entry["options"] = _spec(documented["suboptions"])
        spec[name] = entry
    return spec


@functools.cache
def documented_spec(name: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The argument spec of a documented module, and which of its options are connection options."""
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

    documentation = yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{name}").DOCUMENTATION)
    spec = _spec(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment") or []:
        collection, _dot, shared = fragment.rpartition(".")
        if collection == "stackgate.k3s":  # kubernetes.core gives its connection options as a spec
            module = importlib.import_module(f"{PLUGINS}.doc_fragments.{shared}")
            spec.update(_spec(yaml.safe_load(module.ModuleDocFragment.DOCUMENTATION)["options"]))
    return {**AUTH_ARG_SPEC, **spec}, frozenset(AUTH_ARG_SPEC)


class StackgateAction(ActionBase):
    """An action named like its documentation stub. Subclasses give `name` and `execute`.

    execute() returns the task's result; StackgateError becomes a failed task with the error's words.
    """

    name: str
    supports_check_mode = True
    _requires_connection = False

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the work with validated options; connection options are in self.connection_options."""
        raise NotImplementedError

    def cluster(self) -> Cluster:
        """A connection made from the task's connection options."""
        return Cluster(self.connection_options)

    @property
    def check_mode(self) -> bool:
        """Whether nothing may be changed."""
        return bool(self._task.check_mode)

    @property
    def diff_mode(self) -> bool:
        """Whether differences are wanted."""
        return bool(self._task.diff)

    def say(self, text: str) -> None:
        """A line of live progress on the terminal."""
        Display().display(text)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Called by ansible: validate, execute, turn errors into a result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        spec, connection = documented_spec(self.name)
        validated = ArgumentSpecValidator(spec).validate(self._task.args)
        if validated.error_messages:
            raise AnsibleActionFail(f"stackgate.k3s.{self.name}: {'; '.join(validated.error_messages)}")
        parameters = validated.validated_parameters
        self.connection_options = {key: parameters[key] for key in connection if parameters.get(key) not in (None, "")}
        options = {key: value for key, value in parameters.items() if key not in connection}
        try:
            result.update(self.execute(options, task_vars or {}))
        except StackgateError as error:
            result.update(failed=True, msg=str(error), **error.details)
        return result
