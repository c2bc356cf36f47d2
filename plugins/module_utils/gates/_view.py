# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the conditions of one poll round see of the cluster: everything is fetched once and shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._times import duration, epoch, seconds_between

# kind -> (apiVersion, whether objects live in a namespace)
KINDS: dict[str, tuple[str, bool]] = {
    "Pod": ("v1", True),
    "Event": ("v1", True),
    "Service": ("v1", True),
    "PersistentVolumeClaim": ("v1", True),
    "Node": ("v1", False),
    "Deployment": ("apps/v1", True),
    "StatefulSet": ("apps/v1", True),
    "DaemonSet": ("apps/v1", True),
    "ReplicaSet": ("apps/v1", True),
    "Job": ("batch/v1", True),
    "EndpointSlice": ("discovery.k8s.io/v1", True),
    "Ingress": ("networking.k8s.io/v1", True),
    "HorizontalPodAutoscaler": ("autoscaling/v2", True),
    "PodDisruptionBudget": ("policy/v1", True),
    "StorageClass": ("storage.k8s.io/v1", False),
}
# A node that gives no answer within this many seconds is taken for dead.
NODE_PATIENCE = 3.0
# Seconds for which a node's answer is good: a dead node is noticed that soon, and rounds in between cost nothing.
NODE_ANSWER_LASTS = 5.0
# Seconds for which an object that nobody has created yet may be missing before that is a mistake.
MISSING_PATIENCE = 15.0


@dataclass
class Session:
    """What one run of a gate remembers from round to round.

    began:     the server's time when the gate began, in seconds since the epoch. Troubles older than that are history.
    registry:  host:port of the registry whose images are compared by digest; empty for none.
    digest_of: image reference -> its digest in that registry; StackgateError when the registry cannot say.
    """

    cluster: Cluster
    namespace: str
    began: float = 0.0
    unschedulable_after: float = 60.0
    check_mode: bool = False
    registry: str = ""
    digest_of: Callable[[str], str] | None = None
    clock: Callable[[], float] = time.monotonic
    forbidden: dict[str, str] = field(default_factory=dict)
    _since: dict[str, tuple[float, float]] = field(default_factory=dict)
    _answers: dict[str, tuple[float, str]] = field(default_factory=dict)
    _asking: dict[str, threading.Lock] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.began = self.began or self.now()

    def now(self) -> float:
        """The server's time, in seconds since the epoch: timestamps in objects are compared with it."""
        return time.time() + self.cluster.clock_offset

    def lasting(self, key: str) -> float:
        """Seconds for which something has been seen without a break (a break: not asked about for 10 s)."""
        now = self.clock()
        with self._lock:
            first, last = self._since.get(key, (now, now))
            if now - last > 10.0:
                first = now
            self._since[key] = (first, now)
        return now - first

    def digest(self, image: str) -> str:
        """The digest that the registry holds for an image reference; asked once a run."""
        if image not in self._digests:
            if self.digest_of is None:
                raise StackgateError(f"the registry tells the digest of {image}", "this gate was given no registry")
            self._digests[image] = self.digest_of(image)
        return self._digests[image]

    def node_answer(self, node: str, ask: Callable[[], str]) -> str:
        """What is wrong with a node's kubelet (empty: nothing), asked at most once in NODE_ANSWER_LASTS seconds."""
        with self._lock:
            lock = self._asking.setdefault(node, threading.Lock())
        with lock:  # whoever comes while somebody asks waits for the same answer
            asked, answer = self._answers.get(node, (float("-inf"), ""))
            if self.clock() - asked > NODE_ANSWER_LASTS:
                answer = ask()
                self._answers[node] = (self.clock(), answer)
        return answer


class View:
    """One round's look at a namespace. Things are fetched when first asked for, once, whoever asks."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.cluster = session.cluster
        self.namespace = session.namespace
        self.now = session.now()
        self._fetched: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._events: dict[tuple[str, str], list[dict[str, Any]]] | None = None
        self._guard = threading.Lock()

    # -- objects -------------------------------------------------------------------------------------------------

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """A value made once in this round, whichever thread asks first; an error is shared as well."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._fetched:
                try:
                    self._fetched[key] = make()
                except StackgateError as error:
                    self._fetched[key] = error
            found = self._fetched[key]
        if isinstance(found, StackgateError):
            raise found
        return found

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace (of cluster-wide kinds: all). StackgateError when it cannot be read.

        They come from the API server's cache and may be a moment old; the server would take up to a second to make sure
        that they are not. The object that a condition is about comes from get(), which is never old: a change that has
        just been applied is seen there, by its generation.
        """
        api_version, namespaced = KINDS[kind]
        namespace = self.namespace if namespaced else None
        found: list[dict[str, Any]] = self.once(kind, lambda: self.cluster.list(api_version, kind, namespace, cached=True))
        return found

    def readable(self, kind: str) -> list[dict[str, Any]] | None:
        """The same, or None when this identity has no right to read it. The refusal is remembered for the whole run."""
        if kind in self.session.forbidden:
            return None
        try:
            return self.objects(kind)
        except ApiError as error:
            if not error.forbidden:
                raise
            self.session.forbidden[kind] = error.message
            return None

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object by name, as it is now, or None."""
        found: dict[str, Any] | None = self.once(
            f"{kind}/{name}", lambda: self.cluster.get(KINDS[kind][0] if kind in KINDS else "v1", kind, name, self.namespace)
        )
        return found

    def pod(self, name: str) -> dict[str, Any] | None:
        """A pod by name, or None."""
        return next((pod for pod in self.objects("Pod") if pod["metadata"]["name"] == name), None)

    def exists(self, kind: str, name: str) -> bool | None:
        """Whether a ConfigMap or Secret exists; None when that may not be asked."""
        try:
            return self.get(kind, name) is not None
        except ApiError:
            return None

    def pods(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The pods that carry all these labels."""
        return [pod for pod in self.objects("Pod") if labels.items() <= (pod["metadata"].get("labels") or {}).items()]

    def owned_pods(self, uid: str) -> list[dict[str, Any]]:
        """The pods whose controller has this uid."""
        return [
            pod
            for pod in self.objects("Pod")
            if any(o.get("uid") == uid and o.get("controller") for o in pod["metadata"].get("ownerReferences") or [])
        ]

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """The events about an object (of a Job: not those of an earlier one), oldest first; empty when they may not be read."""
        index: dict[tuple[str, str], list[dict[str, Any]]] = self.once("events by object", self._index_events)
        found = index.get((kind, name), [])
        if kind != "Job" or not found:
            return found
        # A failed Job is deleted and made anew under its name: what befell the one before is no news of this one.
        uid = ((self.get(kind, name) or {}).get("metadata") or {}).get("uid")
        return [event for event in found if not uid or (event.get("involvedObject") or {}).get("uid") in (None, "", uid)]

    def _index_events(self) -> Any:
        index: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for event in sorted(self.readable("Event") or [], key=event_time):
            involved = event.get("involvedObject") or {}
            index.setdefault((involved.get("kind", ""), involved.get("name", "")), []).append(event)
        return index

    def missing(self, kind: str, name: str, what: str = "") -> tuple[str, bool]:
        """The sentence about an object that is not there, and whether that has lasted too long to be a matter of time."""
        names = [item["metadata"]["name"] for item in self.objects(kind)]
        text = f"there is no {kind} {name} in namespace {self.namespace}{_fields.nearest(name, names)}{what}"
        return text, self.session.lasting(f"missing {kind}/{name}") >= MISSING_PATIENCE

    # -- nodes ---------------------------------------------------------------------------------------------------

    def node_at(self, address: str) -> str:
        """The name of the node that has an address; empty when it is none's, or not known."""
        for node in self.readable("Node") or []:
            if any(entry.get("address") == address for entry in (node.get("status") or {}).get("addresses") or []):
                return str(node["metadata"]["name"])
        for pod in self.objects("Pod"):
            if (pod.get("status") or {}).get("hostIP") == address:
                return str(pod["spec"].get("nodeName", ""))
        return ""

    def unready_nodes(self) -> list[str]:
        """The nodes that are not Ready, each as a phrase with since when."""
        return [trouble for node in self.readable("Node") or [] if (trouble := self._not_ready(node))]

    def _not_ready(self, node: Mapping[str, Any]) -> str:
        ready = condition(node, "Ready")
        if not ready or ready.get("status") == "True":
            return ""
        since = seconds_between(ready.get("lastTransitionTime"), self.now)
        why = ready.get("message") or ready.get("reason")
        return f"node {node['metadata']['name']} is NotReady since {ready.get('lastTransitionTime')}{ago(since)}: {why}"

    def node_trouble(self, pod: Mapping[str, Any]) -> str:
        """Why the node of a pod is out of order, with since when; empty when it is not, or when nothing is known."""
        name = (pod.get("spec") or {}).get("nodeName")
        if not name:
            return ""
        for node in self.readable("Node") or []:
            if node["metadata"]["name"] == name and (trouble := self._not_ready(node)):
                return trouble
        for event in reversed(self.events("Pod", pod["metadata"]["name"]) if not is_ready(pod) else []):
            if event.get("reason") in ("NodeNotReady", "TaintManagerEviction"):
                since = seconds_between(event_stamp(event), self.now)
                return f"node {name}: {event.get('message')} since {event_stamp(event)}{ago(since)}"
        return self.session.node_answer(name, lambda: self._ask_kubelet(name, pod))

    def _ask_kubelet(self, node: str, pod: Mapping[str, Any]) -> str:
        """Kubernetes believes in a dead node for 40-50 s; a request that its kubelet must answer finds out at once."""
        started = [status for status in (pod.get("status") or {}).get("containerStatuses") or [] if status.get("containerID")]
        if not started:
            return ""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/log"
        query = {"container": started[0]["name"], "tailLines": 1, "limitBytes": 1}
        try:
            self.cluster.request("GET", path, query=query, timeout=NODE_PATIENCE)
        except ApiError as error:
            # Everything but a server's failure to reach the kubelet (not found, forbidden, bad request) says nothing about the node.
            if error.status >= 500 and any(word in error.message for word in ("dial tcp", "timeout", "EOF", "connection", "TLS handshake")):
                return f"node {node} does not answer: {error.message}"
        except StackgateError as error:
            if "timed out" not in error.seen:
                raise  # the API server itself is not there: that says nothing about the node
            return f"node {node} does not answer (asked for a line of a log, waited {NODE_PATIENCE:.0f} s)"
        return ""


def ago(seconds: float | None) -> str:
    """` (3 min 20 s ago)`, or nothing when it is not known."""
    return "" if seconds is None else f" ({duration(seconds)} ago)"


def condition(obj: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """A status condition by its type."""
    return next((c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == kind), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is Ready and not on its way out."""
    ready = condition(pod, "Ready")
    return bool(ready and ready.get("status") == "True" and not pod["metadata"].get("deletionTimestamp"))


def event_stamp(event: Mapping[str, Any]) -> str:
    """When an event was last seen, as the server wrote it."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def event_time(event: Mapping[str, Any]) -> float:
    """The same in seconds since the epoch; 0 when it has no time."""
    return epoch(event_stamp(event)) or 0.0
