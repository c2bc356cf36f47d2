# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods are in trouble, whether that can heal by itself, and how a person reads it.

A trouble ends a gate only when it is fresh: a crash, a failed pull or an event from before the gate began tells what
was wrong then, and the kubelet (which waits up to five minutes between two tries) may not have tried again since the
repair. Its next try decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Observation, Suspect, failed, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._times import duration, epoch, seconds_between
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, condition, event_stamp, event_time, is_ready

# A crash loop is one from this number of restarts on: a first crash may come from something that starts at the same time.
CRASH_RESTARTS = 2
# Seconds that lie between applying a manifest and its gate; what happened in them is fresh.
FRESH = 30.0
# Seconds for which a pull may fail for reasons of the network. The kubelet tries again after 10 s.
PULL_PATIENCE = 12.0
# Seconds for which other errors of the kubelet or a controller may last: it tries again within them.
ERROR_PATIENCE = 10.0
# Words of a registry's answer that another try will not change.
PULL_FINAL = re.compile(
    r"not found|manifest unknown|does not exist|unauthorized|authentication required|denied|forbidden|invalid reference"
    r"|no match for platform|insufficient_scope|authorization failed|name unknown|name invalid",
    re.IGNORECASE,
)
PULL_LAYERS = re.compile(
    r'Failed to pull image "[^"]*": |rpc error: code = \w+ desc = |failed to pull and unpack image "[^"]*": '
    r'|failed to resolve reference "[^"]*": |failed to do request: '
)
NEEDED = re.compile(r'(?P<kind>secret|configmap)s? "(?P<name>[^"]+)" (?:is )?not found', re.IGNORECASE)
NEEDED_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?:[^/\s]+/)?(?P<name>\S+)")


@dataclass(frozen=True)
class Trouble:
    """Something wrong with a pod. Fatal: waiting will not heal it."""

    fatal: bool
    reason: str  # in the kubelet's or the scheduler's own word: ImagePullBackOff, CrashLoopBackOff, Unschedulable, ...
    text: str
    hint: str = ""
    pod: str = ""
    container: str = ""

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """The pod and container whose logs explain it."""
        return (Suspect(self.pod, (self.container,) if self.container else ()),) if self.pod else ()


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(spec, status) of each container, init containers first; the status is empty before the kubelet has written it."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for specs, statuses in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        by_name = {s["name"]: s for s in status.get(statuses) or []}
        for container in spec.get(specs) or []:
            yield container, by_name.get(container["name"], {})


def label(pod: Mapping[str, Any]) -> str:
    """`pod web-1 (node2)`."""
    node = (pod.get("spec") or {}).get("nodeName")
    return f"pod {pod['metadata']['name']}" + (f" ({node})" if node else "")


def short(text: str, length: int = 300) -> str:
    """One line of bounded length. What is cut is in the middle: the end of an error is its reason."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[: length // 2 - 3]} ... {line[-(length // 2 - 2) :]}"


def pull_reason(message: str) -> str:
    """Why an image could not be pulled, without the names that each layer puts before it."""
    return PULL_LAYERS.sub("", " ".join(message.split())) or message


def troubles(pod: Mapping[str, Any], view: View) -> Iterator[Trouble]:
    """Everything wrong with a pod, the decisive first."""
    found = [*_container_troubles(pod, view), *_scheduling_troubles(pod, view), *_mount_troubles(pod, view), *_status_troubles(pod)]
    yield from sorted(found, key=lambda trouble: not trouble.fatal)


def _fresh(view: View, stamp: str | None) -> bool:
    """Whether something happened since the gate began, or shortly before. Unknown times count as fresh."""
    moment = epoch(stamp)
    return moment is None or moment >= view.session.began - FRESH


def _container_troubles(pod: Mapping[str, Any], view: View) -> Iterator[Trouble]:
    name = pod["metadata"]["name"]
    for spec, status in containers(pod):
        pause = (status.get("state") or {}).get("waiting") or {}
        ended = (status.get("state") or {}).get("terminated") or {}
        reason, message = pause.get("reason") or "", short(pause.get("message") or "")
        where = f"{label(pod)}, container {spec['name']}: "
        if ended.get("exitCode") and int(status.get("restartCount") or 0) >= CRASH_RESTARTS:
            reason = "CrashLoopBackOff"  # which the kubelet will say in a moment
        match reason:
            case "CrashLoopBackOff":
                yield _crash_loop(pod, spec, status, view, where)
            case "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ErrInspectImage" | "RegistryUnavailable":
                yield _image_trouble(pod, spec, reason, str(pause.get("message") or ""), view, where)
            case "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "PreStartHookError" | "PostStartHookError":
                lasting = view.session.lasting(f"{pod['metadata'].get('uid', name)}/{spec['name']}/{reason}")
                lacks = _lacking(message, view)
                fatal = lacks is True or (lacks is None and lasting >= ERROR_PATIENCE) or (lacks is False and lasting >= 60.0)
                yield Trouble(fatal, reason, f"{where}{reason}: {message}", _config_hint(message), name, spec["name"])
        yield from _out_of_memory(pod, spec, status, view, where)


def _crash_loop(pod: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any], view: View, where: str) -> Trouble:
    restarts = int(status.get("restartCount") or 0)
    last = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    since = seconds_between(last.get("finishedAt"), view.now)
    text = f"{where}CrashLoopBackOff after {restarts} restart{'s' if restarts != 1 else ''}; {ending(last)}"
    fresh = _fresh(view, last.get("finishedAt"))
    if not fresh and since is not None:
        text += f" {duration(since)} ago, before this gate began: waiting for the kubelet's next try"
    hint = "read the log below; the container ends by itself, so its command, its configuration or something that it needs is wrong"
    return Trouble(restarts >= CRASH_RESTARTS and fresh, "CrashLoopBackOff", text, hint, pod["metadata"]["name"], spec["name"])


def ending(terminated: Mapping[str, Any]) -> str:
    """How a container ended: `it ended with exit code 1 (Error)`."""
    if not terminated:
        return "it ended"
    reason, code = terminated.get("reason") or "", terminated.get("exitCode")
    message = f": {short(terminated['message'])}" if terminated.get("message") else ""
    named = f" ({reason})" if reason and reason != "Completed" else ""
    killed = f", signal {terminated['signal']}" if terminated.get("signal") else ""
    return f"it ended with exit code {code}{named}{killed}{message}"


def _image_trouble(pod: Mapping[str, Any], spec: Mapping[str, Any], reason: str, message: str, view: View, where: str) -> Trouble:
    name, image = pod["metadata"]["name"], spec.get("image", "")
    pulls = [
        e
        for e in view.events("Pod", name)
        if e.get("reason") in ("Failed", "InspectFailed")
        and f'"{image}"' in str(e.get("message"))
        and "Back-off" not in str(e.get("message"))
    ]
    # ImagePullBackOff says no more than "Back-off pulling image"; the reason is in the event of the try before.
    told = pulls[-1]["message"] if pulls and (reason == "ImagePullBackOff" or not message) else message
    said = short(pull_reason(str(told)))
    text = f"{where}{reason}: image {image}: {said or 'the kubelet gave no reason'}"
    hint = "check the image reference, that the registry has it (images stage) and that the node may pull it"
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        return Trouble(True, reason, text, hint, name, spec["name"])
    last = event_stamp(pulls[-1]) if pulls else None
    uid = pod["metadata"].get("uid", name)
    if pulls and not _fresh(view, last):
        return Trouble(
            False, reason, f"{text} (last tried before this gate began: waiting for the kubelet's next try)", hint, name, spec["name"]
        )
    lasting = max(view.session.lasting(f"{uid}/{spec['name']}/pull"), seconds_between(_first_stamp(pulls), view.now) or 0.0)
    tries = sum(int(e.get("count") or 1) for e in pulls)
    final = bool(PULL_FINAL.search(said)) or tries >= 2 or lasting >= PULL_PATIENCE
    return Trouble(final, reason, text, hint, name, spec["name"])


def _first_stamp(events: list[dict[str, Any]]) -> str | None:
    return min((e.get("firstTimestamp") or event_stamp(e) for e in events), default=None)


def _out_of_memory(pod: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any], view: View, where: str) -> Iterator[Trouble]:
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        ended = state.get("terminated") or {}
        if ended.get("reason") == "OOMKilled" and _fresh(view, ended.get("finishedAt")):
            limit = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
            text = f"{where}OOMKilled at {ended.get('finishedAt')}: it needed more memory than " + (
                f"its limit {limit}" if limit else "the node had"
            )
            hint = (
                "raise the memory limit or make the process smaller (fewer workers)"
                if limit
                else "set a memory request, or use a larger node"
            )
            yield Trouble(True, "OOMKilled", text, hint, pod["metadata"]["name"], spec["name"])
            return


def _lacking(message: str, view: View) -> bool | None:
    """Whether the Secret or ConfigMap that a message misses is missing now; None when the message names none or it may not be asked."""
    wanted = NEEDED.search(message)
    if not wanted:
        return None
    exists = view.exists("Secret" if wanted["kind"].lower() == "secret" else "ConfigMap", wanted["name"])
    return None if exists is None else not exists


def _config_hint(message: str) -> str:
    wanted, key = NEEDED.search(message), NEEDED_KEY.search(message)
    if key:
        return f"{key['kind']} {key['name']} has no key {key['key']}: check the pod's env and the {key['kind']}"
    if wanted:
        return f"nothing has made {wanted['kind']} {wanted['name']}: is the component that makes it in the stack, and applied before?"
    return "check the container's command, env, volumes and security context"


def _scheduling_troubles(pod: Mapping[str, Any], view: View) -> Iterator[Trouble]:
    scheduled = condition(pod, "PodScheduled")
    if not scheduled or scheduled.get("status") != "False":
        return
    name = pod["metadata"]["name"]
    since = seconds_between(scheduled.get("lastTransitionTime"), view.now) or 0.0
    here = view.session.lasting(f"{pod['metadata'].get('uid', name)}/unschedulable")
    # A node may just have come back: the scheduler gets a moment of this gate, however long it has been trying before.
    fatal = scheduled.get("reason") == "Unschedulable" and since > view.session.unschedulable_after and here >= min(ERROR_PATIENCE, since)
    text = f"{label(pod)}: {scheduled.get('reason')} for {duration(since)}: {short(scheduled.get('message') or '')}"
    text = "; ".join([text, *view.unready_nodes()])
    yield Trouble(fatal, str(scheduled.get("reason")), text, "lower the requests or the replicas, or add or repair a node", name)


def _mount_troubles(pod: Mapping[str, Any], view: View) -> Iterator[Trouble]:
    """A volume that cannot be mounted shows in events alone, and the container says ContainerCreating for ever."""
    if is_ready(pod) or not any(
        ((s.get("state") or {}).get("waiting") or {}).get("reason") in ("ContainerCreating", "PodInitializing")
        for _spec, s in containers(pod)
    ):
        return
    name = pod["metadata"]["name"]
    for event in reversed(view.events("Pod", name)):
        reason, message = str(event.get("reason")), short(event.get("message") or "")
        if reason in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
            fatal = _lacking(message, view) is True and _fresh(view, event_stamp(event))
            yield Trouble(
                fatal, reason, f"{label(pod)}: {reason}: {message}", _config_hint(message) if NEEDED.search(message) else "", name
            )
            return


def _status_troubles(pod: Mapping[str, Any]) -> Iterator[Trouble]:
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        text = f"{label(pod)}: {status.get('reason') or 'Failed'}: {short(status.get('message') or 'its containers ended')}"
        yield Trouble(False, str(status.get("reason") or "Failed"), text, "", pod["metadata"]["name"])


# -- what a pod that is not ready is doing -----------------------------------------------------------------------


def activity(pod: Mapping[str, Any], view: View) -> str:
    """What a pod does now, in few words: `postgresql-0 ContainerCreating (pulling image ...)`."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    node = view.node_trouble(pod)
    if node:
        return f"{name}: {node}"
    if pod["metadata"].get("deletionTimestamp"):
        return f"{name} Terminating since {pod['metadata']['deletionTimestamp']}"
    for spec, now in containers(pod):
        state = now.get("state") or {}
        if "waiting" in state:
            reason = state["waiting"].get("reason") or "waiting"
            if reason == "PodInitializing":
                continue
            detail = (
                _last_event(pod, view, ("Pulling", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"))
                if reason == "ContainerCreating"
                else ""
            )
            if detail.startswith("Pulling image"):
                detail = "pulling image" + detail.removeprefix("Pulling image")
            return f"{name} {reason}" + (f" ({detail})" if detail else "")
        if "terminated" in state and state["terminated"].get("exitCode") != 0:
            return f"{name}: container {spec['name']}: {ending(state['terminated'])}"
        if _is_init(pod, spec) and "running" in state and not now.get("started"):
            return f"{name}: init container {spec['name']} runs"
        if "running" in state and not now.get("ready") and not _is_init(pod, spec):
            probe = _last_event(pod, view, ("Unhealthy",), after=epoch(state["running"].get("startedAt")))
            return f"{name} runs, not ready" + (f": {probe}" if probe else "")
    return f"{name} {status.get('reason') or status.get('phase') or 'Pending'}" + ("" if is_ready(pod) else ", not ready")


def _is_init(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    return any(c["name"] == spec["name"] for c in (pod.get("spec") or {}).get("initContainers") or [])


def _last_event(pod: Mapping[str, Any], view: View, reasons: tuple[str, ...], after: float | None = None) -> str:
    """The message of the pod's newest event, when it is of one of these reasons."""
    for event in reversed(view.events("Pod", pod["metadata"]["name"])):
        if event.get("reason") in reasons and (after is None or event_time(event) >= after):
            return short(event.get("message") or "", 160)
        if event.get("reason") in ("Pulled", "Created", "Started"):
            return ""
    return ""


# -- owners ------------------------------------------------------------------------------------------------------


def creation_trouble(kind: str, name: str, view: View) -> Trouble | None:
    """Why a controller cannot create its pods (quota, Pod Security, LimitRange, ServiceAccount), from its events."""
    for event in reversed(view.events(kind, name)):
        if event.get("reason") != "FailedCreate":
            if event.get("reason") == "SuccessfulCreate":
                return None
            continue
        if not _fresh(view, event_stamp(event)):
            return None
        message = short(event.get("message") or "", 500)
        final = "violates PodSecurity" in message
        fatal = final or view.session.lasting(f"{kind}/{name}/FailedCreate") >= ERROR_PATIENCE
        return Trouble(fatal, "FailedCreate", f"{kind} {name}: FailedCreate: {message}", _creation_hint(message))
    return None


def _creation_hint(message: str) -> str:
    if "exceeded quota" in message:
        return "raise the namespace's quota, or lower replicas, requests or limits"
    if "violates PodSecurity" in message:
        return "give the pod the security context that the namespace's Pod Security level asks for"
    if "serviceaccount" in message.lower():
        return "nothing has made the ServiceAccount that the pod runs as"
    return "the API server refuses the pod: change its template as the message says"


# -- verdicts ----------------------------------------------------------------------------------------------------


def judge(pods: list[dict[str, Any]], view: View, seen: str) -> Observation:
    """A verdict over pods that should be ready and are not all: failed when one of them cannot heal.

    seen: what is known already, `1/2 ready`; what the pods do is appended.
    """
    found = [trouble for pod in pods if not pod["metadata"].get("deletionTimestamp") for trouble in troubles(pod, view)]
    fatal = [trouble for trouble in found if trouble.fatal]
    if fatal:
        first = fatal[0]
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        return failed(
            f"{seen}; {first.text}{more}", hint=first.hint, suspects=_unique(fatal), data={"reason": first.reason, "pod": first.pod}
        )
    told = {trouble.pod: trouble.text for trouble in reversed(found) if trouble.text}
    unready = [pod for pod in pods if not is_ready(pod) or view.node_trouble(pod)]
    doing = [_told_or_activity(pod, told, view) for pod in unready]
    hint = next((f"bring {trouble} back" for pod in unready if (trouble := _node_name(pod, view))), found[0].hint if found else "")
    shown = ", ".join(doing[:3]) + (f" and {len(doing) - 3} more" if len(doing) > 3 else "")
    suspects = _unique(found) or tuple(Suspect(pod["metadata"]["name"]) for pod in unready)
    return waiting(f"{seen}, {shown}" if shown else seen, hint=hint, suspects=suspects)


def _node_name(pod: Mapping[str, Any], view: View) -> str:
    """`node node2`, when the pod's node is out of order."""
    return f"node {pod['spec']['nodeName']}" if view.node_trouble(pod) else ""


def _told_or_activity(pod: dict[str, Any], told: Mapping[str, str], view: View) -> str:
    node = view.node_trouble(pod)
    return f"{pod['metadata']['name']}: {node}" if node else told.get(pod["metadata"]["name"]) or activity(pod, view)


def _unique(found: list[Trouble]) -> tuple[Suspect, ...]:
    return tuple(dict.fromkeys(suspect for trouble in found for suspect in trouble.suspects))


def running(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's containers have been started and it is not on its way out."""
    return (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
