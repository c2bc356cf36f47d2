# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a cluster whose name server or ingress controller is on one node."""

from __future__ import annotations

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.single_points import INGRESS, NAMES, single_points


def endpoint(uid, node, ready=True):
    return {"addresses": [f"10.42.0.{uid}"], "nodeName": node, "conditions": {"ready": ready}, "targetRef": {"uid": f"u-{uid}"}}


class FakeCluster:
    """Nodes, and the endpoints of the two by their labels; an error is raised where one stands."""

    def __init__(self, names, ingress, nodes=3, sets=(), pods=()):
        self.found = {NAMES.labels: names, INGRESS.labels: ingress, "": nodes, "StatefulSet": sets, "Pod": pods}

    def list(self, api_version, kind, namespace=None, labels="", cached=False):
        found = self.found[kind if kind in self.found else labels]
        if isinstance(found, Exception):
            raise found
        if kind == "Node":
            return [{"metadata": {"name": f"node{n + 1}"}, "status": READY} for n in range(found)]
        if kind in ("StatefulSet", "Pod"):
            assert namespace == "shop"
            return list(found)
        assert namespace == ("kube-system" if labels == NAMES.labels else "edge")
        return [{"endpoints": found}, {"endpoints": None}]


SPREAD = [endpoint(1, "node1"), endpoint(2, "node2")]
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
FORBIDDEN = ApiError("GET", 403, {"reason": "Forbidden"})


def test_two_nodes_each_are_no_risk():
    assert single_points(FakeCluster(SPREAD, SPREAD), "edge") == []


def test_one_pod_is_named_with_its_node():
    (said,) = single_points(FakeCluster([endpoint(1, "node1")], SPREAD), "edge")
    assert "name server (CoreDNS) has one pod, on node node1" in said
    (said,) = single_points(FakeCluster(SPREAD, [endpoint(1, "node3")]), "edge")
    assert "ingress controller has one pod, on node node3" in said


def test_two_pods_on_one_node_are_no_better():
    (said,) = single_points(FakeCluster([endpoint(1, "node2"), endpoint(2, "node2")], SPREAD), "edge")
    assert "all its 2 pods on node node2" in said


def test_a_pod_that_is_not_ready_does_not_count_and_one_with_two_addresses_counts_once():
    names = [endpoint(1, "node1"), endpoint(1, "node1"), endpoint(2, "node2", ready=False)]
    (said,) = single_points(FakeCluster(names, SPREAD), "edge")
    assert "one pod, on node node1" in said


def test_what_may_not_be_read_is_not_talked_about():
    assert single_points(FakeCluster(FORBIDDEN, FORBIDDEN), "edge") == []
    assert single_points(FakeCluster([endpoint(1, "node1")], SPREAD, nodes=FORBIDDEN), "edge") == []


def test_one_node_is_a_risk_that_needs_no_telling():
    assert single_points(FakeCluster([endpoint(1, "node1")], [endpoint(2, "node1")], nodes=1), "edge") == []


def test_no_endpoints_at_all_are_left_to_the_gates():
    assert single_points(FakeCluster([], []), "edge") == []


def test_members_of_the_instance_that_share_a_node_are_named():
    template = {"spec": {"topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname"}]}}
    one = {"metadata": {"name": "redis", "namespace": "shop", "uid": "u"}, "spec": {"template": template}}
    pods = [
        {"metadata": {"name": f"redis-{n}", "ownerReferences": [{"uid": "u"}]}, "spec": {"nodeName": "node1"}, "status": READY}
        for n in (0, 1)
    ]
    (said,) = single_points(FakeCluster(SPREAD, SPREAD, sets=[one], pods=pods), "edge", "shop")
    assert "2 of 2 pods of StatefulSet/redis are on node node1" in said
    assert single_points(FakeCluster(SPREAD, SPREAD, sets=[one], pods=pods), "edge") == []
    assert single_points(FakeCluster(SPREAD, SPREAD, sets=[one], pods=pods, nodes=1), "edge", "shop") == []
    assert single_points(FakeCluster(SPREAD, SPREAD, sets=FORBIDDEN), "edge", "shop") == []
