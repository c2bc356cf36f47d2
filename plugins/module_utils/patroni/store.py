# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni keeps in the Kubernetes API: ConfigMaps named after the scope (Patroni with use_endpoints off)."""

from __future__ import annotations

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

KEPT = ("config", "leader", "failover", "sync", "failsafe")


def forget(cluster: Cluster, namespace: str, scope: str, check: bool = False) -> list[str]:
    """Delete them; what was deleted (in check mode: what would be), as sentences. Raises StackgateError while a member's pod is there."""
    names = [f"{scope}-{part}" for part in KEPT]
    there = [name for name in names if cluster.get("v1", "ConfigMap", name, namespace) is not None]
    if not there:
        return []
    # A member without its leader's ConfigMap would make a new one, and one with another identity refuses its own data.
    pods = [
        str(pod["metadata"]["name"])
        for pod in cluster.list("v1", "Pod", namespace)
        if any(o.get("kind") == "StatefulSet" and o.get("name") == scope for o in pod["metadata"].get("ownerReferences") or [])
    ]
    if pods and not check:
        raise StackgateError(
            f"no pod of the cluster {scope} is left before what Patroni knows of it is deleted", f"there are {', '.join(sorted(pods))}"
        )
    if not check:
        for name in there:
            cluster.delete("v1", "ConfigMap", name, namespace)
    return [f"delete ConfigMap {name}" for name in there]
