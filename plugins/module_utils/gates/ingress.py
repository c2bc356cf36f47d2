# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ingress exists, has its class, and its controller has given it an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View


@dataclass(kw_only=True)
class Ingress(Condition):
    """See the module's text and docs/gates.md."""

    name: str = field(metadata={"doc": "The Ingress' name."})
    ingress_class: str | None = field(default=None, metadata={"doc": "The class that it must have; any when unset."})
    address: bool = field(
        default=True, metadata={"doc": "Whether its status must name an address; false where the controller never writes one."}
    )

    def describe(self) -> str:
        return f"ingress {self.name}"

    def expected(self) -> str:
        return (
            f"Ingress {self.name} exists"
            + (f" with class {self.ingress_class}" if self.ingress_class else "")
            + (" and has an address" if self.address else "")
        )

    def observe(self, view: View) -> Observation:
        ingress = view.get("Ingress", self.name)
        if ingress is None:
            text, mistaken = view.missing("Ingress", self.name)
            return (failed if mistaken else waiting)(text)
        has = ingress_class(ingress)
        if self.ingress_class and has != self.ingress_class:
            return failed(f"its class is {has or 'unset'}, expected {self.ingress_class}", hint="set stackgate_ingress_class")
        found = addresses(ingress)
        if self.address and not found:
            hint = (
                f"does an ingress controller serve class {has}? kubectl get ingressclass; address: false where it never writes an address"
            )
            return waiting(f"class {has or 'unset'}, its controller has given it no address", hint=hint)
        return holds(f"class {has or 'unset'}" + (f", at {', '.join(found)}" if found else ""))


def ingress_class(ingress: Mapping[str, Any]) -> str:
    """The class, from its field or from the older annotation."""
    annotations = ingress["metadata"].get("annotations") or {}
    return str((ingress.get("spec") or {}).get("ingressClassName") or annotations.get("kubernetes.io/ingress.class") or "")


def addresses(ingress: Mapping[str, Any]) -> list[str]:
    """The addresses or names in the status, each once."""
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return list(dict.fromkeys(str(entry.get("ip") or entry.get("hostname")) for entry in entries))
