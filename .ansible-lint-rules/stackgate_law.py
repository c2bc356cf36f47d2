# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's own laws for tasks, as a rule of ansible-lint. docs/architecture.md gives the reasons."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from ansiblelint.rules import AnsibleLintRule

if TYPE_CHECKING:
    from ansiblelint.errors import MatchError
    from ansiblelint.file_utils import Lintable
    from ansiblelint.utils import Task

CLUSTER_COLLECTIONS = ("stackgate.k3s.", "kubernetes.core.")
CONNECTION_OPTIONS = {"kubeconfig", "context", "host", "api_key", "ca_cert", "client_cert", "client_key"}
WAITING_MODULES = {"ansible.builtin.pause", "ansible.builtin.wait_for", "ansible.builtin.wait_for_connection"}
# It makes the cluster that the other roles speak to, so it has no gate to rely on and no connection to be given.
EXEMPT_ROLES = {"local_cluster"}


class StackgateLawRule(AnsibleLintRule):
    """Tasks that speak to the cluster follow the project's laws."""

    id = "stackgate-law"
    description = (
        "loop: a task that speaks to the cluster takes a list, it is not looped (one task costs as much as its import, fifty cost fifty). "
        "wait: only the gate waits. "
        "connection: roles leave the connection to module_defaults of the playbook."
    )
    severity = "HIGH"
    tags = ["idiom"]
    version_changed = "0.1.0"
    _ids = {
        "stackgate-law[loop]": "One task per object is slow: give the module all objects at once.",
        "stackgate-law[wait]": "Only stackgate.k3s.gate waits: add a condition to the role's gate list.",
        "stackgate-law[connection]": "A role names no connection: the playbook's module_defaults do.",
    }

    def matchtask(self, task: Task, file: Lintable | None = None) -> list[MatchError]:
        """Every breach of a law by one task."""
        parts = PurePath(str(file.path)).parts if file else ()
        if "roles" not in parts or EXEMPT_ROLES & set(parts):
            return []
        action = task["action"]
        module = str(action["__ansible_module_original__"])
        speaks_to_cluster = module.startswith(CLUSTER_COLLECTIONS)
        raw = task.raw_task
        breaches = []
        if speaks_to_cluster and ("loop" in raw or any(str(key).startswith("with_") for key in raw)):
            breaches.append("loop")
        if module in WAITING_MODULES or "until" in raw or (speaks_to_cluster and action.get("wait")):
            breaches.append("wait")
        if speaks_to_cluster and CONNECTION_OPTIONS & set(action) and module != "stackgate.k3s.gate":
            breaches.append("connection")
        return [
            self.create_matcherror(
                message=self._ids[f"{self.id}[{breach}]"],
                lineno=task.line,
                tag=f"{self.id}[{breach}]",
                filename=file,
            )
            for breach in breaches
        ]
