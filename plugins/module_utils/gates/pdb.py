# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PodDisruptionBudget is kept, and leaves room for the planned loss of a pod."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, condition, is_ready

KIND = "PodDisruptionBudget"


@dataclass(kw_only=True)
class Pdb(Condition):
    """See the module's text and docs/gates.md."""

    name: str = field(metadata={"doc": "The PodDisruptionBudget's name."})
    allowed: int = field(
        default=1,
        metadata={"doc": "How many pods may at least be taken away now. 0 for a budget that protects a single pod.", "least": 0},
    )

    def describe(self) -> str:
        return f"pdb {self.name}"

    def expected(self) -> str:
        return f"PodDisruptionBudget {self.name} has its healthy pods and allows {self.allowed} to be taken away"

    def observe(self, view: View) -> Observation:
        pdb = view.get(KIND, self.name)
        if pdb is None:
            text, mistaken = view.missing(KIND, self.name)
            return (failed if mistaken else waiting)(text)
        status = pdb.get("status") or {}
        if status.get("observedGeneration", 0) < pdb["metadata"].get("generation", 0):
            return waiting("its controller has not seen its present form yet")
        healthy, wanted, allowed = (int(status.get(key, 0)) for key in ("currentHealthy", "desiredHealthy", "disruptionsAllowed"))
        summary = f"{healthy} healthy of at least {wanted}, {allowed} may be taken away"
        if healthy >= wanted and allowed >= self.allowed:
            return holds(summary)
        trouble = condition(pdb, "DisruptionAllowed") or {}
        if trouble.get("reason") == "SyncFailed":
            return failed(f"{summary}; SyncFailed: {trouble.get('message')}", hint="does its selector match pods of one controller?")
        selector = ((pdb.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        pods = [pod for pod in view.pods(selector) if not is_ready(pod)] if selector else []
        if not pods and allowed < self.allowed:
            hint = "more replicas than minAvailable are needed for a budget to allow anything; allowed: 0 when that is meant"
            return waiting(summary, hint=hint)
        return waiting(", ".join([summary, *(_pods.activity(pod, view) for pod in pods[:3])]))
