# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A HorizontalPodAutoscaler works: it finds its target, reads metrics and may scale."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, condition

KIND = "HorizontalPodAutoscaler"


@dataclass(kw_only=True)
class Hpa(Condition):
    """See the module's text and docs/gates.md."""

    name: str = field(metadata={"doc": "The HorizontalPodAutoscaler's name."})

    def describe(self) -> str:
        return f"hpa {self.name}"

    def expected(self) -> str:
        return f"HorizontalPodAutoscaler {self.name} reads its metrics (ScalingActive, currentMetrics) and may scale (AbleToScale)"

    def observe(self, view: View) -> Observation:
        hpa = view.get(KIND, self.name)
        if hpa is None:
            text, mistaken = view.missing(KIND, self.name)
            return (failed if mistaken else waiting)(text)
        spec, status = hpa.get("spec") or {}, hpa.get("status") or {}
        for kind in ("AbleToScale", "ScalingActive"):
            found = condition(hpa, kind)
            if found is None:
                return waiting(f"{kind} is not known yet")
            if found.get("status") != "True":
                return waiting(
                    f"{kind} is {found.get('status')}: {found.get('reason')}: {found.get('message')}", hint=_hint(str(found.get("reason")))
                )
        if not [metric for metric in status.get("currentMetrics") or [] if metric]:
            return waiting("no current metrics yet", hint=_hint("FailedGetResourceMetric"))
        current, least, most = status.get("currentReplicas", 0), spec.get("minReplicas", 1), spec.get("maxReplicas")
        limited = condition(hpa, "ScalingLimited") or {}
        at = f", limited: {limited.get('message')}" if limited.get("reason") == "TooManyReplicas" else ""
        return holds(f"{current} replicas of {least} to {most}{at}")


def _hint(reason: str) -> str:
    """What to try about a condition's reason."""
    if reason in ("ScalingDisabled", "FailedGetScale"):
        return "the target is missing or scaled to 0: check scaleTargetRef"
    if reason.startswith("FailedGet"):
        return "metrics need metrics-server (15-60 s after a pod's start) and a resource request on every container of the target"
    return ""
