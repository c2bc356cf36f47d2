# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that volumes are shared: what it makes, how it ends, what it leaves and what it remembers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils import shared_storage
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

CLASSES = [
    {"metadata": {"name": "fast", "annotations": {shared_storage.DEFAULT_CLASS: "true"}}, "provisioner": "local", "parameters": {}},
    {"metadata": {"name": "nfs"}, "provisioner": "nfs.csi.k8s.io", "parameters": {"share": "/srv"}},
]


class Cluster:
    """Objects by kind. play: called before each look at the pods, to let things happen."""

    clock_offset = 0.0

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {"StorageClass": copy.deepcopy(CLASSES), "Node": [{"spec": {}}, {"spec": {}}]}
        self.forbidden: set[str] = set()
        self.play: Callable[[Cluster], None] = lambda cluster: None
        self.created: list[str] = []
        self.refusals: list[ApiError] = []
        self.time = 0.0

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, labels: str = "", cached: bool = False
    ) -> list[dict[str, Any]]:
        if kind in self.forbidden:
            raise ApiError(f"GET {kind}", 403, {"reason": "Forbidden", "message": "no"})
        if kind == "Pod" and not labels:
            self.play(self)
        found = self.objects.get(kind, [])
        return [item for item in found if not labels or labels in (item["metadata"].get("labels") or {})]

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return next((item for item in self.objects.get(kind, []) if item["metadata"]["name"] == name), None)

    def create(self, document: dict[str, Any]) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.created.append(f"{document['kind']}/{document['metadata']['name']}")
        self.objects.setdefault(document["kind"], []).append({**copy.deepcopy(document), "status": {"phase": "Pending"}})

    def apply(self, document: dict[str, Any]) -> None:
        self.objects[document["kind"]] = [document]

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None, *, dry_run: bool = False) -> bool:
        found = self.get(api_version, kind, name, namespace)
        if found and not dry_run:
            self.objects[kind].remove(found)
        return found is not None

    def logs(self, pod: str, namespace: str, container: str, *, lines: int = 50) -> str:
        return "sh: 1: cannot create /shared/a: Permission denied\n"

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def proof(cluster: Cluster, name: str = "nfs", timeout: float = 60.0, lines: list[str] | None = None) -> shared_storage.Proof:
    wanted = shared_storage.storage_class(cluster, name)  # type: ignore[arg-type]
    say = (lines if lines is not None else []).append
    clock = {"now": lambda: cluster.time, "sleep": cluster.sleep}
    return shared_storage.Proof(cluster, "shop", wanted, "debian", "pull", timeout, say, **clock)  # type: ignore[arg-type]


def finish(cluster: Cluster) -> None:
    for number, pod in enumerate(cluster.objects.get("Pod", []), 1):
        pod["spec"]["nodeName"] = f"node{number}"
        pod["status"] = {"phase": "Succeeded"}


def test_two_pods_on_two_nodes_share_a_volume_and_nothing_is_left(cluster: Cluster) -> None:
    cluster.play = finish
    made = proof(cluster)
    assert made.make() == "two pods shared a volume on node1 and node2, 0 s"
    assert cluster.created == [f"PersistentVolumeClaim/{made.name}", f"Pod/{made.name}-a", f"Pod/{made.name}-b"]
    assert cluster.objects["Pod"] == cluster.objects["PersistentVolumeClaim"] == []


def test_the_objects_of_the_proof(cluster: Cluster) -> None:
    made = proof(cluster)
    assert made.claim()["spec"]["accessModes"] == ["ReadWriteMany"]
    assert made.claim()["spec"]["storageClassName"] == "nfs"
    one, two = made.pod("a"), made.pod("b")
    for pod in (one, two):
        (apart,) = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), "they keep away from each other"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
        assert "nodeName" not in pod["spec"], "the scheduler chooses: it binds volumes, too"
    values = [{entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]} for pod in (one, two)]
    assert values[0]["TOKEN"] == values[1]["TOKEN"]
    assert (values[0]["MINE"], values[0]["OTHER"]) == (values[1]["OTHER"], values[1]["MINE"]) == ("a", "b")


def test_on_a_single_node_both_pods_run_there_and_it_is_said(cluster: Cluster) -> None:
    cluster.objects["Node"] = [{"spec": {}}, {"spec": {"unschedulable": True}}]

    def same(_cluster: Cluster) -> None:
        finish(cluster)
        for pod in cluster.objects["Pod"]:
            pod["spec"]["nodeName"] = "node1"

    cluster.play = same
    made = proof(cluster)
    assert "affinity" not in made.pod("a")["spec"]
    assert made.make().endswith("(the cluster has one node: nothing is proved across nodes)")


def test_a_class_that_does_not_exist(cluster: Cluster) -> None:
    with pytest.raises(StackgateError) as caught:
        shared_storage.storage_class(cluster, "longhorn")  # type: ignore[arg-type]
    assert caught.value.seen == "the cluster has: fast, nfs"
    assert "stackgate_storage_class_shared" in caught.value.hint
    assert shared_storage.storage_class(cluster, "").name == "fast"  # type: ignore[arg-type]


def event(cluster: Cluster, reason: str, message: str) -> None:
    claim = cluster.objects["PersistentVolumeClaim"][0]["metadata"]["name"]
    involved = {"kind": "PersistentVolumeClaim", "name": claim}
    cluster.objects["Event"] = [{"metadata": {"name": "e"}, "involvedObject": involved, "reason": reason, "message": message}]


def test_a_provisioner_that_never_gives_such_volumes_ends_it_at_once(cluster: Cluster) -> None:
    cluster.play = lambda _cluster: event(cluster, "ProvisioningFailed", "NodePath only supports ReadWriteOnce access modes")
    with pytest.raises(StackgateError) as caught:
        proof(cluster, "fast").make()
    assert caught.value.seen.startswith("its provisioner refuses a ReadWriteMany volume: NodePath only supports")
    assert cluster.time == 0.0
    assert cluster.objects["PersistentVolumeClaim"] == [], "nothing is left"


def test_a_provisioner_in_trouble_gets_some_time(cluster: Cluster) -> None:
    cluster.play = lambda _cluster: event(cluster, "ProvisioningFailed", "connection refused")
    with pytest.raises(StackgateError, match="connection refused"):
        proof(cluster).make()
    assert shared_storage.PATIENCE < cluster.time < 60


def test_files_that_are_not_seen_on_the_other_node(cluster: Cluster) -> None:
    lines: list[str] = []
    with pytest.raises(StackgateError) as caught:
        proof(cluster, timeout=25, lines=lines).make()
    assert caught.value.expected == "volumes of storage class nfs can be read and written by pods on two nodes"
    assert caught.value.seen.startswith("the two pods did not see each other's file")
    assert len(lines) == 2, "it says what it waits for"
    assert cluster.objects["Pod"] == []


def test_a_pod_that_may_not_write(cluster: Cluster) -> None:
    def fail(_cluster: Cluster) -> None:
        for pod in cluster.objects.get("Pod", []):
            pod["status"] = {"phase": "Failed"}

    cluster.play = fail
    with pytest.raises(StackgateError, match="cannot write to the volume: sh: 1: cannot create /shared/a: Permission denied"):
        proof(cluster).make()


def test_an_image_that_is_not_there_says_nothing_about_the_class(cluster: Cluster) -> None:
    def no_image(_cluster: Cluster) -> None:
        for pod in cluster.objects.get("Pod", []):
            waiting = {"reason": "ErrImagePull", "message": "debian: not found"}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "proof", "state": {"waiting": waiting}}]}

    cluster.play = no_image
    with pytest.raises(shared_storage.NotTried, match="ErrImagePull"):
        proof(cluster).make()
    assert cluster.objects["Pod"] == []


def test_a_young_namespace_gets_its_service_account_first(cluster: Cluster) -> None:
    cluster.play = finish
    made = proof(cluster)
    made._create(made.pod("a"))
    late = ApiError("POST", 403, {"message": 'error looking up service account shop/default: serviceaccount "default" not found'})
    cluster.refusals = [late, late]
    made._create(made.pod("b"))
    assert cluster.time == 2 * shared_storage.INTERVAL
    cluster.refusals = [ApiError("POST", 403, {"message": "exceeded quota"})]
    with pytest.raises(ApiError, match="quota"):
        made._create(made.pod("b"))


def test_what_was_left_by_an_interrupted_run_is_swept(cluster: Cluster) -> None:
    left = {"metadata": {"name": "old", "labels": {shared_storage.LABEL: "x"}}, "spec": {}, "status": {}}
    other = {"metadata": {"name": "web-0", "labels": {}}, "spec": {}, "status": {}}
    cluster.objects["Pod"] = [left, other]

    def play(_cluster: Cluster) -> None:
        for pod in cluster.objects["Pod"]:
            if pod is not other:
                pod.update(status={"phase": "Succeeded"})

    cluster.play = play
    proof(cluster).make()
    assert cluster.objects["Pod"] == [other]


def test_a_proof_is_remembered_as_long_as_the_class_stays_what_it_is(cluster: Cluster) -> None:
    def wanted() -> shared_storage.StorageClass:
        return shared_storage.storage_class(cluster, "nfs")  # type: ignore[arg-type]

    def known() -> str:
        return shared_storage.remembered(cluster, "shop", wanted())  # type: ignore[arg-type]

    assert known() == ""
    shared_storage.remember(cluster, "shop", shared_storage.storage_class(cluster, "fast"), "another")  # type: ignore[arg-type]
    shared_storage.remember(cluster, "shop", wanted(), "two pods")  # type: ignore[arg-type]
    assert known() == "two pods"
    assert len(cluster.objects["ConfigMap"][0]["data"]) == 2, "others' proofs are kept"
    cluster.objects["StorageClass"][1]["parameters"]["share"] = "/other"
    assert known() == ""
    cluster.objects["ConfigMap"][0]["data"]["shared-storage.nfs"] = "no JSON"
    assert known() == ""


def test_where_classes_may_not_be_read_the_name_is_remembered(cluster: Cluster) -> None:
    cluster.forbidden = {"StorageClass", "Node"}
    wanted = shared_storage.storage_class(cluster, "")  # type: ignore[arg-type]
    assert (wanted.known, wanted.key) == (False, "shared-storage.default")
    assert "affinity" in proof(cluster, "").pod("a")["spec"], "unknown nodes are taken for several"


def test_forgetting(cluster: Cluster) -> None:
    shared_storage.remember(cluster, "shop", shared_storage.storage_class(cluster, "nfs"), "two pods")  # type: ignore[arg-type]
    assert shared_storage.forget(cluster, "shop", dry_run=True)  # type: ignore[arg-type]
    assert shared_storage.forget(cluster, "shop")  # type: ignore[arg-type]
    assert not shared_storage.forget(cluster, "shop")  # type: ignore[arg-type]
