# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of condition sees in recordings of a real cluster: rolling out, done, stuck, failing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# recording, kind, fields, seconds for which it has lasted, state, words that must be in what is seen
SEEN: list[tuple[str, str, dict[str, Any], float, str, list[str]]] = [
    # -- Deployments
    ("web_starting", "rollout", {"resource": "Deployment/web"}, 0, "waiting", ["0/2 ready", "0/2 available", "ContainerCreating"]),
    ("web_ready", "rollout", {"resource": "Deployment/web"}, 0, "holds", ["2/2 ready"]),
    (
        "web_update_broken",
        "rollout",
        {"resource": "Deployment/web"},
        0,
        "failed",
        ["ImagePullBackOff", "busybox:no-such-tag", "pod web-68", "2 old pods"],
    ),
    # The broken ReplicaSet's pod may still be there: it is of no revision that anybody wants.
    ("web_repaired_at_once", "rollout", {"resource": "Deployment/web"}, 0, "holds", ["2/2 ready"]),
    ("web_repaired", "rollout", {"resource": "Deployment/web"}, 0, "holds", ["2/2 ready"]),
    ("never_ready", "rollout", {"resource": "Deployment/unready"}, 600, "waiting", ["0/1 ready", "Readiness probe failed: no table users"]),
    ("no_probe", "rollout", {"resource": "Deployment/worker"}, 0, "waiting", ["has no readiness probe", "trusted after 15 s"]),
    ("no_probe", "rollout", {"resource": "Deployment/worker"}, 15, "holds", ["1/1 ready"]),
    ("no_probe", "rollout", {"resource": "Deployment/worker", "settle": 0}, 0, "holds", ["1/1 ready"]),
    # -- what cannot heal
    ("image_missing_at_first", "rollout", {"resource": "Deployment/missing"}, 0, "waiting", ["ErrImagePull", "busybox:no-such-tag"]),
    ("image_missing_at_first", "rollout", {"resource": "Deployment/missing"}, 12, "failed", ["ErrImagePull", "busybox:no-such-tag"]),
    ("image_missing", "rollout", {"resource": "Deployment/missing"}, 0, "failed", ["ImagePullBackOff", "(node1)", "connection refused"]),
    ("image_unreachable", "rollout", {"resource": "Deployment/unreachable"}, 0, "failed", ["ImagePullBackOff", "connection refused"]),
    ("crash_loop_at_first", "rollout", {"resource": "Deployment/looping"}, 60, "waiting", ["CrashLoopBackOff after 1 restart;"]),
    ("crash_loop", "rollout", {"resource": "Deployment/looping"}, 0, "failed", ["CrashLoopBackOff after 3 restarts", "exit code 3"]),
    ("out_of_memory", "rollout", {"resource": "Deployment/hungry"}, 0, "failed", ["OOMKilled", "limit 16Mi"]),
    (
        "secret_missing",
        "rollout",
        {"resource": "Deployment/lacking"},
        0,
        "failed",
        ["CreateContainerConfigError", '"nobody-made-it" not found'],
    ),
    ("volume_missing", "rollout", {"resource": "Deployment/unmounted"}, 0, "failed", ["FailedMount", '"nobody-made-it" not found']),
    ("unschedulable", "rollout", {"resource": "Deployment/huge"}, 0, "waiting", ["Unschedulable for 2 s", "3 Insufficient cpu"]),
    ("quota", "rollout", {"resource": "Deployment/crowded"}, 0, "waiting", ["FailedCreate", "exceeded quota: small"]),
    ("quota", "rollout", {"resource": "Deployment/crowded"}, 11, "failed", ["FailedCreate", "exceeded quota: small"]),
    ("pod_security", "rollout", {"resource": "StatefulSet/rooted"}, 0, "failed", ["FailedCreate", "violates PodSecurity"]),
    # -- StatefulSets
    ("stateful_starting", "rollout", {"resource": "StatefulSet/store"}, 0, "waiting", ["1/3 ready", "store-1"]),
    ("stateful_ready", "rollout", {"resource": "StatefulSet/store"}, 0, "holds", ["3/3 ready"]),
    (
        "stateful_updating",
        "rollout",
        {"resource": "StatefulSet/store"},
        0,
        "waiting",
        ["2 of an old revision (store-0, store-1)", "store-2"],
    ),
    ("stateful_held_up", "rollout", {"resource": "StatefulSet/store"}, 0, "waiting", ["OrderedReady", "store-2", "ImagePullBackOff"]),
    ("stateful_held_up", "rollout", {"resource": "StatefulSet/store"}, 11, "failed", ["OrderedReady", "store-2", "ImagePullBackOff"]),
    ("stateful_on_delete_ready", "rollout", {"resource": "StatefulSet/store"}, 0, "holds", ["3/3 ready"]),
    ("stateful_on_delete_updating", "rollout", {"resource": "StatefulSet/store"}, 600, "waiting", ["3 of an old revision", "OnDelete"]),
    ("stateful_partition_ready", "rollout", {"resource": "StatefulSet/store"}, 0, "holds", ["3/3 ready"]),
    ("stateful_partition_updating", "rollout", {"resource": "StatefulSet/store"}, 0, "holds", ["3/3 ready"]),
    # -- DaemonSets
    ("daemon_ready", "rollout", {"resource": "DaemonSet/agent"}, 0, "holds", ["3/3 ready"]),
    ("daemon_updating", "rollout", {"resource": "DaemonSet/agent"}, 0, "waiting", ["0/3 of the wanted revision"]),
    # -- Jobs
    ("jobs", "job", {"name": "done"}, 0, "holds", ["complete since 2026-"]),
    ("jobs", "job", {"name": "running"}, 0, "waiting", ["0/1 succeeded", "running-", "runs"]),
    ("jobs", "job", {"name": "suspended"}, 600, "waiting", ["suspended"]),
    ("jobs", "job", {"name": "failing"}, 0, "failed", ["BackoffLimitExceeded", "exit code 2"]),
    ("jobs", "job", {"name": "runing"}, 0, "waiting", ["there is no Job runing", "did you mean 'running'?"]),
    ("jobs", "job", {"name": "runing"}, 16, "failed", ["there is no Job runing"]),
    # -- claims
    ("claims", "pvc", {"name": "late"}, 0, "holds", ["WaitForFirstConsumer"]),
    ("claims", "pvc", {"name": "used"}, 0, "holds", ["bound to pvc-", "16Mi"]),
    ("claims", "pvc", {"name": "classless"}, 0, "failed", ["local-paht", "did you mean 'local-path'?", "local-path-shared"]),
    ("claims", "pvc", {"selector": {"app": "claims"}, "minimum": 2}, 0, "holds", ["2 bound"]),
    ("claims", "pvc", {"selector": {"app": "claims"}, "minimum": 3}, 600, "waiting", ["2/3 claims exist"]),
    ("claims", "pvc", {"name": "data-store-2"}, 600, "waiting", ["there is no PersistentVolumeClaim data-store-2"]),
    # -- Services, Ingresses, autoscalers, budgets
    ("web_ready", "endpoints", {"service": "web", "minimum": 2}, 0, "holds", ["2 ready"]),
    ("web_ready", "endpoints", {"service": "web", "minimum": 3}, 600, "waiting", ["2/3 ready"]),
    ("web_starting", "endpoints", {"service": "web"}, 0, "waiting", ["0/1 ready", "ContainerCreating"]),
    ("services", "endpoints", {"service": "nobody"}, 600, "waiting", ["no pod has the labels app=nobody"]),
    ("services", "endpoints", {"service": "by-hand"}, 600, "waiting", ["no selector"]),
    ("web_ready", "ingress", {"name": "web", "ingress_class": "traefik"}, 0, "holds", ["10.231.0.11, 10.231.0.12, 10.231.0.13"]),
    ("web_ready", "ingress", {"name": "web", "ingress_class": "nginx"}, 0, "failed", ["its class is traefik, expected nginx"]),
    ("services", "ingress", {"name": "unserved"}, 600, "waiting", ["no address"]),
    ("services", "ingress", {"name": "unserved", "address": False}, 0, "holds", ["nobody-serves-it"]),
    ("web_repaired", "hpa", {"name": "web"}, 0, "holds", ["2 replicas of 2 to 3"]),
    ("web_ready", "hpa", {"name": "web"}, 600, "waiting", ["ScalingActive is False", "FailedGetResourceMetric"]),
    ("web_starting", "hpa", {"name": "web"}, 0, "waiting", ["AbleToScale is not known yet"]),
    ("services", "hpa", {"name": "aimless"}, 0, "waiting", ["AbleToScale is False", "FailedGetScale"]),
    ("web_ready", "pdb", {"name": "web"}, 0, "holds", ["2 healthy of at least 1, 1 may be taken away"]),
    ("web_ready", "pdb", {"name": "web", "allowed": 2}, 600, "waiting", ["1 may be taken away"]),
]


@pytest.mark.parametrize(("recording", "kind", "fields", "lasting", "state", "words"), SEEN)
def test_a_condition_sees_what_is_there(
    scene: Callable[..., Any], recording: str, kind: str, fields: dict[str, Any], lasting: float, state: str, words: list[str]
) -> None:
    seen = scene(recording).observe(kind, lasting, **fields)
    assert (str(seen.state), [word for word in words if word not in seen.seen]) == (state, []), seen.seen


@pytest.mark.parametrize(("recording", "kind", "fields", "lasting", "state", "words"), [entry for entry in SEEN if entry[4] == "failed"])
def test_a_failure_says_what_to_try(
    scene: Callable[..., Any], recording: str, kind: str, fields: dict[str, Any], lasting: float, state: str, words: list[str]
) -> None:
    assert scene(recording).observe(kind, lasting, **fields).hint


@pytest.mark.parametrize(("recording", "kind", "fields", "lasting", "state", "words"), SEEN)
def test_an_object_is_described(
    scene: Callable[..., Any], recording: str, kind: str, fields: dict[str, Any], lasting: float, state: str, words: list[str]
) -> None:
    from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol

    condition = _protocol.parse([{"kind": kind, **fields}])[0]
    assert condition.describe().startswith(kind)
    assert len(condition.expected()) > 10
