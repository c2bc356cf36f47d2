# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate on a real cluster: STACKGATE_KUBECONFIG names it. Each scenario lives in a namespace of its own."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gate_stage import KUBECONFIG, Stage

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, _report
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Runner, Threads
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View

pytestmark = pytest.mark.skipif(not KUBECONFIG, reason="STACKGATE_KUBECONFIG is not set: needs a cluster")
# Powers a node off and on: called with off|on and the node's name.
SWITCH = os.environ.get("STACKGATE_NODE_SWITCH", "")

WEB = [
    {"kind": "rollout", "resource": "Deployment/web"},
    {"kind": "endpoints", "service": "web", "minimum": 2},
    {"kind": "http", "service": "web", "body": "hello from web-"},
    {"kind": "http", "ingress": "web", "body": "hello from web-", "headers": {"Content-Type": "text/html"}},
    {"kind": "tcp", "service": "web", "port": 80, "send": "GET / HTTP/1.0\r\n\r\n", "expect": "200 OK"},
    {"kind": "ingress", "name": "web", "ingress_class": "traefik"},
    {"kind": "pdb", "name": "web"},
]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster({"kubeconfig": KUBECONFIG})


@pytest.fixture
def stage(cluster: Cluster) -> Iterator[Stage]:
    made = Stage(cluster, f"gatetest-{secrets.token_hex(3)}")
    yield made
    made.remove()


class Gate:
    """How a gate ended: `text` for a person, `data` per condition, `seconds` it took."""

    def __init__(self, stage: Stage, *conditions: dict[str, Any], timeout: float = 90.0, **more: Any) -> None:
        session = Session(stage.cluster, stage.namespace, **more)
        self.lines: list[str] = []
        begun = time.monotonic()
        runner = Runner(_protocol.parse(list(conditions)), lambda: View(session), self.lines.append, Threads(), timeout=timeout)
        outcome = runner.run()
        self.seconds = time.monotonic() - begun
        self.holds = outcome.holds
        self.data = _report.as_data(outcome, None if outcome.holds else View(session))
        self.text = _report.text("gate", self.data, outcome.waited, outcome.timed_out)
        print("\n".join(self.lines))
        print(self.text)

    @property
    def reason(self) -> str:
        return next(str(c["data"].get("reason", "")) for c in self.data if c["state"] == "failed")


def rollout(name: str) -> dict[str, Any]:
    return {"kind": "rollout", "resource": f"Deployment/{name}"}


# -- what holds --------------------------------------------------------------------------------------------------


def test_a_web_application_comes_to_hold_in_every_way(stage: Stage) -> None:
    stage.apply("web")
    assert Gate(stage, *WEB).holds


def test_an_autoscaler_comes_to_hold(stage: Stage) -> None:
    stage.apply("web")
    assert Gate(stage, {"kind": "hpa", "name": "web"}, timeout=150).holds


def test_a_pod_is_reached_by_name_and_port(stage: Stage) -> None:
    stage.apply("web")
    assert Gate(stage, rollout("web")).holds
    pod = stage.pods()[0]["metadata"]["name"]
    assert Gate(stage, {"kind": "http", "pod": pod, "port": "http", "body": pod}, {"kind": "tcp", "pod": pod, "port": 8080}).holds
    refused = Gate(stage, {"kind": "tcp", "pod": pod, "port": 81}, timeout=3)
    assert "connection refused" in refused.text


def test_stateful_and_daemon_sets_come_to_hold(stage: Stage) -> None:
    stage.apply("stateful")
    stage.apply("daemon")
    conditions = [{"kind": "rollout", "resource": name} for name in ("StatefulSet/store", "DaemonSet/agent")]
    assert Gate(stage, *conditions).holds
    stage.apply("daemon", revision="two")  # at once after a change: the old pods must not do
    assert Gate(stage, conditions[1]).holds
    assert {pod["metadata"]["annotations"]["revision"] for pod in stage.pods() if "agent" in pod["metadata"]["name"]} == {"two"}


def test_a_changed_deployment_holds_only_when_the_change_is_there(stage: Stage) -> None:
    stage.apply("web")
    assert Gate(stage, rollout("web")).holds

    def change(document: dict[str, Any]) -> None:
        if document["kind"] == "Deployment":
            document["spec"]["template"]["metadata"]["annotations"] = {"revision": "two"}

    stage.apply("web", change)
    assert Gate(stage, rollout("web")).holds
    alive = [pod for pod in stage.pods() if not pod["metadata"].get("deletionTimestamp")]
    assert {(pod["metadata"].get("annotations") or {}).get("revision") for pod in alive} == {"two"}


def test_claims_wait_for_their_pod_and_are_bound(stage: Stage) -> None:
    stage.apply("claims")
    gate = Gate(stage, {"kind": "pvc", "name": "late"}, {"kind": "pvc", "name": "used"}, {"kind": "pvc", "selector": {"app": "claims"}})
    assert gate.holds


def test_what_holds_costs_little(stage: Stage) -> None:
    stage.apply("web")
    conditions = [*WEB, {"kind": "http", "ingress": "web", "status": 404, "host": "nobody.k3s"}, *WEB[:2]]
    assert Gate(stage, *conditions).holds
    assert min(Gate(stage, *conditions).seconds for _time in range(5)) < 0.5  # 0.15 on a quiet machine: benchmarks/gate.py


# -- what cannot heal --------------------------------------------------------------------------------------------


def first_error(stage: Stage, *reasons: str) -> Callable[[], float]:
    """Watches for the kubelet's first word about a pod; call it for the time of that word (monotonic)."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not seen:
            for pod in stage.pods():
                for status in pod["status"].get("containerStatuses") or []:
                    if ((status.get("state") or {}).get("waiting") or {}).get("reason") in reasons:
                        seen.append(time.monotonic())
            time.sleep(0.2)

    threading.Thread(target=watch, daemon=True).start()

    def moment() -> float:
        over.set()
        assert seen, f"the kubelet never said {' or '.join(reasons)}"
        return seen[0]

    return moment


def test_a_missing_image_fails_within_15_s_of_the_kubelet_s_error(stage: Stage) -> None:
    moment = first_error(stage, "ErrImagePull", "ImagePullBackOff")
    stage.apply("image_missing")
    gate = Gate(stage, rollout("missing"))
    ended = time.monotonic()
    assert not gate.holds
    assert ended - moment() < 15
    pod = stage.pods()[0]["metadata"]["name"]
    for words in (pod, ":no-such-tag", "ImagePull", "try: check the image reference", f"events of Pod {pod}"):
        assert words in gate.text
    assert gate.reason in ("ErrImagePull", "ImagePullBackOff")


def test_a_repaired_image_converges(stage: Stage) -> None:
    def broken(document: dict[str, Any]) -> None:
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["containers"][0]["image"] += ":no-such-tag"

    stage.apply("web")
    assert Gate(stage, rollout("web")).holds
    stage.apply("web", broken)
    assert not Gate(stage, rollout("web")).holds
    stage.apply("web")
    assert Gate(stage, *WEB).holds


def test_a_crash_loop_shows_the_log_without_its_secrets(stage: Stage) -> None:
    stage.apply("crash_loop")
    gate = Gate(stage, rollout("looping"))
    assert gate.reason == "CrashLoopBackOff"
    assert "key DATABASE is not set" in gate.text
    assert "exit code 3" in gate.text
    assert "hunter2" not in gate.text


def test_a_crash_loop_from_before_is_not_held_against_a_repair(stage: Stage) -> None:
    """Its cause is repaired outside of the pod (here: by being patient, so that the loop is history when the gate begins)."""
    stage.apply("crash_loop")
    stage.until(lambda: "CrashLoopBackOff" in str(stage.pods()))
    gate = Gate(stage, rollout("looping"), timeout=4, began=time.time() + 3600)
    assert "before this gate began" in gate.text


def test_out_of_memory_is_named_with_its_limit(stage: Stage) -> None:
    stage.apply("out_of_memory")
    gate = Gate(stage, rollout("hungry"))
    assert gate.reason in ("OOMKilled", "")
    assert "OOMKilled" in gate.text
    assert "16Mi" in gate.text


def test_what_fits_on_no_node_is_said_in_the_scheduler_s_words(stage: Stage) -> None:
    stage.apply("unschedulable")
    gate = Gate(stage, rollout("huge"), unschedulable_after=5)
    assert gate.reason == "Unschedulable"
    assert "Insufficient cpu" in gate.text
    assert gate.seconds < 20


@pytest.mark.parametrize(
    ("scenario", "name", "reason"),
    [("secret_missing", "lacking", "CreateContainerConfigError"), ("volume_missing", "unmounted", "FailedMount")],
)
def test_a_missing_secret_is_named(stage: Stage, scenario: str, name: str, reason: str) -> None:
    stage.apply(scenario)
    gate = Gate(stage, rollout(name))
    assert gate.reason == reason
    assert "nobody-made-it" in gate.text


def test_a_missing_secret_that_comes_late_is_waited_for(stage: Stage) -> None:
    stage.apply("secret_missing")
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nobody-made-it", "namespace": stage.namespace}}
    stage.cluster.apply({**made, "stringData": {"password": "x"}})
    assert Gate(stage, {**rollout("lacking"), "settle": 0}).holds


def test_a_quota_is_named(stage: Stage) -> None:
    stage.apply("quota")
    gate = Gate(stage, rollout("crowded"))
    assert "exceeded quota: small" in gate.text
    assert gate.seconds < 25


def test_pod_security_is_named(stage: Stage) -> None:
    stage.apply("pod_security")
    gate = Gate(stage, {"kind": "rollout", "resource": "StatefulSet/rooted"})
    assert "violates PodSecurity" in gate.text
    assert gate.seconds < 15


def test_jobs(stage: Stage) -> None:
    stage.apply("jobs")
    assert Gate(stage, {"kind": "job", "name": "done"}).holds
    gate = Gate(stage, {"kind": "job", "name": "failing"}, {"kind": "job", "name": "running"})
    assert gate.reason == "BackoffLimitExceeded"
    assert "relation users does not exist" in gate.text
    assert "waiting  job running" in gate.text
    suspended = Gate(stage, {"kind": "job", "name": "suspended", "timeout": 2})
    assert "suspended" in suspended.text


def test_a_missing_storage_class_is_named(stage: Stage) -> None:
    stage.apply("claims")
    gate = Gate(stage, {"kind": "pvc", "name": "classless"})
    assert "storage class local-paht does not exist; did you mean 'local-path'?" in gate.text


def test_an_ordered_stateful_set_that_its_old_pod_holds_up_says_how_to_go_on(stage: Stage) -> None:
    condition = {"kind": "rollout", "resource": "StatefulSet/store"}
    stage.apply("stateful")
    assert Gate(stage, condition).holds
    stage.apply("stateful_broken", revision="two")
    assert not Gate(stage, condition).holds
    stage.apply("stateful", revision="three")
    gate = Gate(stage, condition)
    assert f"try: kubectl -n {stage.namespace} delete pod store-2 lets the new revision start" in gate.text
    stage.cluster.delete("v1", "Pod", "store-2", stage.namespace)
    assert Gate(stage, condition).holds


def test_a_misspelt_name_is_not_waited_for_long(stage: Stage) -> None:
    stage.apply("web")
    gate = Gate(stage, rollout("wbe"))
    assert "there is no Deployment wbe" in gate.text
    assert "did you mean 'web'?" in gate.text
    assert gate.seconds < 20


def test_what_is_never_ready_ends_by_time_with_its_probe_s_words(stage: Stage) -> None:
    stage.apply("never_ready")
    gate = Gate(stage, rollout("unready"), timeout=12)
    assert "Readiness probe failed: no table users" in gate.text
    assert "not reached within 12 s" in gate.text
    assert any("hold after 5 s; waiting for rollout Deployment/unready" in line for line in gate.lines)


# -- nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.disrupts
@pytest.mark.skipif(not SWITCH, reason="STACKGATE_NODE_SWITCH is not set: a command that takes off|on and the name of a node")
def test_a_dead_node_is_named_at_once_and_its_return_converges(stage: Stage) -> None:
    def switch(to: str) -> None:
        subprocess.run([*shlex.split(SWITCH), to, node], check=True)

    stage.apply("web")
    stage.apply("stateful")
    conditions = [*WEB, {"kind": "rollout", "resource": "StatefulSet/store"}]
    assert Gate(stage, *conditions).holds
    server = stage.cluster.address
    nodes = {pod["spec"]["nodeName"]: pod["status"]["hostIP"] for pod in stage.pods()}
    node = next(name for name, address in nodes.items() if address not in server)  # not the one that the API server is on
    switch("off")
    try:
        at_once = Gate(stage, *conditions, timeout=15)
        assert f"node {node} does not answer" in at_once.text
        time.sleep(60)  # until Kubernetes has noticed
        noticed = Gate(stage, *conditions, timeout=5)
        assert f"node {node} is NotReady since" in noticed.text or f"node {node}: Node is not ready since" in noticed.text
        assert f"try: bring node {node} back" in noticed.text
    finally:
        switch("on")
    assert Gate(stage, *conditions, timeout=150).holds


# -- rights ------------------------------------------------------------------------------------------------------


def test_a_gate_works_with_rights_in_its_namespace_only(stage: Stage, tmp_path: Any) -> None:
    stage.apply("web")
    assert Gate(stage, *WEB).holds
    limited = Stage.__new__(Stage)
    limited.cluster, limited.namespace = namespaced_cluster(stage, tmp_path), stage.namespace
    assert Gate(limited, *WEB).holds


def namespaced_cluster(stage: Stage, tmp_path: Any) -> Cluster:
    """A connection as a ServiceAccount that may read, and connect to pods, in the stage's namespace only."""
    import yaml

    where = {"name": "gate", "namespace": stage.namespace}
    read = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    forward = [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}]
    rbac = "rbac.authorization.k8s.io/v1"
    stage.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where})
    stage.cluster.apply({"apiVersion": rbac, "kind": "Role", "metadata": where, "rules": read + forward})
    subject = {"kind": "ServiceAccount", **where}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gate"}
    stage.cluster.apply({"apiVersion": rbac, "kind": "RoleBinding", "metadata": where, "roleRef": reference, "subjects": [subject]})
    path = f"/api/v1/namespaces/{stage.namespace}/serviceaccounts/gate/token"
    token = stage.cluster.request("POST", path, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    with open(KUBECONFIG, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["users"] = [{"name": user["name"], "user": {"token": token["status"]["token"]}} for user in config["users"]]
    limited = tmp_path / "kubeconfig"
    limited.write_text(yaml.safe_dump(config))
    return Cluster({"kubeconfig": str(limited)})
