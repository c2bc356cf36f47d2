# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods behind a Service, from its EndpointSlices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View

SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Backend:
    """One address of a Service. ports: name of the Service's port (empty for an unnamed one) -> number at the backend."""

    address: str
    ready: bool
    terminating: bool
    pod: str
    node: str
    ports: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"pod {self.pod}" + (f" ({self.node})" if self.node else "") if self.pod else self.address


def backends(service: str, view: View) -> list[Backend]:
    """All addresses of a Service, each once (a pod with two address families is one backend)."""
    found: dict[str, Backend] = {}
    for slice_ in view.objects("EndpointSlice"):
        if (slice_["metadata"].get("labels") or {}).get(SERVICE) != service:
            continue
        ports = tuple((str(p.get("name") or ""), int(p["port"])) for p in slice_.get("ports") or [] if p.get("port"))
        for endpoint in slice_.get("endpoints") or []:
            backend = _backend(endpoint, ports)
            key = backend.pod or backend.address
            if key not in found or (backend.ready and not found[key].ready):
                found[key] = backend
    return list(found.values())


def _backend(endpoint: Mapping[str, Any], ports: tuple[tuple[str, int], ...]) -> Backend:
    conditions, target = endpoint.get("conditions") or {}, endpoint.get("targetRef") or {}
    return Backend(
        address=(endpoint.get("addresses") or [""])[0],
        ready=conditions.get("ready") is not False,  # absent means ready
        terminating=bool(conditions.get("terminating")),
        pod=target.get("name", "") if target.get("kind") == "Pod" else "",
        node=endpoint.get("nodeName") or "",
        ports=ports,
    )
