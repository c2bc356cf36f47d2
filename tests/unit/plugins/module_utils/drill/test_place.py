# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods: which proxy is written through, how a process is killed, which container it is in."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.place import KILL, Place
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


def pod(name: str, node: str, owner: str = "", ready: bool = True) -> dict[str, Any]:
    owners = [{"kind": "DaemonSet", "name": owner}] if owner else []
    containers = [
        {"name": "exporter", "ports": [{"containerPort": 9121}]},
        {"name": "server", "ports": [{"containerPort": 6379}]},
    ]
    return {
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"nodeName": node, "containers": containers},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class Cluster:
    """Answers from a list of pods, and notes what was done. says: what a command prints, or an error."""

    def __init__(self, *pods: dict[str, Any], says: Any = "1\n") -> None:
        self.pods, self.says = pods, says
        self.done: list[Any] = []

    def list(self, api_version: str, kind: str, namespace: str, cached: bool = False) -> list[dict[str, Any]]:
        return list(self.pods)

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        return next((one for one in self.pods if one["metadata"]["name"] == name), None)

    def path(self, api_version: str, kind: str, namespace: str, name: str = "") -> str:
        return f"/pods/{name}"

    def request(self, method: str, path: str, body: Any) -> None:
        self.done.append((method, path, body["gracePeriodSeconds"]))
        if path.endswith("gone"):
            raise ApiError("DELETE", 404, {})
        if path.endswith("shut"):
            raise ApiError("DELETE", 403, {"message": "no"})

    def execute(self, name: str, namespace: str, container: str, command: list[str], timeout: float) -> str:
        self.done.append((name, container, command[3:]))
        if isinstance(self.says, Exception):
            raise self.says
        return str(self.says)


def place(*pods: dict[str, Any], says: Any = "1\n") -> tuple[Place, Cluster]:
    cluster: Any = Cluster(*pods, says=says)
    return Place(cluster, "store"), cluster


PROXIES = [pod(f"proxy-{letter}", node, "redis-proxy") for letter, node in (("a", "node3"), ("b", "node2"), ("c", "node1"))]


def test_the_proxy_is_on_a_protected_node_where_there_is_one() -> None:
    where, _cluster = place(*PROXIES, pod("other", "node1", "other-proxy"), pod("redis-0", "node1"))
    assert where.proxy("redis-proxy", "node2", ["node1"]) == "proxy-c"
    assert where.proxy("redis-proxy", "node2", []) == "proxy-a"
    assert where.proxy("redis-proxy", "node3", ["node4"]) == "proxy-b"


def test_the_proxy_is_never_on_the_node_that_breaks() -> None:
    where, _cluster = place(PROXIES[0], pod("proxy-b", "node2", "redis-proxy", ready=False))
    with pytest.raises(StackgateError, match="2 pods, none of them ready on another node than node3"):
        where.proxy("redis-proxy", "node3", ["node3"])


def test_pods_are_deleted_with_no_grace() -> None:
    where, cluster = place()
    where.delete(["redis-0", "gone"])
    assert sorted(cluster.done) == [("DELETE", "/pods/gone", 0), ("DELETE", "/pods/redis-0", 0)]
    with pytest.raises(ApiError):
        where.delete(["shut"])


def test_a_process_is_killed_in_the_container_that_has_the_port() -> None:
    where, cluster = place(pod("redis-0", "node1"))
    where.kill("redis-0", 6379, ["redis-server"])
    assert cluster.done == [("redis-0", "server", ["drill", "redis-server"])]
    assert where.node("redis-0") == "node1"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("0\n", "a process redis-server or valkey-server runs in container server of pod redis-0"),
        (StackgateError("it runs", 'pods "redis-0" not found'), "not found"),
    ],
)
def test_a_process_that_is_not_there(says: Any, words: str) -> None:
    where, _cluster = place(pod("redis-0", "node1"), says=says)
    with pytest.raises(StackgateError, match=words):
        where.kill("redis-0", 6379, ["redis-server", "valkey-server"])


def test_a_container_that_ends_with_its_process() -> None:
    where, _cluster = place(pod("redis-0", "node1"), says=StackgateError("it runs", "its container ended"))
    where.kill("redis-0", 6379, ["redis-server"])


def test_a_pod_that_is_not_there() -> None:
    where, _cluster = place()
    with pytest.raises(StackgateError, match="pod redis-7 in namespace store"):
        where.node("redis-7")


def test_the_script_kills_processes_by_their_name(tmp_path: Path) -> None:
    name = f"drill-{secrets.token_hex(4)}"
    program = tmp_path / name
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    running = [subprocess.Popen([str(program), "60"]) for _nth in range(2)]
    try:
        done = subprocess.run(["sh", "-c", KILL, "drill", "nobody", name], capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout == "2\n"
        assert [process.wait(5) for process in running] == [-9, -9]
    finally:
        for process in running:
            process.kill()
    again = subprocess.run(["sh", "-c", KILL, "drill", name], capture_output=True, text=True, timeout=20, check=True)
    assert again.stdout == "0\n"
