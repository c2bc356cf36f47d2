# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of a replicated store's members: which of them are to be replaced, and replacing one.

Their StatefulSets have the update strategy OnDelete: Kubernetes leaves an old pod alone until somebody deletes it, and makes the
new one of the wanted revision then. When that may be is for the store to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import State
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View, is_ready

REVISION_LABEL = "controller-revision-hash"
# Seconds from one look to the next.
INTERVAL = 0.5
# Seconds in which a controller has seen a change of its StatefulSet.
CONTROLLER_PATIENCE = 30.0
# Seconds in which the pods of a StatefulSet are made anew, beyond the grace that the old one has.
SUCCESSOR_PATIENCE = 60.0


class Processes(Protocol):
    """What runs a store's members: pods, or the processes of a test. Every method may raise StackgateError."""

    def pending(self) -> dict[str, str]:
        """The members that are to be restarted, with why. Asked anew before each."""

    def down(self, host: str) -> bool:
        """Whether a member's process does not run, by the word of whoever runs it."""

    def trouble(self) -> StackgateError | None:
        """What keeps a process from coming up and will not heal by waiting."""

    def replace(self, host: str) -> None:
        """End a member's process in an orderly way; return when its successor is on its way."""


@dataclass
class Pods:
    """The members' pods, as Processes.

    pods: the member, as the store calls it (its host), -> name of its pod. asked: uids of pods to be replaced whatever revision they are
        of, with the reason. ports: of members that are not called `name:port`.
    """

    cluster: Cluster
    namespace: str
    pods: Mapping[str, str]
    asked: dict[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._session = Session(self.cluster, self.namespace)

    def live(self) -> dict[str, dict[str, Any]]:
        """The pods that there are, by host."""
        names = {pod: host for host, pod in self.pods.items()}
        found = self.cluster.list("v1", "Pod", self.namespace, cached=True)
        return {names[pod["metadata"]["name"]]: pod for pod in found if pod["metadata"]["name"] in names}

    def uids(self) -> list[str]:
        """The uids of all of them."""
        return [str(pod["metadata"]["uid"]) for pod in self.live().values()]

    def made_by(self, stateful_sets: Iterable[str]) -> list[str]:
        """The uids of those that one of these StatefulSets has made."""
        names = set(stateful_sets)
        return [str(pod["metadata"]["uid"]) for pod in self.live().values() if _owner(pod) in names] if names else []

    def pending(self) -> dict[str, str]:
        """The members whose pod is to be replaced, with why."""
        live = self.live()
        wanted = self._revisions(live.values())
        found = {}
        for host, pod in live.items():
            revision = str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL) or "")
            target = wanted.get(_owner(pod)) or revision
            if revision != target:
                found[host] = f"revision {_short(revision)} -> {_short(target)}"
            elif pod["metadata"]["uid"] in self.asked:
                found[host] = self.asked[pod["metadata"]["uid"]]
        return {host: found[host] for host in self.pods if host in found}

    def down(self, host: str) -> bool:
        """Whether a member's server does not run, by what Kubernetes says of its container: the one that has the member's port.

        Another container of the pod may well run beside a server that does not, such as an exporter.
        """
        pod = self.live().get(host)
        if pod is None:
            return True
        port = str(self.ports.get(host) or host.rpartition(":")[2])
        found = [(spec, "running" in (status.get("state") or {})) for spec, status in _pods.containers(pod)]
        servers = [runs for spec, runs in found if any(str(p.get("containerPort")) == port for p in spec.get("ports") or [])]
        return not any(servers or [runs for _spec, runs in found])

    def trouble(self) -> StackgateError | None:
        """What keeps a pod from coming up and will not heal by waiting."""
        view = View(self._session)
        names = set(self.pods.values())
        unready = [pod for pod in view.objects("Pod") if pod["metadata"]["name"] in names and not is_ready(pod)]
        verdict = _pods.judge(unready, view, "a member's pod cannot start")
        if verdict.state is not State.FAILED:
            return None
        return StackgateError("every member's pod starts", verdict.seen, verdict.hint)

    def replace(self, host: str) -> None:
        """Delete a member's pod, which ends its server in an orderly way, and wait until its successor has been made."""
        pod = self.live().get(host)
        if pod is None:
            return
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        grace = float(pod["spec"].get("terminationGracePeriodSeconds") or 30)
        self.cluster.delete("v1", "Pod", name, self.namespace, uid=uid)
        begun = time.monotonic()
        while True:
            after = self.live().get(host)
            if after is not None and after["metadata"]["uid"] != uid:
                return
            waited = time.monotonic() - begun
            if waited > grace + SUCCESSOR_PATIENCE:
                view = View(self._session)
                there = view.pod(name)
                raise StackgateError(
                    f"a new pod in place of {name}",
                    _pods.activity(there, view) if there else "the old one is gone, and nobody has made a new one",
                    f"kubectl -n {self.namespace} describe statefulset; run again when its cause is gone",
                    waited=waited,
                )
            self.sleep(INTERVAL)

    def _revisions(self, pods: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The wanted revision of each StatefulSet that owns one of the pods. Waits until its controller has seen its last change."""
        found = {}
        for name in {_owner(pod) for pod in pods} - {""}:
            begun = time.monotonic()
            while (revision := self._revision(name)) is None:
                waited = time.monotonic() - begun
                if waited > CONTROLLER_PATIENCE:
                    raise StackgateError(
                        f"the controller has seen the last change of StatefulSet/{name}",
                        "it has not",
                        "does the control plane work?",
                        waited,
                    )
                self.sleep(INTERVAL)
            found[name] = revision
        return found

    def _revision(self, name: str) -> str | None:
        """None while it is not known yet; empty when the StatefulSet is gone, so that no pod is old."""
        owner = self.cluster.get("apps/v1", "StatefulSet", name, self.namespace)
        if owner is None:
            return ""
        status = owner.get("status") or {}
        if int(status.get("observedGeneration") or 0) < int(owner["metadata"].get("generation") or 0):
            return None
        return str(status.get("updateRevision") or "")


def _owner(pod: Mapping[str, Any]) -> str:
    """The StatefulSet that made a pod; empty for none."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(o["name"]) for o in owners if o.get("kind") == "StatefulSet" and o.get("controller")), "")


def _short(revision: str) -> str:
    """`mongodb-5d8f7c` -> `5d8f7c`."""
    return revision.rpartition("-")[2] or "none"
