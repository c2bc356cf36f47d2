# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume claims are bound, or will be as soon as a pod wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields, _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, State, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, event_stamp

CLAIM = "PersistentVolumeClaim"
LATE = "WaitForFirstConsumer"
LATE_TEXT = f"Pending until its first pod ({LATE}), as it should be"


@dataclass(kw_only=True)
class Pvc(Condition):
    """See the module's text and docs/gates.md."""

    name: str | None = field(default=None, metadata={"doc": "The claim's name."})
    selector: dict[str, str] = field(default_factory=dict, metadata={"doc": "Labels, instead of a name: all claims that carry them."})
    minimum: int = field(default=1, metadata={"doc": "How many claims the selector must find at least.", "least": 0})

    def check(self) -> Iterator[tuple[str, str]]:
        if bool(self.name) == bool(self.selector):
            yield "name", "give either name or selector"

    def describe(self) -> str:
        return f"pvc {self.name}" if self.name else "pvc " + ",".join(f"{k}={v}" for k, v in self.selector.items())

    def expected(self) -> str:
        return "each claim is bound, or waits for its first pod as its storage class wants it"

    def observe(self, view: View) -> Observation:
        claims = self._claims(view)
        if self.name and not claims:
            # A StatefulSet makes the claim of its last member when all the others are ready: no error, however late.
            return waiting(view.missing(CLAIM, self.name)[0])
        if len(claims) < (1 if self.name else self.minimum):
            return waiting(f"{len(claims)}/{self.minimum} claims exist")
        verdicts = [(claim["metadata"]["name"], claim_state(claim, view)) for claim in claims]
        for state in (State.FAILED, State.WAITING):
            for name, verdict in verdicts:
                if verdict.state == state:
                    return verdict if self.name else Observation(state, f"{name}: {verdict.seen}", verdict.hint, objects=verdict.objects)
        return verdicts[0][1] if self.name and verdicts else holds(f"{len(claims)} bound or waiting for their first pod")

    def _claims(self, view: View) -> list[dict[str, Any]]:
        if self.name:
            claim = view.get(CLAIM, self.name)
            return [claim] if claim else []
        return [claim for claim in view.objects(CLAIM) if self.selector.items() <= (claim["metadata"].get("labels") or {}).items()]


def claim_state(claim: Mapping[str, Any], view: View) -> Observation:
    """One claim."""
    name, spec, status = claim["metadata"]["name"], claim.get("spec") or {}, claim.get("status") or {}
    objects = ((CLAIM, name),)
    match status.get("phase"):
        case "Bound":
            wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
            got = (status.get("capacity") or {}).get("storage", "0")
            if quantity(got) < quantity(wanted):
                return waiting(f"has {got}, wanted {wanted}: {_resizing(status)}", objects=objects)
            return holds(f"bound to {spec.get('volumeName')}, {got}")
        case "Lost":
            return failed(
                f"Lost: its volume {spec.get('volumeName')} is gone", hint="restore from a backup into a new claim", objects=objects
            )
    return _pending(claim, view, objects)


def _pending(claim: Mapping[str, Any], view: View, objects: tuple[tuple[str, str], ...]) -> Observation:
    name, spec = claim["metadata"]["name"], claim.get("spec") or {}
    wanted = spec.get("storageClassName")
    if wanted == "":
        return waiting("Pending: storageClassName is empty, so a volume must be made by hand", objects=objects)
    classes = view.readable("StorageClass")
    known = {c["metadata"]["name"]: c for c in classes or []}
    if classes is not None and wanted and wanted not in known:
        listed = ", ".join(known) or "none"
        return failed(
            f"storage class {wanted} does not exist{_fields.nearest(wanted, known)}; the cluster has {listed}",
            hint="set stackgate_storage_class (or the role's) to one of them",
            objects=objects,
        )
    if not wanted and (classes == [] or (classes and not any(_is_default(c) for c in classes))):
        return failed("names no storage class, and the cluster has no default one", hint="set stackgate_storage_class", objects=objects)
    users = [pod["metadata"]["name"] for pod in view.objects("Pod") if _uses(pod, name)]
    if wanted in known and known[wanted].get("volumeBindingMode") == LATE and not users:
        return holds(LATE_TEXT)
    events = view.events(CLAIM, name)
    if events and events[-1].get("reason") == LATE and not users:
        return holds(LATE_TEXT)
    newest = _pods.short(events[-1].get("message") or "") if events else ""
    if classes is None and newest.startswith("storageclass.storage.k8s.io") and "not found" in newest:
        return failed(
            f"storage class {wanted} does not exist ({newest})", hint="set stackgate_storage_class to one that exists", objects=objects
        )
    by = f" for {', '.join(users[:3])}" if users else ""
    at = f" ({event_stamp(events[-1])})" if events else ""
    return waiting(f"Pending{by}: {newest or 'nothing said yet'}{at}", objects=objects)


def _is_default(storage_class: Mapping[str, Any]) -> bool:
    return bool((storage_class["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true")


def _uses(pod: Mapping[str, Any], claim: str) -> bool:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return any((volume.get("persistentVolumeClaim") or {}).get("claimName") == claim for volume in volumes)


def _resizing(status: Mapping[str, Any]) -> str:
    found = [f"{c.get('type')}: {c.get('message', '')}" for c in status.get("conditions") or [] if c.get("status") == "True"]
    return "; ".join(found) or "the volume has not been resized yet"


UNITS = {
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}


def quantity(text: str) -> float:
    """Bytes of a Kubernetes quantity such as 5Gi; 0 for one that is not understood."""
    number = str(text).rstrip("kMGTPKi")
    try:
        return float(number) * UNITS[str(text)[len(number) :]]
    except (ValueError, KeyError):
        return 0.0
