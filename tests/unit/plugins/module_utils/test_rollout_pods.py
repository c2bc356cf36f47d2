# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods are old, by recordings of a StatefulSet with the strategy OnDelete; and how one is replaced."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import RecordedCluster

PODS = {f"store-{n}.store:27017": f"store-{n}" for n in range(3)}
HOSTS = list(PODS)


class Cluster(RecordedCluster):
    """A recording whose pods can be deleted: the successor comes `after` looks later, of the wanted revision."""

    after = 2

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.deleted: list[tuple[str, str]] = []
        self._coming: list[tuple[int, dict[str, Any]]] = []

    def list(self, api_version: str, kind: str, namespace: str | None = None, cached: bool = False) -> list[dict[str, Any]]:
        if kind == "Pod":
            self._coming = [(left - 1, pod) for left, pod in self._coming]
            self.objects["Pod"] += [pod for left, pod in self._coming if left == 0]
        return super().list(api_version, kind, namespace, cached)

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None, *, uid: str = "") -> bool:
        assert uid, "only that very pod"
        self.deleted.append((name, uid))
        pod = self.object("Pod", name)
        self.objects["Pod"].remove(pod)
        successor = copy.deepcopy(pod)
        successor["metadata"]["uid"] = f"{uid}-successor"
        successor["metadata"]["labels"]["controller-revision-hash"] = self.object("StatefulSet", "store")["status"]["updateRevision"]
        self._coming.append((self.after, successor))
        return True


def pods(cluster: Cluster, **more: Any) -> Pods:
    return Pods(cluster, cluster.namespace, PODS, sleep=lambda _seconds: None, **more)  # type: ignore[arg-type]


def test_pods_of_another_revision_are_old() -> None:
    assert pods(Cluster("stateful_on_delete_updating")).pending() == dict.fromkeys(HOSTS, "revision 56cbf9b5df -> 77764688ff")


def test_pods_of_the_wanted_revision_stay() -> None:
    cluster = Cluster("stateful_on_delete_ready")
    assert pods(cluster).pending() == {}
    assert cluster.calls == ["Pod", "StatefulSet/store"], "nothing to do costs two questions"


def test_pods_that_are_asked_for_by_uid() -> None:
    cluster = Cluster("stateful_on_delete_ready")
    uid = cluster.object("Pod", "store-1")["metadata"]["uid"]
    assert pods(cluster, asked={uid: "asked for"}).pending() == {HOSTS[1]: "asked for"}
    assert sorted(pods(cluster).uids()) == sorted(pod["metadata"]["uid"] for pod in cluster.objects["Pod"])


def test_a_pod_is_replaced_and_its_successor_waited_for() -> None:
    cluster = Cluster("stateful_on_delete_updating")
    uid = cluster.object("Pod", "store-1")["metadata"]["uid"]
    rolling = pods(cluster, asked={uid: "asked for"})
    rolling.replace(HOSTS[1])
    assert cluster.deleted == [("store-1", uid)]
    assert list(rolling.pending()) == [HOSTS[0], HOSTS[2]]


def test_a_successor_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("stateful_on_delete_updating")
    cluster.after = -1
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with pytest.raises(StackgateError, match="nobody has made a new one"):
        pods(cluster).replace(HOSTS[1])


def test_a_change_that_the_controller_has_not_seen_is_waited_for() -> None:
    cluster = Cluster("stateful_on_delete_updating")
    cluster.object("StatefulSet", "store")["metadata"]["generation"] = 3
    seen = iter(range(5))

    def sleep(_seconds: float) -> None:
        if next(seen) == 3:
            cluster.object("StatefulSet", "store")["status"]["observedGeneration"] = 3

    rolling = pods(cluster)
    rolling.sleep = sleep
    assert len(rolling.pending()) == 3


def test_pods_that_are_not_there_and_those_of_nobody() -> None:
    cluster = Cluster("stateful_on_delete_updating")
    cluster.objects["Pod"] = [pod for pod in cluster.objects["Pod"] if pod["metadata"]["name"] != "store-0"]
    assert list(pods(cluster).pending()) == HOSTS[1:]
    cluster.objects["StatefulSet"] = []
    assert pods(cluster).pending() == {}
    pods(cluster).replace(HOSTS[0])
    assert cluster.deleted == []


def test_the_pods_of_a_stateful_set() -> None:
    cluster = Cluster("stateful_on_delete_ready")
    assert pods(cluster).made_by(["store"]) == pods(cluster).uids()
    assert pods(cluster).made_by(["other"]) == []


def test_a_pod_that_does_not_run() -> None:
    cluster = Cluster("stateful_on_delete_ready")
    assert [pods(cluster).down(host) for host in HOSTS] == [False] * 3
    cluster.object("Pod", "store-2")["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    cluster.objects["Pod"] = [pod for pod in cluster.objects["Pod"] if pod["metadata"]["name"] != "store-0"]
    assert [pods(cluster).down(host) for host in HOSTS] == [True, False, True]


def test_a_server_that_does_not_run_beside_an_exporter_that_does() -> None:
    cluster = Cluster("stateful_on_delete_ready")
    pod = cluster.object("Pod", "store-2")
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 27017}]
    pod["spec"]["containers"].append({"name": "exporter", "ports": [{"containerPort": 9216}]})
    exporter = {"name": "exporter", "state": {"running": {}}}
    pod["status"]["containerStatuses"].append(exporter)
    assert pods(cluster).down(HOSTS[2]) is False
    pod["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 14}}
    assert pods(cluster).down(HOSTS[2]) is True
    pod["status"]["containerStatuses"][0]["state"] = {"running": {}}
    exporter["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert pods(cluster).down(HOSTS[2]) is False


def test_what_keeps_a_pod_from_starting() -> None:
    assert pods(Cluster("stateful_on_delete_ready")).trouble() is None
    cluster = Cluster("stateful_on_delete_ready")
    status = cluster.object("Pod", "store-2")["status"]["containerStatuses"][0]
    status.update(
        state={"waiting": {"reason": "InvalidImageName", "message": 'Failed to apply default image tag "x::": invalid'}}, ready=False
    )
    for condition in cluster.object("Pod", "store-2")["status"]["conditions"]:
        condition["status"] = "False" if condition["type"] in ("Ready", "ContainersReady") else condition["status"]
    found = pods(cluster).trouble()
    assert found is not None and "InvalidImageName" in found.seen
