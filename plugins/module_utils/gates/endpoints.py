# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Service has ready pods behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._backends import Backend, backends
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, is_ready


@dataclass(kw_only=True)
class Endpoints(Condition):
    """See the module's text and docs/gates.md."""

    service: str = field(metadata={"doc": "The Service's name."})
    minimum: int = field(default=1, metadata={"doc": "How many ready addresses it must have at least.", "least": 1})

    def describe(self) -> str:
        return f"endpoints of Service/{self.service}"

    def expected(self) -> str:
        return f"Service {self.service} has {self.minimum} ready address{'es' if self.minimum > 1 else ''}, all on nodes that answer"

    def observe(self, view: View) -> Observation:
        service = view.get("Service", self.service)
        if service is None:
            text, mistaken = view.missing("Service", self.service)
            return (failed if mistaken else waiting)(text)
        found = backends(self.service, view)
        ready = [b for b in found if b.ready and not b.terminating]
        pods = {pod["metadata"]["name"]: pod for pod in view.objects("Pod")}
        dead = {b: trouble for b in ready if b.pod in pods and (trouble := view.node_trouble(pods[b.pod]))}
        alive = [b for b in ready if b not in dead]
        if len(alive) >= self.minimum and not dead:
            return holds(f"{len(alive)} ready")
        return self._short(alive, dead, service, pods, view)

    def _short(
        self, alive: list[Backend], dead: dict[Backend, str], service: dict[str, Any], pods: dict[str, dict[str, Any]], view: View
    ) -> Observation:
        summary = f"{len(alive)}/{self.minimum} ready"
        if dead:
            # Kubernetes goes on sending connections there until it notices, so the Service is not in order even if enough others are.
            return waiting(f"{summary}; connections still go to {'; '.join(f'{b}: {why}' for b, why in dead.items())}")
        selector = (service.get("spec") or {}).get("selector")
        if not selector:
            return waiting(f"{summary}; the Service has no selector, so somebody else must write its EndpointSlices")
        behind = [pod for pod in pods.values() if selector.items() <= (pod["metadata"].get("labels") or {}).items()]
        if not behind:
            wanted = ",".join(f"{k}={v}" for k, v in selector.items())
            return waiting(
                f"{summary}; no pod has the labels {wanted}", hint="compare the Service's selector with the labels of the pod template"
            )
        unready = [pod for pod in behind if not is_ready(pod)]
        doing = ", ".join(_pods.activity(pod, view) for pod in unready[:3])
        return waiting(f"{summary}, {doing}" if doing else summary, suspects=tuple(Suspect(pod["metadata"]["name"]) for pod in unready))
