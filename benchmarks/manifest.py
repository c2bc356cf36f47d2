# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task that applies a component costs when there is nothing to do, beside others that do the same.

    STACKGATE_KUBECONFIG=... python benchmarks/manifest.py [--objects 10] [--rounds 5] [--tasks 10] [--json FILE]

Each contestant applies the same objects to a namespace of its own; then, in turn, round by round, each does it again with
nothing to change. The tasks are measured inside one ansible-playbook: the seconds of a run with many such tasks less those of
a run with one, by the number of further tasks. kubectl is measured as a process. The median of the rounds counts, and the
ratios matter more than the seconds, which depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("ConfigMap", "Service", "Deployment")


def objects(count: int, namespace: str) -> list[dict[str, Any]]:
    """So many objects of the kinds that a component mostly has; the Deployments run nothing."""
    made = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = f"bench-{number}"
        body: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        if kind == "ConfigMap":
            body["data"] = {"settings.conf": "\n".join(f"key{line} = value" for line in range(40))}
        elif kind == "Service":
            body["spec"] = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        else:
            container = {"name": "web", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
            template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
            body["apiVersion"] = "apps/v1"
            body["spec"] = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
        made.append(body)
    return made


def timed(command: list[str]) -> float:
    """Seconds that a command takes. Ends the program with the command's output when it fails."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return seconds


def play(directory: Path, name: str, task: dict[str, Any], tasks: int) -> list[str]:
    """A playbook with so many tasks of one sort, as a command."""
    path = directory / f"{name}-{tasks}.yml"
    variables = {"ansible_python_interpreter": sys.executable}
    book = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [task] * tasks}
    path.write_text(yaml.safe_dump([book]), encoding="utf-8")
    return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(path)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=10, help="tasks of the longer playbook")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    kubeconfig = os.environ.get("STACKGATE_KUBECONFIG", "")
    if not kubeconfig:
        parser.error("expected: STACKGATE_KUBECONFIG names a kubeconfig")
    kubectl = shutil.which("kubectl")

    sys.path.insert(0, str(ROOT / "collections"))
    from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster

    cluster = Cluster({"kubeconfig": kubeconfig})
    spaces = {name: f"bench-{name}-{os.getpid()}" for name in ("ours", "core", "kubectl", "kubectl-ssa")}
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        bodies = {name: objects(options.objects, space) for name, space in spaces.items()}
        for name, space in spaces.items():
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
            (directory / f"{name}.yml").write_text(yaml.safe_dump_all(bodies[name]), encoding="utf-8")
        ours = {
            "stackgate.k3s.manifest": {
                "kubeconfig": kubeconfig,
                "namespace": spaces["ours"],
                "component": "bench",
                "template": str(directory / "ours.yml"),
            }
        }
        core = {
            "kubernetes.core.k8s": {
                "kubeconfig": kubeconfig,
                "template": str(directory / "core.yml"),
                "apply": True,
                "server_side_apply": {"field_manager": "bench", "force_conflicts": True},
            }
        }

        def per_task(name: str, task: dict[str, Any]) -> float:
            few, many = (timed(play(directory, name, task, count)) for count in (1, options.tasks))
            return (many - few) / (options.tasks - 1)

        contestants: dict[str, Callable[[], float]] = {
            "stackgate.k3s.manifest": lambda: per_task("ours", ours),
            "kubernetes.core.k8s, server-side apply": lambda: per_task("core", core),
        }
        if kubectl:
            base = [kubectl, "--kubeconfig", kubeconfig, "apply"]
            client, server = str(directory / "kubectl.yml"), str(directory / "kubectl-ssa.yml")
            contestants["kubectl apply"] = lambda: timed([*base, "-f", client])
            contestants["kubectl apply --server-side"] = lambda: timed([*base, "--server-side", "-f", server])
        try:
            figures: dict[str, list[float]] = {name: [] for name in contestants}
            for number in range(options.rounds + 1):
                for name, measure in contestants.items():
                    seconds = measure()
                    if number:  # the first round creates
                        figures[name].append(seconds)
        finally:
            for space in spaces.values():
                cluster.delete("v1", "Namespace", space)

    medians = {name: statistics.median(found) for name, found in figures.items()}
    reference = medians["stackgate.k3s.manifest"]
    machine = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{options.objects} objects, nothing to change, median of {options.rounds} rounds, {machine}\n")
    print("| | seconds | times ours |\n|---|---:|---:|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.3f} | {seconds / reference:.1f} |")
    if options.json:
        options.json.write_text(json.dumps({"objects": options.objects, "seconds": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
