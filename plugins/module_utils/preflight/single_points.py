# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one lost node takes away: of the cluster itself, and of an instance whose members share it. Reads only, and only what it may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.neighbours import neighbours


@dataclass(frozen=True)
class Shared:
    """Something that all applications of a cluster need.

    labels: of its Service, which its EndpointSlices have, too.
    """

    name: str
    labels: str
    loss: str


NAMES = Shared("name server (CoreDNS)", "k8s-app=kube-dns", "no name resolves in any pod")
INGRESS = Shared(
    "ingress controller",
    "app.kubernetes.io/name in (traefik, ingress-nginx, haproxy-ingress, kubernetes-ingress)",
    "no host name answers",
)
# Kubernetes notices a lost node after 50 s and moves a pod that says nothing else 300 s after that.
MOVED_AFTER = "for six minutes, until its pod has moved"


def single_points(cluster: Cluster, ingress_namespace: str, namespace: str = "") -> list[str]:
    """A sentence for each; nothing about what this identity may not read, nor about a cluster of one node.

    ingress_namespace: where the ingress controller's pods are. namespace: the instance's; empty: its members are not looked at.
    """
    nodes = _listed(cluster, "v1", "Node")
    found = _shared(cluster, ingress_namespace) if len(nodes) > 1 else []
    sets = _listed(cluster, "apps/v1", "StatefulSet", namespace) if namespace else []
    return found + neighbours(sets, _listed(cluster, "v1", "Pod", namespace) if sets else [], nodes)


def _shared(cluster: Cluster, ingress_namespace: str) -> list[str]:
    """What all applications need and one node alone has: a sentence for each whose ready pods are all on one."""
    found = []
    for shared, namespace in ((NAMES, "kube-system"), (INGRESS, ingress_namespace)):
        slices = _listed(cluster, "discovery.k8s.io/v1", "EndpointSlice", namespace, shared.labels)
        nodes = _nodes(slices)
        if len(set(nodes)) == 1:
            pods = "has one pod, on" if len(nodes) == 1 else f"has all its {len(nodes)} pods on"
            found.append(
                f"the cluster's {shared.name} {pods} node {nodes[0]}: when that node is lost, {shared.loss} {MOVED_AFTER}; "
                "docs/resilience.md tells how to have one on every node"
            )
    return found


def _nodes(slices: Iterable[Mapping[str, Any]]) -> list[str]:
    """The nodes of all ready pods; a pod is in one slice for each kind of address."""
    pods = {
        (endpoint.get("targetRef") or {}).get("uid") or endpoint["addresses"][0]: str(endpoint.get("nodeName", ""))
        for one in slices
        for endpoint in one.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True)
    }
    return sorted(pods.values())


def _listed(cluster: Cluster, api_version: str, kind: str, namespace: str | None = None, labels: str = "") -> list[dict[str, Any]]:
    """The objects, or none when this identity may not list them."""
    try:
        return cluster.list(api_version, kind, namespace, labels, cached=True)
    except ApiError as error:
        if error.forbidden:
            return []
        raise
