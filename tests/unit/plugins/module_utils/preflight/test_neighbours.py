# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of members that share a node although another one is free."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.neighbours import neighbours

READY = {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]}
SPREAD = {"topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname"}]}
PREFERRED = {
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]
}
REQUIRED = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}


def stateful_set(name="redis-sentinel", spec=None):
    return {"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": {"template": {"spec": SPREAD if spec is None else spec}}}


def pods(*nodes, of="redis-sentinel", kind="StatefulSet", volume=True, ready=True):
    volumes = [{"name": "run", "emptyDir": {}}]
    return [
        {
            "metadata": {"name": f"{of}-{n}", "ownerReferences": [{"kind": kind, "uid": of, "controller": True}]},
            "spec": {
                **({"nodeName": node} if node else {}),
                "volumes": [*volumes, *([{"name": "data", "persistentVolumeClaim": {"claimName": f"data-{of}-{n}"}}] if volume else [])],
            },
            "status": READY if ready else {},
        }
        for n, node in enumerate(nodes)
    ]


def node(name, ready=True, **spec):
    return {"metadata": {"name": name}, "spec": spec, "status": READY if ready else {}}


THREE = [node("node1"), node("node2"), node("node3")]


def test_two_of_three_on_one_node_are_named_with_what_helps():
    (said,) = neighbours([stateful_set()], pods("node2", "node1", "node2"), THREE)
    assert "2 of 3 pods of StatefulSet/redis-sentinel are on node node2 (redis-sentinel-0, redis-sentinel-2), though node3 could" in said
    assert "1 is left, no majority" in said
    assert "kubectl delete -n shop --wait=false pvc/data-redis-sentinel-2 pod/redis-sentinel-2;" in said


def test_without_a_volume_the_pod_alone_is_to_go():
    (said,) = neighbours([stateful_set()], pods("node2", "node1", "node2", volume=False), THREE)
    assert "--wait=false pod/redis-sentinel-2;" in said


def test_a_majority_may_be_left():
    (said,) = neighbours([stateful_set()], pods("node2", "node2", "node1", "node1", "node3", "node3", "node4"), [*THREE, node("node5")])
    assert "2 of 7" in said
    assert "5 are left;" in said


@pytest.mark.parametrize(
    "nodes",
    [("node1", "node2", "node3"), ("node1", "node2", "node3", "node1", "node2"), ("node1",), ("node1", None, None), ()],
    ids=str,
)
def test_who_is_as_spread_as_can_be_is_not_talked_about(nodes):
    assert neighbours([stateful_set()], pods(*nodes), THREE) == []


@pytest.mark.parametrize(
    "third",
    [
        node("node3", ready=False),
        node("node3", unschedulable=True),
        node("node3", taints=[{"key": "only-for", "effect": "NoSchedule"}]),
    ],
    ids=["down", "cordoned", "tainted"],
)
def test_a_node_that_takes_no_pods_is_not_free(third):
    assert neighbours([stateful_set()], pods("node1", "node2", "node1"), [*THREE[:2], third]) == []
    assert neighbours([stateful_set()], pods("node1", "node1", "node1"), [*THREE[:2], third]) != []


@pytest.mark.parametrize(
    ("spec", "wants"),
    [
        ({}, False),
        ({"topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone"}]}, False),
        ({"affinity": {"nodeAffinity": {}}}, False),
        ({"affinity": {"podAntiAffinity": PREFERRED}}, True),
        ({"affinity": {"podAntiAffinity": REQUIRED}}, True),
    ],
    ids=str,
)
def test_only_who_wants_to_be_spread_is_looked_at(spec, wants):
    assert bool(neighbours([stateful_set(spec=spec)], pods("node1", "node1", "node1"), THREE)) is wants


def test_each_set_counts_its_own_pods():
    sets = [stateful_set(), stateful_set("redis")]
    assert neighbours(sets, [*pods("node1", "node2", "node3"), *pods("node3", "node2", "node1", of="redis")], THREE) == []


def test_without_a_list_of_nodes_those_count_that_have_a_pod_here():
    crowded, others = pods("node2", "node1", "node2"), pods("node3", of="redis")
    assert neighbours([stateful_set()], crowded, []) == []
    assert len(neighbours([stateful_set()], [*crowded, *others], [])) == 1
    assert neighbours([stateful_set()], [*crowded, *pods("node3", of="redis", ready=False)], []) == []
    # A DaemonSet's pod may be where no other one is let.
    assert neighbours([stateful_set()], [*crowded, *pods("node3", of="proxy", kind="DaemonSet")], []) == []
