# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sentinels on one node, as after a node was away when they were made: status says so, and what it says helps."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from instance import CACHE, Instance
from redis_ledger import Ledger
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

SENTINELS = "app.kubernetes.io/name=redis-sentinel"


def kubectl(*words: str, kubeconfig: str = "admin.kubeconfig") -> None:
    subprocess.run([str(CACHE / "bin/kubectl"), f"--kubeconfig={CACHE / kubeconfig}", *words], check=True, capture_output=True, timeout=60)


def where(instance: Instance) -> dict[str, str]:
    """Nodes of the sentinels that are not about to go."""
    pods = [pod for pod in instance.pods(SENTINELS) if not pod["metadata"].get("deletionTimestamp")]
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName") or "" for pod in pods}


def warned(instance: Instance) -> list[str]:
    run = instance.play("--tags", "redis", playbook="playbooks/status.yml")
    assert run.status == 0, run.failed
    report, _end = json.JSONDecoder().raw_decode(run.output[run.output.index("{\n") :])
    results = [result for play in report["plays"] for task in play["tasks"] for result in task["hosts"].values()]
    return [said for result in results for said in result.get("single_points") or [] if "StatefulSet/redis-sentinel" in said]


def test_sentinels_that_share_a_node_are_named_and_can_be_moved(instance: Instance, ledger: Ledger) -> None:
    until("all members are there", ledger.whole, 60)
    assert warned(instance) == []
    node = where(instance)["redis-sentinel-2"]
    kubectl("cordon", node)
    try:
        kubectl("delete", "-n", instance.namespace, "--wait=false", "pvc/data-redis-sentinel-2", "pod/redis-sentinel-2")
        until("it is somewhere else", lambda: where(instance).get("redis-sentinel-2", node) not in ("", node), 60)
    finally:
        kubectl("uncordon", node)
    until("it is back", ledger.whole, 60)
    (said,) = warned(instance)
    assert f"though {node} could have one" in said
    command = re.search(r"kubectl (delete [^;]+);", said)
    assert command, said
    kubectl(*command[1].split(), kubeconfig="kubeconfig")
    until("all are on nodes of their own", lambda: all(where(instance).values()) and len(set(where(instance).values())) == 3, 60)
    until("all members are back", ledger.whole, 60)
    assert warned(instance) == []
