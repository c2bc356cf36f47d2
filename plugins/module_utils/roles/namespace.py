# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace, made by whoever may make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

API = "v1"
KIND = "Namespace"


# What belongs to the cluster: denying everything there would take its DNS and its storage away.
SYSTEM = ("default", "kube-node-lease", "kube-public", "kube-system")


class Client(Protocol):
    """What is needed of module_utils.cluster.Cluster."""

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None: ...

    def apply(self, document: Mapping[str, Any], *, dry_run: bool = False, force: bool = True) -> dict[str, Any]: ...

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        propagation: str = "Background",
    ) -> bool: ...

    def may(self, verb: str, group: str, resource: str, namespace: str | None = None, name: str = "", subresource: str = "") -> bool: ...


@dataclass(frozen=True)
class Outcome:
    """What was done.

    lacking: labels that are wanted, are not there, and may not be set by this identity.
    warning: a sentence about them; empty when all is well.
    """

    changed: bool = False
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    warning: str = ""


def ensure(cluster: Client, name: str, labels: Mapping[str, str], *, dry_run: bool) -> Outcome:
    """Make the namespace and its labels, as far as this identity may.

    Raises StackgateError when there is none and it may not be made, when it is being deleted, and for one of the cluster's own.
    """
    if name in SYSTEM:
        raise StackgateError(
            "a namespace for this instance alone", f"{name}, which belongs to the cluster", "choose another stackgate_namespace"
        )
    try:
        found = cluster.get(API, KIND, name)
    except ApiError as error:
        if not error.forbidden:
            raise
        return _unseen(cluster, name)
    if found and found.get("status", {}).get("phase") == "Terminating":
        raise StackgateError(
            f"namespace {name} is there to be deployed to",
            "it is being deleted",
            f"wait until it is gone; `kubectl get namespace {name} -o yaml` tells in status.conditions what holds it up",
        )
    before = dict((found or {}).get("metadata", {}).get("labels") or {})
    differing = {key: value for key, value in labels.items() if before.get(key) != value}
    if found and not differing:
        return Outcome(before=before, after=before)
    try:
        applied = cluster.apply({"apiVersion": API, "kind": KIND, "metadata": {"name": name, "labels": dict(labels)}}, dry_run=dry_run)
    except ApiError as error:
        if not error.forbidden:
            raise
        if found is None:
            raise _missing(name) from error
        return Outcome(before=before, after=before, lacking=differing, warning=_advice(name, differing))
    return Outcome(changed=True, before=before, after=dict(applied.get("metadata", {}).get("labels") or {}))


def remove(cluster: Client, name: str, *, dry_run: bool) -> Outcome:
    """Delete the namespace with everything in it. One that this identity may not delete stays, with a warning: it was not made here."""
    try:
        return Outcome(changed=cluster.delete(API, KIND, name, dry_run=dry_run))
    except ApiError as error:
        if not error.forbidden:
            raise
        return Outcome(
            warning=f"namespace {name} stays, empty: this identity may not delete it; an administrator may: kubectl delete namespace {name}"
        )


def _unseen(cluster: Client, name: str) -> Outcome:
    """A namespace that may not even be read: rights inside it are the proof that it exists."""
    if not cluster.may("create", "", "configmaps", name):
        raise _missing(name)
    return Outcome(warning=f"namespace {name} cannot be read by this identity: whether it enforces Pod Security is not known")


def _missing(name: str) -> StackgateError:
    return StackgateError(
        f"namespace {name} exists, or this identity may make it",
        "there is none that it may use, and making one is forbidden",
        f"ask an administrator for `kubectl create namespace {name}` and the Role of docs/rights.md in it",
    )


def _advice(name: str, lacking: Mapping[str, str]) -> str:
    pairs = " ".join(f"{key}={value}" for key, value in sorted(lacking.items()))
    return (
        f"namespace {name} lacks labels that this identity may not set; "
        f"an administrator sets them by: kubectl label --overwrite namespace {name} {pairs}"
    )
