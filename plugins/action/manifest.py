# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task that applies a component. What it does is in module_utils/manifest; here are the task's options and its template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.template import trust_as_template

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import crds, documents, engine, prepare, rendering
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """stackgate.k3s.manifest"""

    name = "manifest"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Render, parse, plan, and (but in check mode) apply."""
        options = documents.plain(options)  # without ansible's notes of where each value came from
        instance = options["instance"] or str(task_vars["inventory_hostname"])
        component = prepare.Component(options["component"], instance, options["namespace"], options["part_of"] or instance)
        written = self._documents(options, task_vars)
        absent = options["state"] == "absent"
        if not written and not absent:
            raise StackgateError(
                f"the manifest of component {component.name} holds an object",
                "it is empty, and applying it would delete the whole component",
                "to delete the component say so: state: absent",
            )
        cluster = self.cluster()
        wanted = prepare.prepare(written, component, crds.scope(cluster, written))
        settings = engine.Settings(
            threads=options["threads"],
            force=options["force_conflicts"],
            prune=options["prune"],
            prune_volumes=options["prune_volumes"],
            expendable=tuple(options["expendable"]),
            timeout=options["timeout"],
            check=self.check_mode,
        )
        worker = engine.Engine(cluster, component, settings)
        outcome = worker.remove(wanted) if absent else worker.apply(wanted)
        result: dict[str, Any] = {"changed": outcome.changed, "objects": outcome.summary()}
        if outcome.warnings:
            result["warnings"] = outcome.warnings
        if self.diff_mode and outcome.changed:
            result["diff"] = outcome.diff()
        return result

    def _documents(self, options: dict[str, Any], task_vars: dict[str, Any]) -> list[documents.Document]:
        """The objects of the task, from its template or its definition."""
        template, definition = options["template"], options["definition"]
        if template and definition is not None:
            raise StackgateError("template or definition", "both are given", "leave one of them out")
        if template:
            return documents.parse(self._render(template, task_vars), Path(template).name)
        if definition is not None:
            return documents.from_data(definition, "definition")
        if options["state"] == "absent":
            return []
        raise StackgateError("template or definition", "neither is given", "name the component's template: template: <component>.yml.j2")

    def _render(self, template: str, task_vars: dict[str, Any]) -> str:
        """The text of a template, found and rendered as ansible.builtin.template does it."""
        try:
            source = self._find_needle("templates", template)
        except AnsibleError as error:
            hint = "a role's templates are in its directory templates/"
            raise StackgateError(f"the template {template} exists", str(error), hint) from error
        roots = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), str(Path(source).parent)]
        searchpath = [path for root in roots for path in (str(Path(root, "templates")), root)]
        templar = self._templar.copy_with_new_env(searchpath=searchpath, available_variables=task_vars)
        text = self._loader.get_text_file_contents(source)
        overrides = {"trim_blocks": True, "lstrip_blocks": False}
        try:
            rendered = templar.template(trust_as_template(text), escape_backslashes=False, overrides=overrides)
        except AnsibleError as error:
            raise rendering.template_error(error, source, text) from error
        return "" if rendered is None else str(rendered)
