# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the objects that the unit tests look at, from a real cluster: STACKGATE_KUBECONFIG=... python record.py [name ...]

Each recording is everything a gate can read in one namespace at one moment, with the server's time of that moment.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate_stage import KUBECONFIG, Stage

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import KINDS

FIXTURES = Path(__file__).parents[2] / "unit" / "plugins" / "module_utils" / "gates" / "recorded"
NODE_KEYS = ("conditions", "addresses")


def snapshot(stage: Stage, name: str) -> None:
    """Write a recording."""
    now = time.time() + stage.cluster.clock_offset
    found: dict[str, Any] = {"now": now, "namespace": stage.namespace, "objects": {}}
    for kind, (api_version, namespaced) in KINDS.items():
        objects = stage.cluster.list(api_version, kind, stage.namespace if namespaced else None)
        for item in objects:
            item["metadata"].pop("managedFields", None)
            (item["metadata"].get("annotations") or {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
            if kind == "Node":
                item["status"] = {key: item["status"][key] for key in NODE_KEYS}
        found["objects"][kind] = objects
    FIXTURES.mkdir(exist_ok=True)
    (FIXTURES / f"{name}.json").write_text(dumped(found))
    print(f"{name}: {sum(map(len, found['objects'].values()))} objects")


def dumped(found: dict[str, Any]) -> str:
    """One object per line: small, and a difference between two recordings can still be read."""
    kinds = []
    for kind, objects in found["objects"].items():
        lines = ",\n".join(json.dumps(item, sort_keys=True, separators=(",", ":")) for item in objects)
        kinds.append(f"{json.dumps(kind)}: [\n{lines}\n]" if objects else f"{json.dumps(kind)}: []")
    body = ",\n".join(kinds)
    return f'{{"now": {found["now"]}, "namespace": {json.dumps(found["namespace"])}, "objects": {{\n{body}\n}}}}\n'


def waiting_reason(stage: Stage, *reasons: str, restarts: int = 0) -> bool:
    """Whether a container waits for one of these reasons."""
    return any(
        ((status.get("state") or {}).get("waiting") or {}).get("reason") in reasons and status.get("restartCount", 0) >= restarts
        for pod in stage.pods()
        for status in (pod["status"].get("containerStatuses") or [])
    )


def ready(stage: Stage, count: int) -> bool:
    """Whether so many pods are ready, and no other is there."""
    pods = stage.pods()
    return len(pods) == count and all(
        any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or []) for pod in pods
    )


def event(stage: Stage, reason: str) -> bool:
    """Whether an event of this reason is there."""
    return any(e["reason"] == reason for e in stage.cluster.list("v1", "Event", stage.namespace))


def web(stage: Stage) -> None:
    stage.apply("web")
    stage.until(lambda: waiting_reason(stage, "ContainerCreating"))
    snapshot(stage, "web_starting")
    stage.until(lambda: ready(stage, 2))
    time.sleep(1)
    snapshot(stage, "web_ready")
    stage.until(
        lambda: (stage.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", stage.namespace)[0].get("status") or {}).get(
            "currentMetrics"
        )
    )
    snapshot(stage, "web_measured")

    def broken(document: dict[str, Any]) -> None:
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["containers"][0]["image"] += ":no-such-tag"

    stage.apply("web", broken)
    stage.until(lambda: waiting_reason(stage, "ImagePullBackOff"))
    snapshot(stage, "web_update_broken")
    stage.apply("web")
    snapshot(stage, "web_repaired_at_once")
    stage.until(lambda: ready(stage, 2))
    time.sleep(1)
    snapshot(stage, "web_repaired")


def troubled(name: str, *reasons: str, restarts: int = 0) -> Callable[[Stage], None]:
    def record(stage: Stage) -> None:
        stage.apply(name)
        stage.until(lambda: waiting_reason(stage, *reasons, restarts=restarts))
        time.sleep(0.5)
        snapshot(stage, name)

    return record


def image_missing(stage: Stage) -> None:
    stage.apply("image_missing")
    stage.until(lambda: waiting_reason(stage, "ErrImagePull"))
    snapshot(stage, "image_missing_at_first")
    stage.until(lambda: waiting_reason(stage, "ImagePullBackOff"))
    snapshot(stage, "image_missing")


def crash_loop(stage: Stage) -> None:
    stage.apply("crash_loop")
    stage.until(lambda: waiting_reason(stage, "CrashLoopBackOff"))
    snapshot(stage, "crash_loop_at_first")
    stage.until(lambda: waiting_reason(stage, "CrashLoopBackOff", restarts=2))
    snapshot(stage, "crash_loop")


def after_event(name: str, reason: str) -> Callable[[Stage], None]:
    def record(stage: Stage) -> None:
        stage.apply(name)
        stage.until(lambda: event(stage, reason))
        time.sleep(1.5)
        snapshot(stage, name)

    return record


def started(name: str) -> Callable[[Stage], None]:
    def record(stage: Stage) -> None:
        stage.apply(name)
        stage.until(lambda: event(stage, "Started"))
        time.sleep(3)
        snapshot(stage, name)

    return record


def stateful(stage: Stage) -> None:
    stage.apply("stateful")
    stage.until(lambda: len(stage.pods()) == 2)
    snapshot(stage, "stateful_starting")
    stage.until(lambda: ready(stage, 3))
    time.sleep(1)
    snapshot(stage, "stateful_ready")
    stage.apply("stateful", revision="two")
    stage.until(lambda: any(pod["metadata"]["annotations"].get("revision") == "two" for pod in stage.pods()))
    snapshot(stage, "stateful_updating")
    stage.until(lambda: all(pod["metadata"]["annotations"].get("revision") == "two" for pod in stage.pods()) and ready(stage, 3))
    stage.apply("stateful_broken", revision="three")
    stage.until(lambda: waiting_reason(stage, "ImagePullBackOff"))
    stage.apply("stateful", revision="four")
    time.sleep(3)
    snapshot(stage, "stateful_held_up")


def updated(name: str, count: int) -> Callable[[Stage], None]:
    def record(stage: Stage) -> None:
        stage.apply(name)
        stage.until(lambda: ready(stage, count))
        time.sleep(1)
        snapshot(stage, f"{name}_ready")
        stage.apply(name, revision="two")
        time.sleep(1.0 if name == "daemon" else 6.0)
        snapshot(stage, f"{name}_updating")

    return record


def claims(stage: Stage) -> None:
    stage.apply("claims")
    stage.until(lambda: event(stage, "ProvisioningFailed"))
    stage.until(lambda: ready(stage, 1))
    time.sleep(1)
    snapshot(stage, "claims")


def jobs(stage: Stage) -> None:
    stage.apply("jobs")
    stage.until(lambda: len([j for j in stage.cluster.list("batch/v1", "Job", stage.namespace) if j["status"].get("conditions")]) == 3)
    time.sleep(1)
    snapshot(stage, "jobs")


def services(stage: Stage) -> None:
    stage.apply("services")
    time.sleep(20)
    snapshot(stage, "services")


RECORDINGS: dict[str, Callable[[Stage], None]] = {
    "web": web,
    "image_missing": image_missing,
    "image_unreachable": troubled("image_unreachable", "ImagePullBackOff"),
    "crash_loop": crash_loop,
    "out_of_memory": troubled("out_of_memory", "CrashLoopBackOff"),
    "unschedulable": after_event("unschedulable", "FailedScheduling"),
    "secret_missing": troubled("secret_missing", "CreateContainerConfigError"),
    "volume_missing": after_event("volume_missing", "FailedMount"),
    "never_ready": started("never_ready"),
    "no_probe": started("no_probe"),
    "quota": after_event("quota", "FailedCreate"),
    "pod_security": after_event("pod_security", "FailedCreate"),
    "jobs": jobs,
    "claims": claims,
    "stateful": stateful,
    "on_delete": updated("stateful_on_delete", 3),
    "partition": updated("stateful_partition", 3),
    "daemon": updated("daemon", 3),
    "services": services,
}


def main() -> None:
    cluster = Cluster({"kubeconfig": KUBECONFIG})
    wanted = sys.argv[1:] or list(RECORDINGS)

    def run(name: str) -> None:
        stage = Stage(cluster, f"gatetest-{name.replace('_', '-')}")
        try:
            RECORDINGS[name](stage)
        except AssertionError as error:
            print(f"{name}: {error}")
        finally:
            stage.remove()

    threads = [threading.Thread(target=run, args=(name,)) for name in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
