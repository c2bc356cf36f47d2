# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate of ten conditions costs when all of them hold, beside waiting for the same objects with kubernetes.core.

    STACKGATE_KUBECONFIG=... python benchmarks/gate.py [--namespace wesago-local] [--rounds 5] [--tasks 10] [--json FILE]

The conditions ask for what stands in an instance's namespace: rollouts, endpoints and volume claims. The tasks are measured inside one
ansible-playbook: the seconds of a run with many gates less those of a run with one, by the number of further gates. The
contestant asks for the same objects one task after another, as a playbook without a gate does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from plays import timed

DEPLOYMENTS = ("web", "worker", "nginx", "website")
STATEFUL = ("postgresql", "redis")
SERVICES = ("web", "nginx")
CLAIMS = ("media", "static")


def conditions() -> list[dict[str, Any]]:
    """Ten conditions that hold on a delivered Wesago."""
    return [
        *({"kind": "rollout", "resource": f"Deployment/{name}"} for name in DEPLOYMENTS),
        *({"kind": "rollout", "resource": f"StatefulSet/{name}"} for name in STATEFUL),
        *({"kind": "endpoints", "service": name} for name in SERVICES),
        *({"kind": "pvc", "name": name} for name in CLAIMS),
    ]


def waits(kubeconfig: str, namespace: str) -> list[dict[str, Any]]:
    """The same objects, waited for one by one."""
    wanted = [
        *(("apps/v1", "Deployment", name) for name in DEPLOYMENTS),
        *(("apps/v1", "StatefulSet", name) for name in STATEFUL),
        *(("v1", "Endpoints", name) for name in SERVICES),
        *(("v1", "PersistentVolumeClaim", name) for name in CLAIMS),
    ]
    return [
        {
            "kubernetes.core.k8s_info": {
                "kubeconfig": kubeconfig,
                "namespace": namespace,
                "api_version": api_version,
                "kind": kind,
                "name": name,
                "wait": True,
                "wait_sleep": 1,
            }
        }
        for api_version, kind, name in wanted
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--namespace", default="wesago-local")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=10, help="gates of the longer playbook")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    kubeconfig = os.environ.get("STACKGATE_KUBECONFIG", "")
    if not kubeconfig:
        parser.error("expected: STACKGATE_KUBECONFIG names a kubeconfig")

    gate = {
        "stackgate.k3s.gate": {"kubeconfig": kubeconfig, "namespace": options.namespace, "stage": "benchmark", "conditions": conditions()}
    }
    one_by_one = waits(kubeconfig, options.namespace)
    figures: dict[str, list[float]] = {"stackgate.k3s.gate": [], "kubernetes.core.k8s_info, one by one": []}
    for _round in range(options.rounds):
        one = timed([gate])
        figures["stackgate.k3s.gate"].append((timed([gate] * options.tasks) - one) / (options.tasks - 1))
        figures["kubernetes.core.k8s_info, one by one"].append(timed(one_by_one * 2) - timed(one_by_one))

    medians = {name: statistics.median(found) for name, found in figures.items()}
    machine = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{len(conditions())} conditions that hold, median of {options.rounds} rounds, {machine}\n")
    print("| | seconds | times ours |\n|---|---:|---:|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.3f} | {seconds / medians['stackgate.k3s.gate']:.1f} |")
    if options.json:
        options.json.write_text(json.dumps({"conditions": len(conditions()), "seconds": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
