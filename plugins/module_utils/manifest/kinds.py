# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be known about single kinds: their order, which of them hold data, and what an immutable field asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Objects of a later phase may need those of an earlier one. Within a phase everything is applied at the same time.
PHASES: tuple[frozenset[str], ...] = (
    frozenset({"Namespace", "CustomResourceDefinition"}),
    frozenset(),  # every kind that is not named here
    frozenset({"RoleBinding", "ClusterRoleBinding"}),  # the server looks for the Role when a binding is made
    frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"}),
)
DEFAULT_PHASE = 1

# Kinds that hold what cannot be made again: deleted only when the task says prune_volumes.
DATA_KINDS = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"})

# A dry run of the key can fail for no other reason than that one of the values is yet to be created by the same manifest.
NEEDS: dict[str, frozenset[str]] = {
    "RoleBinding": frozenset({"Role", "ClusterRole", "ServiceAccount"}),
    "ClusterRoleBinding": frozenset({"ClusterRole", "ServiceAccount"}),
    "Pod": frozenset({"ServiceAccount", "PriorityClass"}),
}

# What helps when the server refuses to change a field of an existing object.
IMMUTABLE: dict[str, str] = {
    "StatefulSet": (
        "delete the StatefulSet but keep its pods (kubectl delete statefulset {name} -n {namespace} --cascade=orphan), then run again;"
        " a larger volume must be set on the PersistentVolumeClaims themselves"
    ),
    "Job": "give the Job a name that changes with its template, or delete it (kubectl delete job {name} -n {namespace}), then run again",
    "Deployment": "the selector of a Deployment is fixed: delete it (kubectl delete deployment {name} -n {namespace}), then run again",
    "DaemonSet": "the selector of a DaemonSet is fixed: delete it (kubectl delete daemonset {name} -n {namespace}), then run again",
    "PersistentVolumeClaim": "only the size of a claim can change, and only grow: restore the old values, or use a claim of another name",
    "RoleBinding": "the roleRef of a binding is fixed: delete it (kubectl delete rolebinding {name} -n {namespace}), then run again",
    "ClusterRoleBinding": "the roleRef of a binding is fixed: delete it (kubectl delete clusterrolebinding {name}), then run again",
    "Service": "delete the Service (kubectl delete service {name} -n {namespace}), then run again",
    "Secret": "an immutable Secret, or its type, cannot change: use another name, or kubectl delete secret {name} -n {namespace}",
    "ConfigMap": "an immutable ConfigMap cannot change: use another name, or delete it (kubectl delete configmap {name} -n {namespace})",
}
IMMUTABLE_ELSE = "delete the object (kubectl delete {kind} {name} -n {namespace}), then run again"


def group_of(api_version: str) -> str:
    """The API group of an apiVersion: apps of apps/v1, empty for v1."""
    return api_version.rpartition("/")[0]


def phase_of(kind: str) -> int:
    """In which phase objects of a kind are applied, counted from 0."""
    return next((number for number, kinds in enumerate(PHASES) if kind in kinds), DEFAULT_PHASE)


def immutable_hint(kind: str, name: str, namespace: str) -> str:
    """What to do about a field that the server does not let change."""
    return IMMUTABLE.get(kind, IMMUTABLE_ELSE).format(kind=kind.lower(), name=name, namespace=namespace)


def failed_for_good(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The condition that says that an object never comes to anything any more, whatever becomes of the cause; None for all others.

    That is a Job with Failed=True: no controller looks at it again. FailureTarget comes before, while its pods still run.
    """
    if found.get("kind") != "Job" or group_of(str(found.get("apiVersion"))) != "batch":
        return None
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((dict(item) for item in conditions if item.get("type") == "Failed" and item.get("status") == "True"), None)


@dataclass(frozen=True, order=True)
class Key:
    """What makes an object that object, whatever the version of its API."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def group_kind(self) -> str:
        """The form of the ApplySet specification: Deployment.apps, ConfigMap."""
        return f"{self.kind}.{self.group}" if self.group else self.kind
