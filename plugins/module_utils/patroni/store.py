# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni keeps in the Kubernetes API: ConfigMaps named after the scope (Patroni with use_endpoints off)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Seconds from one look to the next.
POLL = 0.5
KEPT = ("config", "leader", "failover", "sync", "failsafe")


def configuration(cluster: Cluster, namespace: str, scope: str) -> Mapping[str, Any] | None:
    """The dynamic configuration, whether or not a member runs; None when there is none yet. Raises StackgateError."""
    found = cluster.get("v1", "ConfigMap", f"{scope}-config", namespace)
    kept = ((found or {}).get("metadata", {}).get("annotations") or {}).get("config")
    try:
        known = json.loads(kept or "null")
    except ValueError as error:
        raise StackgateError(f"ConfigMap {scope}-config has Patroni's configuration as JSON", str(error)) from error
    return known if isinstance(known, dict) else None


def secret_volumes(cluster: Cluster, namespace: str, scope: str) -> dict[str, str]:
    """The Secrets that the members' pods mount, by the names of their volumes; those of new pods, while there are two kinds.

    Empty when there are no such pods yet. Raises StackgateError.
    """
    found = cluster.get("apps/v1", "StatefulSet", scope, namespace) or {}
    volumes = found.get("spec", {}).get("template", {}).get("spec", {}).get("volumes") or []
    return {str(volume["name"]): str(volume["secret"]["secretName"]) for volume in volumes if "secret" in volume}


def forget(cluster: Cluster, namespace: str, scope: str, timeout: float, check: bool = False) -> list[str]:
    """Delete them, once no member's pod is left; what was deleted (in check mode: what would be), as sentences.

    A member that still runs would make them anew, and keep its new cluster's identity. timeout: seconds that the pods may take to go.
    Raises StackgateError when they do not.
    """
    names = [f"{scope}-{part}" for part in KEPT]
    there = [name for name in names if cluster.get("v1", "ConfigMap", name, namespace) is not None]
    if there and not check:
        _wait_for_pods(cluster, namespace, scope, timeout)
        for name in there:
            cluster.delete("v1", "ConfigMap", name, namespace)
    return [f"delete ConfigMap {name}" for name in there]


def _wait_for_pods(cluster: Cluster, namespace: str, scope: str, timeout: float) -> None:
    begun = time.monotonic()
    while pods := _pods(cluster, namespace, scope):
        waited = time.monotonic() - begun
        if waited > timeout:
            expected = f"no pod of the cluster {scope} is left before what Patroni knows of it is deleted"
            raise StackgateError(expected, f"there are {', '.join(pods)}", "delete the StatefulSet first", waited)
        time.sleep(POLL)


def _pods(cluster: Cluster, namespace: str, scope: str) -> list[str]:
    """The members' pods that are there, those on their way out included."""
    return sorted(
        str(pod["metadata"]["name"])
        for pod in cluster.list("v1", "Pod", namespace, cached=True)
        if any(o.get("kind") == "StatefulSet" and o.get("name") == scope for o in pod["metadata"].get("ownerReferences") or [])
    )
