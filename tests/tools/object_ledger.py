# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of the object storage in a pod, which keeps a ledger of what was acknowledged, and looks at the store from here."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from instance import Instance
from kubernetes.client.exceptions import ApiException
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Store

PORT = 9000
SERVERS = "app.kubernetes.io/component=object-storage"


def gate(instance: Instance) -> dict[str, str]:
    """What the gate sees now, by kind of condition (s3, rollout, ...), with whether it holds."""
    run = instance.play(playbook="playbooks/status.yml")
    assert run.status == 0, run.failed
    report, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("\n{\n") + 1 if not run.output.startswith("{") else 0 :])
    results = [result for play in report["plays"] for task in play["tasks"] for result in task["hosts"].values()]
    conditions = [condition for result in results for condition in result.get("conditions") or []]
    return {condition["kind"]: f"{condition['state']}: {' '.join(condition['seen'].split())}" for condition in conditions}


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return not pod["metadata"].get("deletionTimestamp") and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@dataclass
class Storage:
    """The store of an instance: its pods, and the store as somebody's keys see it."""

    instance: Instance

    def pods(self) -> list[dict[str, Any]]:
        return sorted(self.instance.pods(SERVERS), key=lambda pod: str(pod["metadata"]["name"]))

    def ready(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if is_ready(pod)]

    def nodes(self) -> dict[str, str]:
        """Where each pod is."""
        return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in self.pods()}

    def store(self, secret: str, pod: str = "") -> Store:
        """The store through one server (the first that is ready), with the keys of a Secret."""
        cluster = Cluster({"kubeconfig": str(self.instance.kubeconfig)})
        server = reach.pod_server(cluster, self.instance.namespace, pod or self.ready()[0], PORT, None)
        found = Keys(self.instance.secret(secret, "access-key"), self.instance.secret(secret, "secret-key"))
        return server.store(found)

    def scale(self, pods: int, name: str = "object-storage") -> None:
        """Somebody else's hand: so many servers, and wait until the others are gone."""
        sets = self.instance.dynamic.resources.get(api_version="apps/v1", kind="StatefulSet")
        patch = {"spec": {"replicas": pods}}
        sets.patch(name=name, namespace=self.instance.namespace, body=patch, content_type="application/merge-patch+json")
        until(f"{pods} servers are left", lambda: len(self.pods()) == pods, 90)


@dataclass
class Ledger:
    """What the application's pod wrote down. Times are seconds since 1970."""

    instance: Instance
    image: str
    run: str = field(default_factory=lambda: secrets.token_hex(3))

    def start(self) -> None:
        self.stop()
        self.instance.core.create_namespaced_pod(self.instance.namespace, pod(self.image, self.run))
        until("the ledger has begun", lambda: any(not line.get("error") for line in self.lines()), 60)

    def stop(self) -> None:
        with contextlib.suppress(ApiException):
            self.instance.core.delete_namespaced_pod("ledger", self.instance.namespace, grace_period_seconds=0)
        until("the ledger's pod is gone", lambda: not self.instance.pods("app.kubernetes.io/name=ledger"), 60)

    def lines(self, since: float = 0.0, before: float = float("inf")) -> list[dict[str, Any]]:
        """What it did in a time."""
        try:
            said = self.instance.core.read_namespaced_pod_log("ledger", self.instance.namespace) or ""
        except ApiException:
            return []
        found = (json.loads(line) for line in said.splitlines() if line.startswith("{") and line.endswith("}"))
        return [line for line in found if since <= line["at"] < before]


@dataclass(frozen=True)
class Account:
    """What came of it: how many requests of a kind went well and badly, and for how long none went well (seconds)."""

    done: int
    failed: int
    gap: float
    errors: tuple[str, ...]

    @staticmethod
    def of(operation: str, lines: list[dict[str, Any]], since: float, before: float) -> Account:
        mine = [line for line in lines if line["operation"] == operation]
        well = [line for line in mine if not line.get("error")]
        moments = [since, *(line["at"] + line["took"] for line in well), before]
        gap = max(later - earlier for earlier, later in itertools.pairwise(moments))
        errors = sorted({str(line["error"])[:160] for line in mine if line.get("error")})
        return Account(len(well), len(mine) - len(well), round(gap, 1), tuple(errors))

    def __str__(self) -> str:
        return f"{self.done} well, {self.failed} badly, longest gap {self.gap} s; {'; '.join(self.errors)}"


def acknowledged(lines: list[dict[str, Any]]) -> dict[str, str]:
    """The hash of each object that the store said it had."""
    return {line["name"]: line["hash"] for line in lines if line["operation"] == "put" and not line.get("error")}


def lost(store: Store, bucket: str, wanted: dict[str, str]) -> list[str]:
    """Which of the objects cannot be read back with the same content."""

    def check(item: tuple[str, str]) -> Iterator[str]:
        name, wanted_hash = item
        try:
            seen = hashlib.sha256(store.get(bucket, name)).hexdigest()
        except Exception as error:
            yield f"{name}: {error}"
            return
        if seen != wanted_hash:
            yield f"{name}: another content"

    with ThreadPoolExecutor(8) as pool:
        return [problem for problems in pool.map(lambda item: list(check(item)), wanted.items()) for problem in problems]


def pod(image: str, run: str) -> dict[str, Any]:
    """The application's pod."""
    return {
        "metadata": {
            "name": "ledger",
            "labels": {
                "app.kubernetes.io/name": "ledger",
                "app.kubernetes.io/component": "ledger",
                "stackgate.k3s/client-of-object-storage": "true",
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            # Not where a test pulls the plug.
            "nodeSelector": {"kubernetes.io/hostname": "node1"},
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10000, "fsGroup": 10000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "ledger",
                    "image": image,
                    "env": [{"name": "RUN", "value": run}],
                    "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "keys", "mountPath": "/run/secrets/object-storage", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "keys", "secret": {"secretName": "object-storage", "defaultMode": 0o440}}],
        },
    }
