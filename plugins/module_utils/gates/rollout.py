# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted revision of a workload runs: as many pods as wanted, all of it, ready, of the right image, not restarting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._times import duration, seconds_between
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, condition, is_ready

REVISION = "deployment.kubernetes.io/revision"
HASH = "controller-revision-hash"
SET_GENERATION = "deprecated.daemonset.template.generation"
POD_GENERATION = "pod-template-generation"


@dataclass(kw_only=True)
class Rollout(Condition):
    """See the module's text and docs/gates.md."""

    resource: str = field(
        metadata={
            "doc": "The workload, as Deployment/web, StatefulSet/postgresql or DaemonSet/log-agent.",
            "pattern": r"(Deployment|StatefulSet|DaemonSet)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
            "like": "Deployment/<name>, StatefulSet/<name> or DaemonSet/<name>",
        }
    )
    images: dict[str, str] = field(default_factory=dict, metadata={"doc": "Container name to the image reference that it must run."})
    verify_images: bool = field(
        default=True, metadata={"doc": "Compare the running images' digests with the registry's, for images of the gate's registry."}
    )
    settle: float = field(
        default=15.0,
        metadata={
            "doc": "Seconds for which a container that has restarted, or that has no probe to say that it works, must have run.",
            "least": 0,
        },
    )

    @property
    def kind(self) -> str:
        """Deployment, StatefulSet or DaemonSet."""
        return self.resource.partition("/")[0]

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.resource.partition("/")[2]

    def describe(self) -> str:
        return f"rollout {self.resource}"

    def expected(self) -> str:
        return f"all pods of {self.resource} are of its present revision, ready, and do not restart"

    def observe(self, view: View) -> Observation:
        workload = view.get(self.kind, self.name)
        if workload is None:
            text, mistaken = view.missing(self.kind, self.name)
            return (failed if mistaken else waiting)(text, hint="check the name in the gate's condition and in the manifest")
        generation, observed = workload["metadata"].get("generation", 0), (workload.get("status") or {}).get("observedGeneration", 0)
        if observed < generation:
            return waiting(f"its controller has not seen generation {generation} yet (has seen {observed})")
        match self.kind:
            case "Deployment":
                return self._deployment(workload, view)
            case "StatefulSet":
                return self._stateful_set(workload, view)
        return self._daemon_set(workload, view)

    # -- per kind ------------------------------------------------------------------------------------------------

    def _deployment(self, workload: dict[str, Any], view: View) -> Observation:
        spec, status = workload["spec"], workload.get("status") or {}
        wanted = int(spec.get("replicas", 1))
        updated, ready = int(status.get("updatedReplicas", 0)), int(status.get("readyReplicas", 0))
        available, total = int(status.get("availableReplicas", 0)), int(status.get("replicas", 0))
        current = current_replica_set(workload, view)
        pods = view.owned_pods(current["metadata"]["uid"]) if current else []
        shortfalls = [
            text
            for true, text in (
                (updated < wanted, f"{updated}/{wanted} of the wanted revision"),
                (total > updated, f"{total - updated} old pod{'s' if total - updated != 1 else ''} still there"),
                (available < updated, f"{available}/{updated} available"),
            )
            if true
        ]
        summary = ", ".join([f"{ready}/{wanted} ready", *shortfalls])
        progressing = condition(workload, "Progressing") or {}
        if ready >= wanted and not shortfalls:
            if wanted and progressing.get("reason") not in (None, "NewReplicaSetAvailable"):
                return waiting(f"{summary}, but Progressing is {progressing.get('reason')}: {progressing.get('message', '')}")
            return self._pods_hold(_alive(pods), wanted, view)
        if spec.get("paused"):
            return waiting(f"{summary}; the Deployment is paused", hint=f"kubectl rollout resume {self.resource.lower()}")
        owner = ("ReplicaSet", current["metadata"]["name"]) if current else ("Deployment", self.name)
        return self._unfinished(_present(pods), summary, owner, view, progressing)

    def _stateful_set(self, workload: dict[str, Any], view: View) -> Observation:
        spec, status = workload["spec"], workload.get("status") or {}
        wanted, name = int(spec.get("replicas", 1)), self.name
        strategy = spec.get("updateStrategy") or {}
        partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        revision = status.get("updateRevision")
        owned = _present(view.owned_pods(workload["metadata"]["uid"]))
        pods = _alive(owned)
        # With a partition, only pods from this ordinal on are updated.
        due = [pod for pod in pods if ordinal(pod) >= partition + int((spec.get("ordinals") or {}).get("start") or 0)]
        stale = [pod for pod in due if (pod["metadata"].get("labels") or {}).get(HASH) != revision]
        ready = int(status.get("readyReplicas", 0))
        shortfalls = [f"{len(stale)} of an old revision ({', '.join(p['metadata']['name'] for p in stale)})"] if stale else []
        if int(status.get("replicas", 0)) > wanted:
            shortfalls.append(f"{int(status['replicas']) - wanted} too many")
        if int(status.get("availableReplicas", ready)) < wanted <= ready:
            shortfalls.append(f"{status.get('availableReplicas')}/{wanted} available")
        summary = ", ".join([f"{ready}/{wanted} ready", *shortfalls])
        if ready >= wanted and not shortfalls:
            return self._pods_hold(pods, wanted, view)
        current = [pod for pod in owned if pod not in stale]
        verdict = self._unfinished(current, summary, ("StatefulSet", name), view)
        if verdict.state == "waiting" and stale:
            return self._held_up(stale, strategy, spec, summary, view) or verdict
        return verdict

    def _held_up(
        self, stale: list[dict[str, Any]], strategy: Mapping[str, Any], spec: Mapping[str, Any], summary: str, view: View
    ) -> Observation | None:
        """Old pods that the controller will not replace by itself."""
        command = f"kubectl -n {view.namespace} delete pod "
        if strategy.get("type") == "OnDelete":
            return waiting(f"{summary}; updateStrategy OnDelete: each old pod stays until it is deleted", hint=command + _names(stale))
        broken = [pod for pod in stale if not is_ready(pod) and not view.node_trouble(pod)]
        if spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady" and broken:
            found = [trouble for pod in broken for trouble in _pods.troubles(pod, view)]
            why = found[0].text if found else _pods.activity(broken[0], view)
            lasting = view.session.lasting(f"held up {self.resource}")
            verdict = failed if found and lasting >= _pods.ERROR_PATIENCE else waiting
            return verdict(
                f"{summary}; the controller (podManagementPolicy OrderedReady) waits for a pod of the old revision: {why}",
                hint=f"{command}{_names(broken)} lets the new revision start",
                suspects=tuple(Suspect(pod["metadata"]["name"]) for pod in broken),
            )
        return None

    def _daemon_set(self, workload: dict[str, Any], view: View) -> Observation:
        status = workload.get("status") or {}
        wanted, updated = int(status.get("desiredNumberScheduled", 0)), int(status.get("updatedNumberScheduled", 0))
        ready, available = int(status.get("numberReady", 0)), int(status.get("numberAvailable", 0))
        misplaced = int(status.get("numberMisscheduled", 0))
        pods = _present(view.owned_pods(workload["metadata"]["uid"]))
        generation = (workload["metadata"].get("annotations") or {}).get(SET_GENERATION)
        current = [pod for pod in pods if generation is None or (pod["metadata"].get("labels") or {}).get(POD_GENERATION) == generation]
        shortfalls = [
            text
            for true, text in (
                (updated < wanted, f"{updated}/{wanted} of the wanted revision"),
                (available < wanted, f"{available}/{wanted} available"),
                (misplaced > 0, f"{misplaced} on nodes that should have none"),
            )
            if true
        ]
        summary = ", ".join([f"{ready}/{wanted} nodes ready", *shortfalls])
        if ready >= wanted and not shortfalls:
            if wanted == 0:
                return holds("no node matches its selector and tolerations, so that it has no pod")
            return self._pods_hold(_alive(current), wanted, view)
        return self._unfinished(current, summary, ("DaemonSet", self.name), view)

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _unfinished(
        self, pods: list[dict[str, Any]], summary: str, owner: tuple[str, str], view: View, progressing: Mapping[str, Any] | None = None
    ) -> Observation:
        verdict = _pods.judge(pods, view, summary)
        if verdict.state == "failed":
            return verdict
        refused = _pods.creation_trouble(*owner, view)
        if refused:
            return (failed if refused.fatal else waiting)(f"{summary}; {refused.text}", hint=refused.hint, objects=(owner,))
        if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
            # A deadline that passed before this gate began tells of an older try.
            since = seconds_between(progressing.get("lastUpdateTime"), view.now)
            if since is None or view.now - since >= view.session.began - _pods.FRESH:
                return failed(f"{verdict.seen}; ProgressDeadlineExceeded: {progressing.get('message', '')}", suspects=verdict.suspects)
        return verdict

    def _pods_hold(self, pods: list[dict[str, Any]], wanted: int, view: View) -> Observation:
        """The controller is content: is it also true?"""
        if wanted == 0:
            return holds("scaled to 0")
        unready = [pod for pod in pods if not is_ready(pod)]
        if unready or len(pods) < wanted:
            return _pods.judge(pods, view, f"{len(pods) - len(unready)}/{wanted} ready")
        dead = [pod for pod in pods if view.node_trouble(pod)]
        if dead:
            return _pods.judge(dead, view, f"{len(pods) - len(dead)}/{wanted} on nodes that answer")
        wrong = self._wrong_images(pods, view)
        if wrong:
            return wrong
        restless = self._restless(pods, view)
        if restless:
            return restless
        return holds(f"{len(pods)}/{wanted} ready")

    def _wrong_images(self, pods: list[dict[str, Any]], view: View) -> Observation | None:
        for pod in pods:
            for spec, status in _pods.containers(pod):
                image = str(spec.get("image", ""))
                wanted = self.images.get(spec["name"])
                if wanted and image != wanted:
                    return waiting(f"{_pods.label(pod)}, container {spec['name']} runs {image}, wanted {wanted}")
                verdict = self._wrong_digest(pod, spec["name"], image, str(status.get("imageID") or ""), view)
                if verdict:
                    return verdict
        return None

    def _wrong_digest(self, pod: dict[str, Any], container: str, image: str, image_id: str, view: View) -> Observation | None:
        running = image_id.rpartition("@")[2] if "@" in image_id else ""
        pinned = image.rpartition("@")[2] if "@" in image else ""
        ours = self.verify_images and view.session.registry and image.startswith(view.session.registry.rstrip("/") + "/")
        if not running.startswith("sha256:") or not (pinned or ours):
            return None
        try:
            wanted = pinned or view.session.digest(image)
        except StackgateError as error:
            return waiting(
                f"the digest of {image} cannot be compared: {error.seen}", hint="see that the registry runs, or set verify_images: false"
            )
        if running == wanted:
            return None
        return failed(
            f"{_pods.label(pod)}, container {container}: image {image} runs as {running}, the registry has {wanted}",
            hint="the node kept an older image of the same name: delete the pod after removing it there, or give the image a new tag",
        )

    def _restless(self, pods: list[dict[str, Any]], view: View) -> Observation | None:
        """Containers that started too short a time ago to be trusted. A first start whose probe has answered is trusted at once."""
        for pod in pods:
            for spec, status in _pods.containers(pod):
                running = (status.get("state") or {}).get("running")
                restarts = int(status.get("restartCount") or 0)
                if not running or (restarts == 0 and (spec.get("readinessProbe") or spec.get("startupProbe"))):
                    continue
                here = view.session.lasting(f"{pod['metadata'].get('uid')}/{spec['name']}/{restarts}")
                runs = max(here, seconds_between(running.get("startedAt"), view.now) or 0.0)
                if runs < self.settle:
                    oom = next((t for t in _pods.troubles(pod, view) if t.fatal), None)
                    if oom:
                        return failed(oom.text, hint=oom.hint, suspects=oom.suspects)
                    times = f"{restarts} time{'s' if restarts != 1 else ''}"
                    why = f"has restarted {times} and" if restarts else "has no readiness probe and"
                    here_since = f"{why} runs for {duration(runs)}, trusted after {self.settle:.0f} s"
                    return waiting(
                        f"{_pods.label(pod)}, container {spec['name']} {here_since}",
                        suspects=(Suspect(pod["metadata"]["name"], (spec["name"],)),),
                    )
        return None


def _present(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pods that explain something: all but those that were evicted or have ended, and wait to be swept up."""
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]


def _alive(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pods that count: those of _present that are not on their way out."""
    return [pod for pod in _present(pods) if not pod["metadata"].get("deletionTimestamp")]


def _names(pods: list[dict[str, Any]]) -> str:
    return " ".join(pod["metadata"]["name"] for pod in pods)


def ordinal(pod: Mapping[str, Any]) -> int:
    """The number at the end of a StatefulSet pod's name."""
    found = re.search(r"-(\d+)$", pod["metadata"]["name"])
    return int(found[1]) if found else 0


def current_replica_set(deployment: Mapping[str, Any], view: View) -> dict[str, Any] | None:
    """The ReplicaSet of the wanted revision: same template (as the controller decides it), else the newest revision."""
    uid = deployment["metadata"]["uid"]
    owned = [rs for rs in view.objects("ReplicaSet") if any(o.get("uid") == uid for o in rs["metadata"].get("ownerReferences") or [])]
    same = [rs for rs in owned if _template(rs) == _template(deployment)]
    return max(same or owned, key=_revision, default=None)


def _revision(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _template(workload: Mapping[str, Any]) -> dict[str, Any]:
    template = dict(workload["spec"]["template"])
    meta = dict(template.get("metadata") or {})
    meta["labels"] = {k: v for k, v in (meta.get("labels") or {}).items() if k != "pod-template-hash"}
    return {**template, "metadata": {k: v for k, v in meta.items() if v is not None}}
