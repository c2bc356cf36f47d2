# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a drill takes place: the pods of a namespace, the ways into them, and what is done to them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import is_ready

# Kill every process of one of these names, and say how many they were. Its shell has another name.
KILL = """
count=0
for process in /proc/[0-9]*; do
  read -r name < "$process/comm" 2>/dev/null || continue
  for wanted; do
    if [ "$name" = "$wanted" ]; then kill -9 "${process#/proc/}" && count=$((count + 1)); fi
  done
done
echo "$count"
"""


class Place:
    """One namespace. Every method may raise StackgateError."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    def node(self, pod: str) -> str:
        """The node that a pod is on."""
        return str(self._pod(pod)["spec"].get("nodeName") or "")

    def proxy(self, daemon_set: str, avoided: str, preferred: Sequence[str]) -> str:
        """A ready pod of the DaemonSet, not on the avoided node, on a preferred one where there is a choice."""
        found = [pod for pod in self._pods() if _belongs(pod, daemon_set)]
        usable = [pod for pod in found if is_ready(pod) and pod["spec"].get("nodeName") != avoided]
        if not usable:
            raise StackgateError(
                f"a ready pod of DaemonSet/{daemon_set} on a node that is not broken",
                f"{len(found)} pods, none of them ready on another node than {avoided}",
                "a drill needs two nodes with a proxy",
            )
        best = min(usable, key=lambda pod: (pod["spec"]["nodeName"] not in preferred, pod["metadata"]["name"]))
        return str(best["metadata"]["name"])

    def dial(self, pod: str, port: int) -> Callable[[float], socket.socket]:
        """What makes sockets to a port of a pod; its argument is seconds for connecting."""
        return lambda timeout: self._cluster.connect_pod(pod, self._namespace, port, timeout)

    def delete(self, pods: Iterable[str]) -> None:
        """Delete pods at the same moment, with no grace."""

        def one(pod: str) -> None:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
            try:
                self._cluster.request("DELETE", self._cluster.path("v1", "Pod", self._namespace, pod), body=options)
            except ApiError as error:
                if not error.not_found:
                    raise

        self._cluster.path("v1", "Pod", self._namespace)  # the first question of a kind is not for several threads
        names = list(pods)
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            list(pool.map(one, names))

    def kill(self, pod: str, port: int, processes: Sequence[str]) -> None:
        """Kill (SIGKILL) the processes of these names in the container of the pod that has the port."""
        container = _container(self._pod(pod), port)
        try:
            count = self._cluster.execute(pod, self._namespace, container, ["sh", "-c", KILL, "drill", *processes], 10.0).strip()
        except StackgateError as error:
            if "its container ended" in error.seen:  # with the process that was killed
                return
            raise
        if count == "0":
            raise StackgateError(f"a process {' or '.join(processes)} runs in container {container} of pod {pod}", "none does")

    def _pod(self, name: str) -> dict[str, Any]:
        found = self._cluster.get("v1", "Pod", name, self._namespace)
        if found is None:
            raise StackgateError(f"pod {name} in namespace {self._namespace}", "it does not exist")
        return found

    def _pods(self) -> list[dict[str, Any]]:
        return self._cluster.list("v1", "Pod", self._namespace, cached=True)


def _belongs(pod: dict[str, Any], daemon_set: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner.get("kind") == "DaemonSet" and owner.get("name") == daemon_set for owner in owners)


def _container(pod: dict[str, Any], port: int) -> str:
    """The container that has the port; the first one when none says so."""
    found = pod["spec"]["containers"]
    matching = [spec for spec in found if any(int(entry.get("containerPort") or 0) == port for entry in spec.get("ports") or [])]
    return str((matching or found)[0]["name"])
