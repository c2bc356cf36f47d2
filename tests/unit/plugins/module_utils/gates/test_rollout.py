# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The finer rules of a rollout, on recordings that are altered in one point each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


def stamp(scene: Any, ago: float) -> str:
    """A server's time stamp of some seconds before the recording."""
    return datetime.fromtimestamp(scene.session.now() - ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def only_container(scene: Any) -> dict[str, Any]:
    status: dict[str, Any] = scene.cluster.objects["Pod"][0]["status"]["containerStatuses"][0]
    return status


def test_a_generation_that_the_controller_has_not_seen_is_waited_for(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.cluster.object("Deployment", "web")["metadata"]["generation"] += 1
    seen = web.observe("rollout", resource="Deployment/web")
    assert (seen.state, seen.seen) == ("waiting", "its controller has not seen generation 2 yet (has seen 1)")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("updatedReplicas", 1, "1/2 of the wanted revision"),
        ("replicas", 3, "1 old pod still there"),
        ("availableReplicas", 1, "1/2 available"),
        ("readyReplicas", 1, "1/2 ready"),
    ],
)
def test_each_counter_of_a_deployment_counts(scene: Callable[..., Any], field: str, value: int, words: str) -> None:
    web = scene("web_ready")
    web.cluster.object("Deployment", "web")["status"][field] = value
    seen = web.observe("rollout", resource="Deployment/web")
    assert seen.state == "waiting"
    assert words in seen.seen


def test_a_progress_deadline_that_passes_during_the_gate_fails(scene: Callable[..., Any]) -> None:
    web = scene("web_starting")
    progressing = next(c for c in web.cluster.object("Deployment", "web")["status"]["conditions"] if c["type"] == "Progressing")
    progressing.update(
        reason="ProgressDeadlineExceeded", status="False", message="has timed out progressing.", lastUpdateTime=stamp(web, 1)
    )
    assert web.observe("rollout", resource="Deployment/web").state == "failed"
    progressing["lastUpdateTime"] = stamp(web, 3600)  # of an older try: this one has only begun
    assert web.observe("rollout", resource="Deployment/web").state == "waiting"


def test_the_present_revision_is_known_by_its_template(scene: Callable[..., Any]) -> None:
    """The numbers of revisions follow a moment later than the templates."""
    web = scene("web_repaired_at_once")
    for replica_set in web.cluster.objects["ReplicaSet"]:
        broken = "no-such-tag" in replica_set["spec"]["template"]["spec"]["containers"][0]["image"]
        replica_set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "9" if broken else "1"
    assert web.observe("rollout", resource="Deployment/web").state == "holds"


def test_a_paused_deployment_says_so(scene: Callable[..., Any]) -> None:
    web = scene("web_starting")
    web.cluster.object("Deployment", "web")["spec"]["paused"] = True
    assert "paused" in web.observe("rollout", resource="Deployment/web").seen


def test_scaled_to_nothing_holds(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    deployment = web.cluster.object("Deployment", "web")
    deployment["spec"]["replicas"] = 0
    deployment["status"] = {"observedGeneration": 1, "conditions": deployment["status"]["conditions"]}
    assert web.observe("rollout", resource="Deployment/web").seen == "scaled to 0"


# -- history is no evidence --------------------------------------------------------------------------------------


def test_a_crash_from_before_the_gate_is_given_one_more_try(scene: Callable[..., Any]) -> None:
    looping = scene("crash_loop", earlier=-40)  # the gate begins 40 s after the recording
    looping.cluster.clock_offset += 45
    seen = looping.observe("rollout", resource="Deployment/looping")
    assert seen.state == "waiting"
    assert "before this gate began" in seen.seen


def test_a_failed_pull_from_before_the_gate_is_given_one_more_try(scene: Callable[..., Any]) -> None:
    missing = scene("image_missing", earlier=-40)
    missing.cluster.clock_offset += 45
    seen = missing.observe("rollout", 60, resource="Deployment/missing")
    assert seen.state == "waiting"
    assert "before this gate began" in seen.seen


def test_a_crash_at_which_the_container_still_lies_ended_counts(scene: Callable[..., Any]) -> None:
    looping = scene("crash_loop")
    state = only_container(looping)["state"]
    assert "terminated" in state  # between the end and the kubelet's CrashLoopBackOff
    assert looping.observe("rollout", resource="Deployment/looping").state == "failed"


# -- images ------------------------------------------------------------------------------------------------------


def pull(scene: Any, message: str, count: int = 1) -> Any:
    """A pull that failed once, for this reason."""
    missing = scene("image_missing_at_first")
    only_container(missing)["state"]["waiting"]["message"] = message
    image = "busybox:no-such-tag"
    for event in missing.cluster.objects["Event"]:
        if event["reason"] == "Failed" and "pull image" in event["message"]:
            event.update(message=f'Failed to pull image "{image}": {message}', count=count)
    return missing.observe("rollout", resource="Deployment/missing")


@pytest.mark.parametrize(
    "message",
    [
        'rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found',
        "unexpected status from HEAD request: 401 Unauthorized",
        "pull access denied, repository does not exist or may require authorization",
        "no match for platform in manifest: not found",
    ],
)
def test_an_answer_that_another_try_will_not_change_fails_at_once(scene: Callable[..., Any], message: str) -> None:
    assert pull(scene, message).state == "failed"


@pytest.mark.parametrize("message", ["dial tcp 10.0.0.1:5000: i/o timeout", "unexpected status: 503 Service Unavailable", "EOF"])
def test_a_transient_error_gets_a_second_try(scene: Callable[..., Any], message: str) -> None:
    assert pull(scene, message).state == "waiting"
    assert pull(scene, message, count=2).state == "failed"


def test_an_image_of_another_digest_than_the_registry_s_fails(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.session.registry = "registry.k3s:5000"
    for pod in web.cluster.objects["Pod"]:
        pod["spec"]["containers"][0]["image"] = "registry.k3s:5000/stackgate/web:0123"
    running = only_container(web)["imageID"].rpartition("@")[2]
    asked = []

    def digest(image: str) -> str:
        asked.append(image)
        return running

    web.session.digest_of = digest
    assert web.observe("rollout", resource="Deployment/web").state == "holds"
    assert asked == ["registry.k3s:5000/stackgate/web:0123"]  # two pods, one question
    web.session.digest_of, web.session._digests = (lambda image: "sha256:feed"), {}
    seen = web.observe("rollout", resource="Deployment/web")
    assert seen.state == "failed"
    assert f"runs as {running}, the registry has sha256:feed" in seen.seen
    assert web.observe("rollout", resource="Deployment/web", verify_images=False).state == "holds"


def test_a_registry_that_cannot_say_the_digest_is_waited_for(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.session.registry = "docker.io/library"
    for pod in web.cluster.objects["Pod"]:
        pod["spec"]["containers"][0]["image"] = "docker.io/library/busybox:1"

    def digest(image: str) -> str:
        raise StackgateError("an answer", "connection refused")

    web.session.digest_of = digest
    seen = web.observe("rollout", resource="Deployment/web")
    assert (seen.state, "connection refused" in seen.seen) == ("waiting", True)


def test_a_pinned_digest_is_compared_without_a_registry(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    for pod in web.cluster.objects["Pod"]:
        pod["spec"]["containers"][0]["image"] = "docker.io/library/busybox@sha256:feed"
    assert web.observe("rollout", resource="Deployment/web").state == "failed"


def test_a_wanted_reference_is_compared(scene: Callable[..., Any]) -> None:
    seen = scene("web_ready").observe("rollout", resource="Deployment/web", images={"web": "busybox:2"})
    assert (seen.state, "runs busybox, wanted busybox:2" in seen.seen) == ("waiting", True)


# -- restarts ----------------------------------------------------------------------------------------------------


def test_a_container_that_has_restarted_must_run_for_a_while(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    status = only_container(web)
    status["restartCount"] = 1
    status["state"]["running"]["startedAt"] = stamp(web, 3)
    seen = web.observe("rollout", resource="Deployment/web")
    assert (seen.state, "has restarted 1 time" in seen.seen) == ("waiting", True)
    status["state"]["running"]["startedAt"] = stamp(web, 20)
    assert web.observe("rollout", resource="Deployment/web").state == "holds"


def test_an_old_container_without_a_probe_holds_at_once(scene: Callable[..., Any]) -> None:
    worker = scene("no_probe")
    only_container(worker)["state"]["running"]["startedAt"] = stamp(worker, 3600)
    assert worker.observe("rollout", resource="Deployment/worker").state == "holds"


# -- scheduling --------------------------------------------------------------------------------------------------


def test_what_cannot_be_scheduled_fails_after_its_time_and_a_moment_of_this_gate(scene: Callable[..., Any]) -> None:
    huge = scene("unschedulable")
    condition = huge.cluster.objects["Pod"][0]["status"]["conditions"][0]
    assert condition["type"] == "PodScheduled"
    condition["lastTransitionTime"] = stamp(huge, 61)
    assert huge.observe("rollout", resource="Deployment/huge").state == "waiting"
    seen = huge.observe("rollout", 10, resource="Deployment/huge")
    assert (seen.state, "3 Insufficient cpu" in seen.seen) == ("failed", True)
    huge.session.unschedulable_after = 300
    assert huge.observe("rollout", 10, resource="Deployment/huge").state == "waiting"


# -- lacking objects ---------------------------------------------------------------------------------------------


def test_a_secret_that_has_come_meanwhile_is_waited_for(scene: Callable[..., Any]) -> None:
    lacking = scene("secret_missing")
    lacking.cluster.secrets["nobody-made-it"] = {}
    assert lacking.observe("rollout", 20, resource="Deployment/lacking").state == "waiting"


def test_without_the_right_to_ask_a_missing_secret_fails_a_little_later(scene: Callable[..., Any]) -> None:
    lacking = scene("secret_missing")
    lacking.cluster.forbidden.add("Secret")
    assert lacking.observe("rollout", resource="Deployment/lacking").state == "waiting"
    assert lacking.observe("rollout", 11, resource="Deployment/lacking").state == "failed"


# -- nodes -------------------------------------------------------------------------------------------------------


def test_a_node_that_is_not_ready_is_named_with_its_time(scene: Callable[..., Any]) -> None:
    store = scene("stateful_ready")
    node = store.cluster.object("Pod", "store-0")["spec"]["nodeName"]
    dead_node(store, node)
    seen = store.observe("rollout", resource="StatefulSet/store")
    assert seen.state == "waiting"
    assert f"store-0: node {node} is NotReady since {stamp(store, 400)} (6 min 40 s ago): Kubelet stopped posting" in seen.seen


def test_a_node_that_died_a_moment_ago_is_found_by_asking_its_kubelet(scene: Callable[..., Any]) -> None:
    store = scene("stateful_ready")
    store.cluster.forbidden.add("Node")
    node = store.cluster.object("Pod", "store-1")["spec"]["nodeName"]
    store.cluster.dead.add(node)
    seen = store.observe("rollout", resource="StatefulSet/store")
    assert seen.state == "waiting"
    assert f"store-1: node {node} does not answer" in seen.seen
    endpoints = scene("web_ready")
    endpoints.cluster.dead = {pod["spec"]["nodeName"] for pod in endpoints.cluster.objects["Pod"]}
    assert "connections still go to" in endpoints.observe("endpoints", service="web").seen


def dead_node(scene: Any, name: str) -> None:
    """Kubernetes has noticed: the node is NotReady."""
    ready = next(c for c in scene.cluster.object("Node", name)["status"]["conditions"] if c["type"] == "Ready")
    ready.update(
        status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.", lastTransitionTime=stamp(scene, 400)
    )


def test_a_pod_that_cannot_leave_a_dead_node_explains_what_is_missing(scene: Callable[..., Any]) -> None:
    store = scene("stateful_ready")
    pod = store.cluster.object("Pod", "store-2")
    pod["metadata"]["deletionTimestamp"] = stamp(store, 60)
    store.cluster.object("StatefulSet", "store")["status"]["readyReplicas"] = 2
    dead_node(store, pod["spec"]["nodeName"])
    seen = store.observe("rollout", resource="StatefulSet/store").seen
    assert f"2/3 ready, store-2: node {pod['spec']['nodeName']} is NotReady since" in seen


def test_what_cannot_be_scheduled_because_of_a_dead_node_names_it(scene: Callable[..., Any]) -> None:
    huge = scene("unschedulable")
    dead_node(huge, "node3")
    assert "3 Insufficient cpu" in (seen := huge.observe("rollout", resource="Deployment/huge").seen)
    assert "; node node3 is NotReady since" in seen


def test_a_service_with_a_dead_backend_waits_even_if_enough_others_are_there(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    nodes = [pod["spec"]["nodeName"] for pod in web.cluster.objects["Pod"]]
    assert len(set(nodes)) == 2
    assert web.observe("endpoints", service="web").state == "holds"
    web = scene("web_ready")
    web.cluster.dead.add(nodes[0])
    seen = web.observe("endpoints", service="web")
    assert (seen.state, f"node {nodes[0]} does not answer" in seen.seen) == ("waiting", True)


def test_without_the_right_to_see_nodes_the_pod_s_events_tell(scene: Callable[..., Any]) -> None:
    store = scene("stateful_ready")
    store.cluster.forbidden.add("Node")
    pod = store.cluster.object("Pod", "store-0")
    next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["status"] = "False"
    store.cluster.object("StatefulSet", "store")["status"]["readyReplicas"] = 2
    event = {"reason": "NodeNotReady", "message": "Node is not ready", "type": "Warning", "lastTimestamp": stamp(store, 30), "metadata": {}}
    store.cluster.objects["Event"].append({**event, "involvedObject": {"kind": "Pod", "name": "store-0"}})
    seen = store.observe("rollout", resource="StatefulSet/store")
    assert f"node {pod['spec']['nodeName']}: Node is not ready since" in seen.seen


# -- DaemonSets --------------------------------------------------------------------------------------------------


def test_a_daemon_set_that_no_node_matches_holds(scene: Callable[..., Any]) -> None:
    agent = scene("daemon_ready")
    agent.cluster.object("DaemonSet", "agent")["status"] = {"observedGeneration": 1, "desiredNumberScheduled": 0}
    agent.cluster.objects["Pod"] = []
    assert "no node matches" in agent.observe("rollout", resource="DaemonSet/agent").seen


@pytest.mark.parametrize("field", ["numberReady", "numberAvailable", "updatedNumberScheduled"])
def test_each_counter_of_a_daemon_set_counts(scene: Callable[..., Any], field: str) -> None:
    agent = scene("daemon_ready")
    agent.cluster.object("DaemonSet", "agent")["status"][field] = 2
    assert agent.observe("rollout", resource="DaemonSet/agent").state == "waiting"


def test_a_pod_on_its_way_out_counts_for_nothing(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.cluster.objects["Pod"][0]["metadata"]["deletionTimestamp"] = stamp(web, 1)
    seen = web.observe("rollout", resource="Deployment/web")
    assert (seen.state, "1/2 ready" in seen.seen) == ("waiting", True)


# -- claims ------------------------------------------------------------------------------------------------------


def test_a_claim_may_wait_for_its_pod_without_an_event_that_says_so(scene: Callable[..., Any]) -> None:
    claims = scene("claims")
    claims.cluster.objects["Event"] = []
    assert claims.observe("pvc", name="late").state == "holds"


def test_without_the_right_to_see_storage_classes_the_events_tell(scene: Callable[..., Any]) -> None:
    claims = scene("claims")
    claims.cluster.forbidden.add("StorageClass")
    assert claims.observe("pvc", name="late").state == "holds"
    assert claims.observe("pvc", name="classless").state == "failed"


def test_a_claim_whose_pod_is_there_must_be_bound(scene: Callable[..., Any]) -> None:
    claims = scene("claims")
    claims.cluster.objects["Pod"][0]["spec"]["volumes"][0]["persistentVolumeClaim"] = {"claimName": "late"}
    assert claims.observe("pvc", name="late").state == "waiting"


def test_a_claim_that_is_too_small_is_waited_for_and_a_lost_one_is_not(scene: Callable[..., Any]) -> None:
    claims = scene("claims")
    claims.cluster.object("PersistentVolumeClaim", "used")["spec"]["resources"]["requests"]["storage"] = "1Gi"
    assert "has 16Mi, wanted 1Gi" in claims.observe("pvc", name="used").seen
    claims.cluster.object("PersistentVolumeClaim", "used")["status"]["phase"] = "Lost"
    assert claims.observe("pvc", name="used").state == "failed"


# -- leftovers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leftover", ["evicted", "terminating"])
def test_a_leftover_beside_enough_pods_does_not_matter(scene: Callable[..., Any], leftover: str) -> None:
    web = scene("web_ready")
    pod = json.loads(json.dumps(web.cluster.objects["Pod"][0]))
    pod["metadata"]["name"] += "-x"
    if leftover == "evicted":
        pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    else:
        pod["metadata"]["deletionTimestamp"] = stamp(web, 1)
    web.cluster.objects["Pod"].append(pod)
    assert web.observe("rollout", resource="Deployment/web").state == "holds"
