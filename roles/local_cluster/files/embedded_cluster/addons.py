# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the cluster to make it one like k3s: DNS, volumes, ingress, metrics; and who may do what in it."""

from __future__ import annotations

import base64
import concurrent.futures
import datetime
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine, pki, render
from .programs import Programs
from .settings import Settings

# Not the name that deployments apply with: who made a stack's namespace does not own what the stack puts on it.
FIELD_MANAGER = "local-cluster"
DEPLOYMENTS = ("coredns", "local-path-provisioner", "traefik", "metrics-server")
ACCESS_NAMESPACE, ACCESS_ACCOUNT, ACCESS_SECRET = "stackgate", "deployer", "deployer-token"
# Kinds that others need to be there first.
_FIRST = ("CustomResourceDefinition", "Namespace")

Document = dict[str, Any]


def connect(settings: Settings) -> Cluster:
    return Cluster({"kubeconfig": str(settings.admin_kubeconfig)})


def wait_for_server(settings: Settings, cluster: Cluster) -> None:
    """Until the API server calls itself ready: all its parts, and RBAC's first roles, are there."""

    def seen() -> str:
        try:
            answer = cluster.request("GET", "/readyz", timeout=2.0)
        except StackgateError as error:
            return error.seen.strip().splitlines()[-1]
        return "" if answer == "ok" else str(answer)[-200:]

    _wait("the API server is ready", seen, settings, f"read {settings.node_dir(1)}/log/kube-apiserver.log")


# -- apply ------------------------------------------------------------------------------------------------------------


def documents(settings: Settings, programs: Programs, images: Mapping[str, str]) -> list[Document]:
    """Everything that is applied, Traefik's own kinds included."""
    values = {"s": settings, "images": images}
    found: list[Document] = json.loads(programs.traefik_crds.read_text())
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for text in render.tree("addons", settings.run_dir, values).values():
        found += [document for document in yaml.load_all(text, Loader=loader) if document]
    return found


def apply(settings: Settings, cluster: Cluster, wanted: Sequence[Document]) -> list[str]:
    """Apply the documents, eight at a time; the names of those that changed."""
    for api_version, kind in sorted({(document["apiVersion"], document["kind"]) for document in wanted}):
        cluster.resource(api_version, kind)  # the first question about a kind is not safe among threads
    changed: list[str] = []
    first = [document for document in wanted if document["kind"] in _FIRST]
    rest = [document for document in wanted if document["kind"] not in _FIRST]
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        for part in (first, rest):
            changed += [name for name in pool.map(lambda document: _apply_one(cluster, document), part) if name]
    if not settings.read_cluster and cluster.delete("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "stackgate:cluster-reader"):
        changed.append("ClusterRoleBinding/stackgate:cluster-reader")
    return changed


def _apply_one(cluster: Cluster, document: Document) -> str:
    """Server-side apply; the object's name when it changed."""
    meta = document["metadata"]
    path = cluster.path(document["apiVersion"], document["kind"], meta.get("namespace"), meta["name"])
    try:
        before = cluster.request("GET", path)["metadata"]["resourceVersion"]
        if document["kind"] == "Namespace":
            return ""  # made once; its labels are the business of whoever uses it
    except ApiError as error:
        if not error.not_found:
            raise
        before = ""
    query = {"fieldManager": FIELD_MANAGER, "force": True}
    after = cluster.request("PATCH", path, query=query, body=document, content_type="application/apply-patch+yaml")
    return "" if after["metadata"]["resourceVersion"] == before else f"{document['kind']}/{meta['name']}"


def label_server(settings: Settings, cluster: Cluster) -> bool:
    """Mark the first node as the control plane, as k3s does: the node itself is not allowed to."""
    node: Document = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": settings.node_name(1), "labels": {"node-role.kubernetes.io/control-plane": "true"}},
    }
    return bool(_apply_one(cluster, node))


def write_access(settings: Settings, cluster: Cluster) -> bool:
    """The kubeconfig of the stack's own identity; whether it changed."""

    def token() -> str:
        secret = cluster.get("v1", "Secret", ACCESS_SECRET, ACCESS_NAMESPACE) or {}
        return base64.b64decode(secret.get("data", {}).get("token", "")).decode()

    log = settings.node_dir(1) / "log/kube-controller-manager.log"
    _wait("the stack's token is made", lambda: "" if token() else "the Secret is empty", settings, f"read {log}")
    namespace = settings.namespaces[0] if settings.namespaces else ""
    return pki.write_kubeconfig(settings, settings.kubeconfig, {"token": token()}, namespace)


# -- readiness --------------------------------------------------------------------------------------------------------


def wait_until_ready(settings: Settings, cluster: Cluster, booted: Mapping[str, float]) -> None:
    """Until every node and every add-on is Ready, with a line for each as it comes.

    booted: node name -> when it was started, seconds since the epoch. What the API says of a node and its pods from
            before that is the state of a former life, and does not count.
    """
    conditions: dict[str, Callable[[], str]] = {}
    for name in booted:
        conditions[f"{name} is Ready"] = functools.partial(node_problem, cluster, name, booted[name])
    for name in DEPLOYMENTS:
        conditions[f"{name} is Ready"] = functools.partial(deployment_problem, cluster, name, booted)
    conditions["the metrics of every node are served"] = lambda: metrics_problem(cluster, len(booted))
    start = time.monotonic()
    spoken = start
    while conditions:
        problems = {}
        for condition, problem in list(conditions.items()):
            try:
                seen = problem()
            except StackgateError as error:
                seen = error.seen
            if seen:
                problems[condition] = seen
            else:
                machine.say(condition)
                spoken = time.monotonic()
                del conditions[condition]
        waited = time.monotonic() - start
        if conditions and waited > settings.timeout_seconds:
            raise StackgateError(
                "; ".join(problems),
                "; ".join(f"{condition}: {seen}" for condition, seen in problems.items()),
                f"read the logs in {settings.run_dir}/node*/log; KUBECONFIG={settings.admin_kubeconfig} shows the cluster",
                waited=waited,
            )
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            machine.say("waiting: " + "; ".join(f"{condition}: {seen}" for condition, seen in problems.items())[:400])
        if conditions:
            time.sleep(0.25)


def node_problem(cluster: Cluster, name: str, booted: float) -> str:
    """Why the node is not Ready since it was started; empty when it is."""
    node = cluster.get("v1", "Node", name)
    if node is None:
        return "it has not registered"
    ready = next((condition for condition in node.get("status", {}).get("conditions", []) if condition["type"] == "Ready"), None)
    if ready is None:
        return "it has reported nothing"
    if _seconds(ready["lastHeartbeatTime"]) < int(booted):
        return "it has reported nothing since it was started"
    return "" if ready["status"] == "True" else str(ready.get("message") or ready.get("reason"))


def deployment_problem(cluster: Cluster, name: str, booted: Mapping[str, float]) -> str:
    """Why the Deployment of kube-system is not rolled out with pods of this life; empty when it is."""
    deployment = cluster.get("apps/v1", "Deployment", name, "kube-system")
    if deployment is None:
        return "it does not exist"
    wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "its controller has not seen it"
    selector = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
    pods = cluster.list("v1", "Pod", "kube-system", labels=selector)
    problems = [problem for pod in pods if (problem := pod_problem(pod, booted))]
    counted = min(status.get(field, 0) for field in ("updatedReplicas", "availableReplicas", "replicas"))
    if counted < wanted or len(pods) - len(problems) < wanted:
        return f"{counted} of {wanted} pods" + (f" ({'; '.join(problems)})" if problems else "")
    return ""


def pod_problem(pod: Document, booted: Mapping[str, float]) -> str:
    """Why a pod does not run in its node's present life; empty when it does."""
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp"):
        return f"{name} is ending"
    statuses = pod.get("status", {}).get("containerStatuses") or []
    if not statuses:
        conditions = pod.get("status", {}).get("conditions") or []
        said = [condition["message"] for condition in conditions if condition["status"] == "False" and condition.get("message")]
        return f"{name}: {said[0] if said else pod.get('status', {}).get('phase', 'Pending')}"
    for status in statuses:
        state = status.get("state", {})
        if waiting := state.get("waiting"):
            return f"{name}: {waiting.get('reason')} {waiting.get('message', '')}".strip()
        started = state.get("running", {}).get("startedAt")
        if not started or not status.get("ready"):
            return f"{name} is not ready"
        if _seconds(started) < int(booted.get(pod["spec"].get("nodeName", ""), 0.0)):
            return f"{name} ran before its node was started"
    return ""


def metrics_problem(cluster: Cluster, nodes: int) -> str:
    """Why not every node's metrics are there; empty when they are."""
    items = cluster.request("GET", "/apis/metrics.k8s.io/v1beta1/nodes", timeout=5.0)["items"]
    return "" if len(items) >= nodes else f"those of {len(items)} nodes"


def _seconds(timestamp: str) -> int:
    return int(datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())


def _wait(expected: str, problem: Callable[[], str], settings: Settings, hint: str) -> None:
    start = time.monotonic()
    spoken = start
    while seen := problem():
        waited = time.monotonic() - start
        if waited > settings.timeout_seconds:
            raise StackgateError(expected, seen, hint, waited=waited)
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            machine.say(f"waiting until {expected}: {seen}")
        time.sleep(0.1)
    machine.say(expected)
