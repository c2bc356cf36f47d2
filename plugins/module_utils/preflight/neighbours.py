# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a store that share a node although another node has none of them. Pure.

A spread is a preference, and a volume keeps its pod on its node: nobody moves such a member by himself, also when all nodes are back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HOST = "kubernetes.io/hostname"
# Effects of a taint that keep new pods away.
KEEP_AWAY = ("NoSchedule", "NoExecute")


def neighbours(sets: Iterable[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each StatefulSet that wants its pods on different nodes, and has two more on one node than on another one.

    pods: of the StatefulSets' namespace. nodes: of the cluster; none where they may not be listed: then those count that have a ready
    pod here, other than a DaemonSet's.
    """
    usable = {str(node["metadata"]["name"]) for node in nodes if _usable(node)} if nodes else {_node(pod) for pod in pods if _anywhere(pod)}
    found = []
    for one in sorted(sets, key=lambda one: str(one["metadata"]["name"])):
        where = {str(pod["metadata"]["name"]): _node(pod) for pod in pods if _belongs(pod, one) and _node(pod)}
        if _wants_spread(one) and where:
            found += _sentence(one, where, usable, pods)
    return found


def _sentence(one: Mapping[str, Any], where: Mapping[str, str], usable: set[str], pods: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = Counter(where.values())
    node, most = max(sorted(counts.items()), key=lambda item: item[1])
    free = sorted(other for other in usable if counts[other] <= most - 2)
    if not free:
        return []
    together = sorted((pod for pod, its in where.items() if its == node), key=lambda pod: int(pod.rpartition("-")[2]))
    left = len(where) - most
    majority = "" if left > len(where) // 2 else ", no majority"
    claims = next(_claims(pod) for pod in pods if pod["metadata"]["name"] == together[-1])
    moved = " ".join([*(f"pvc/{claim}" for claim in claims), f"pod/{together[-1]}"])
    what = "a member that fills an empty volume from the others, while these are in order" if claims else "one"
    return [
        f"{most} of {len(where)} pods of StatefulSet/{one['metadata']['name']} are on node {node} ({', '.join(together)}), though "
        f"{' and '.join(free)} could have one: when that node is lost, {left} {'is' if left == 1 else 'are'} left{majority}; "
        f"to move {what}: kubectl delete -n {one['metadata']['namespace']} --wait=false {moved}; see docs/resilience.md"
    ]


def _wants_spread(one: Mapping[str, Any]) -> bool:
    spec = one["spec"]["template"]["spec"]
    rules = [*(spec.get("topologySpreadConstraints") or [])]
    anti = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    rules += anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    rules += [rule["podAffinityTerm"] for rule in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []]
    return any(rule.get("topologyKey") == HOST for rule in rules)


def _belongs(pod: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    return any(owner.get("uid") == one["metadata"]["uid"] for owner in pod["metadata"].get("ownerReferences") or [])


def _node(pod: Mapping[str, Any]) -> str:
    """Where a pod is; empty for one that is nowhere yet."""
    return str(pod["spec"].get("nodeName") or "")


def _anywhere(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's node is up and takes pods that tolerate nothing, as far as the pod can tell."""
    owners = {owner.get("kind") for owner in pod["metadata"].get("ownerReferences") or []}
    return bool(_node(pod)) and "DaemonSet" not in owners and _ready(pod)


def _claims(pod: Mapping[str, Any]) -> list[str]:
    return [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in pod["spec"].get("volumes") or []
        if "persistentVolumeClaim" in volume
    ]


def _usable(node: Mapping[str, Any]) -> bool:
    """Whether it takes new pods of any kind."""
    spec = node.get("spec") or {}
    return (
        _ready(node) and not spec.get("unschedulable") and not any(taint.get("effect") in KEEP_AWAY for taint in spec.get("taints") or [])
    )


def _ready(one: Mapping[str, Any]) -> bool:
    conditions = (one.get("status") or {}).get("conditions") or []
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)
