# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that volumes of a storage class are one file tree on several nodes, and the memory of it.

Two pods on two nodes have one new volume mounted at the same time: each writes a file and waits until it can read the other's. A class
that says ReadWriteMany and moves a volume from node to node, or gives each node a directory of its own, does not pass. What was proved is
kept in a ConfigMap, by the class and what it is made of, so that it is proved once.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View

MEMORY = "stackgate-proofs"
LABEL = "stackgate.k3s/proof"
SIDES = ("a", "b")
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
VARIABLE = "stackgate_storage_class_shared"
INSTALL = f"set {VARIABLE} to a class that gives ReadWriteMany across nodes, or install one (Longhorn, an NFS or CephFS driver)"
# Seconds from one look to the next, between two lines of progress, and for the namespace's own ServiceAccount to appear.
INTERVAL, SAY_EVERY, ACCOUNT_PATIENCE = 0.5, 10.0, 15.0
# Seconds for which a provisioner or a node may go on refusing: they try again.
PATIENCE = 30.0
# What a provisioner says when the class will never give such volumes.
NEVER = ("readwritemany", "readwriteonce", "access mode", "accessmode")
# Each side writes its file and waits for the other's. The token is new in each proof: nothing old can be taken for it.
SCRIPT = """set -eu
printf %s "$TOKEN-$MINE" > /shared/$MINE
until [ "$(cat /shared/$OTHER 2>/dev/null)" = "$TOKEN-$OTHER" ]; do ls /shared >/dev/null; sleep 0.5; done
"""


@dataclass(frozen=True)
class StorageClass:
    """A class as far as this identity may look. known: whether it could be read."""

    name: str
    known: bool
    fingerprint: str

    @property
    def key(self) -> str:
        """Its key in the ConfigMap."""
        return f"shared-storage.{self.name or 'default'}"


def storage_class(cluster: Cluster, name: str) -> StorageClass:
    """A class by name; empty: the cluster's default. StackgateError when it does not exist."""
    try:
        found = cluster.list("storage.k8s.io/v1", "StorageClass", cached=True)
    except ApiError as error:
        if not error.forbidden:
            raise
        return StorageClass(name, False, _digest({"name": name}))
    by_name = {entry["metadata"]["name"]: entry for entry in found}
    chosen = name or next((one for one, entry in by_name.items() if _is_default(entry)), "")
    if chosen not in by_name:
        what = f"StorageClass {name}" if name else "a default StorageClass"
        raise StackgateError(f"{what} for volumes that several nodes share", f"the cluster has: {', '.join(by_name) or 'none'}", INSTALL)
    entry = by_name[chosen]
    made_of = {"name": chosen, **{key: entry.get(key) for key in ("provisioner", "parameters", "mountOptions")}}
    return StorageClass(chosen, True, _digest(made_of))


def _is_default(entry: Mapping[str, Any]) -> bool:
    return (entry["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def remembered(cluster: Cluster, namespace: str, wanted: StorageClass) -> str:
    """What was proved of just this class, as a sentence; empty when nothing was."""
    memory = cluster.get("v1", "ConfigMap", MEMORY, namespace)
    try:
        kept = json.loads(((memory or {}).get("data") or {}).get(wanted.key) or "{}")
    except ValueError:
        return ""
    return str(kept.get("proof") or "") if kept.get("class") == wanted.fingerprint else ""


def remember(cluster: Cluster, namespace: str, wanted: StorageClass, proof: str) -> None:
    """Keep a proof."""
    memory = cluster.get("v1", "ConfigMap", MEMORY, namespace) or {}
    data = {**(memory.get("data") or {}), wanted.key: json.dumps({"class": wanted.fingerprint, "proof": proof})}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MEMORY, "namespace": namespace}, "data": data})


def forget(cluster: Cluster, namespace: str, dry_run: bool = False) -> bool:
    """Delete the memory and what an interrupted proof has left; whether there was something."""
    found = cluster.delete("v1", "ConfigMap", MEMORY, namespace, dry_run=dry_run)
    return _sweep(cluster, namespace, dry_run) or found


class NotTried(StackgateError):
    """The pods of the proof could not run, for a reason that says nothing about the class."""


@dataclass
class Proof:
    """One proof. nodes: how many pods can be spread over at most, 2 unless the cluster has a single one. timeout: seconds."""

    cluster: Cluster
    namespace: str
    storage_class: StorageClass
    image: str
    pull_secret: str
    timeout: float
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    run: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        self.spread = _nodes(self.cluster) != 1
        self._session = Session(self.cluster, self.namespace)

    @property
    def name(self) -> str:
        """Of the claim; the pods add their side."""
        return f"shared-storage-proof-{self.run}"

    def make(self) -> str:
        """What was proved, as a sentence. StackgateError when the class does not do it, NotTried when that could not be found out."""
        _sweep(self.cluster, self.namespace)
        try:
            self.cluster.create(self.claim())
            for side in SIDES:
                self._create(self.pod(side))
            return self._watch()
        finally:
            _sweep(self.cluster, self.namespace)

    # -- objects -------------------------------------------------------------------------------------------------

    def claim(self) -> dict[str, Any]:
        """A small volume of the class."""
        spec: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "16Mi"}}}
        if self.storage_class.name:
            spec["storageClassName"] = self.storage_class.name
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": self._meta(self.name), "spec": spec}

    def pod(self, side: str) -> dict[str, Any]:
        """One of the two pods."""
        other = next(one for one in SIDES if one != side)
        apart = {"labelSelector": {"matchLabels": {LABEL: self.run}}, "topologyKey": "kubernetes.io/hostname"}
        environment = {"TOKEN": self.run, "MINE": side, "OTHER": other}
        spec: dict[str, Any] = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "proof",
                    "image": self.image,
                    "command": ["/bin/sh", "-c", SCRIPT],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                }
            ],
            "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": self.name}}],
        }
        if self.spread:
            spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
        if self.pull_secret:
            spec["imagePullSecrets"] = [{"name": self.pull_secret}]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self._meta(f"{self.name}-{side}"), "spec": spec}

    def _meta(self, name: str) -> dict[str, Any]:
        return {"name": name, "namespace": self.namespace, "labels": {LABEL: self.run}}

    def _create(self, pod: Mapping[str, Any]) -> None:
        """Make a pod. In a namespace that is a moment old, the ServiceAccount that every pod needs may be missing still."""
        begun = self.now()
        while True:
            try:
                self.cluster.create(pod)
                return
            except ApiError as error:
                if "service account" not in error.message.lower() or self.now() - begun > ACCOUNT_PATIENCE:
                    raise
            self.sleep(INTERVAL)

    # -- what comes of them --------------------------------------------------------------------------------------

    def _watch(self) -> str:
        begun = said = self.now()
        while True:
            view = View(self._session)
            pods = [pod for pod in view.objects("Pod") if (pod["metadata"].get("labels") or {}).get(LABEL) == self.run]
            if len(pods) == len(SIDES) and all((pod.get("status") or {}).get("phase") == "Succeeded" for pod in pods):
                return self._sentence(sorted(str(pod["spec"].get("nodeName")) for pod in pods), self.now() - begun)
            waited = self.now() - begun
            doing = "; ".join(_pods.activity(pod, view) for pod in pods) or "the pods are being made"
            self._judge(pods, view, waited)
            if waited >= self.timeout:
                raise self._failure(f"the two pods did not see each other's file: {doing}", waited)
            if self.now() - said >= SAY_EVERY:
                said = self.now()
                self.say(f"storage class {self._class}: two pods share a volume, for {waited:.0f} s: {doing}")
            self.sleep(INTERVAL)

    def _judge(self, pods: list[dict[str, Any]], view: View, waited: float) -> None:
        """End it when waiting has become useless."""
        for event in view.events("PersistentVolumeClaim", self.name):
            said = _pods.short(event.get("message") or "")
            never = any(word in said.lower() for word in NEVER)
            if event.get("reason") == "ProvisioningFailed" and (never or waited > PATIENCE):
                raise self._failure(f"its provisioner refuses a ReadWriteMany volume: {said}", waited)
        for pod in pods:
            name = pod["metadata"]["name"]
            if (pod.get("status") or {}).get("phase") == "Failed":
                log = self.cluster.logs(name, self.namespace, "proof", lines=5).strip()
                raise self._failure(f"{_pods.label(pod)} cannot write to the volume: {_pods.short(log) or 'no word in its log'}", waited)
            for trouble in _pods.troubles(pod, view):
                if "volume node affinity" in trouble.text and waited > PATIENCE / 3:
                    raise self._failure(f"its volume exists on one node only: {trouble.text}", waited)
                if "Multi-Attach" in trouble.text and waited > PATIENCE:
                    raise self._failure(f"its volume goes to one node at a time: {trouble.text}", waited)
                if trouble.fatal and "mount" not in trouble.reason.lower():
                    raise NotTried(f"two pods that prove storage class {self._class} run", trouble.text, trouble.hint, waited)

    @property
    def _class(self) -> str:
        return self.storage_class.name or "(the cluster's default)"

    def _failure(self, seen: str, waited: float) -> StackgateError:
        where = "on two nodes" if self.spread else "at the same time"
        return StackgateError(f"volumes of storage class {self._class} can be read and written by pods {where}", seen, INSTALL, waited)

    def _sentence(self, nodes: list[str], seconds: float) -> str:
        there = " and ".join(dict.fromkeys(nodes))
        alone = "" if len(set(nodes)) > 1 else " (the cluster has one node: nothing is proved across nodes)"
        return f"two pods shared a volume on {there}, {seconds:.0f} s{alone}"


def _nodes(cluster: Cluster) -> int:
    """Nodes that take pods; 0 when this identity may not know."""
    try:
        nodes = cluster.list("v1", "Node", cached=True)
    except ApiError as error:
        if not error.forbidden:
            raise
        return 0
    return sum(1 for node in nodes if not (node.get("spec") or {}).get("unschedulable"))


def _sweep(cluster: Cluster, namespace: str, dry_run: bool = False) -> bool:
    """Delete the pods and claims of every proof; whether there were some."""
    swept = False
    for kind in ("Pod", "PersistentVolumeClaim"):
        for entry in cluster.list("v1", kind, namespace, labels=LABEL):
            if not entry["metadata"].get("deletionTimestamp"):
                swept = cluster.delete("v1", kind, entry["metadata"]["name"], namespace, dry_run=dry_run) or swept
    return swept
