# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Job has completed."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, condition


@dataclass(kw_only=True)
class Job(Condition):
    """See the module's text and docs/gates.md."""

    name: str = field(metadata={"doc": "The Job's name."})

    def describe(self) -> str:
        return f"job {self.name}"

    def expected(self) -> str:
        return f"Job {self.name} has completed"

    def observe(self, view: View) -> Observation:
        job = view.get("Job", self.name)
        if job is None:
            text, mistaken = view.missing("Job", self.name)
            hint = "check the name; a Job with ttlSecondsAfterFinished removes itself before a gate can ask about it"
            return (failed if mistaken else waiting)(text, hint=hint)
        status = job.get("status") or {}
        if (condition(job, "Complete") or {}).get("status") == "True":
            return holds(f"complete since {status.get('completionTime')}")
        leaving = job["metadata"].get("deletionTimestamp")
        if leaving:  # its failure is not that of the Job that is made in its place
            return waiting(
                f"being deleted since {leaving}", hint="it goes when its finalizers are done; apply its component to make it anew"
            )
        pods = view.owned_pods(job["metadata"]["uid"])
        ended = condition(job, "Failed") or condition(job, "FailureTarget") or {}
        if ended.get("status") == "True":
            broken = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"] or pods
            return failed(
                f"failed: {ended.get('reason')}: {ended.get('message')}{_last_ending(broken)}",
                hint="read the log below, repair the cause and run again: applying its component makes a failed Job anew",
                suspects=tuple(Suspect(pod["metadata"]["name"]) for pod in broken[-1:]),
                objects=(("Job", self.name),),
                data={"reason": ended.get("reason")},
            )
        if (job.get("spec") or {}).get("suspend"):
            return waiting("suspended", hint=f'kubectl -n {view.namespace} patch job {self.name} -p \'{{"spec":{{"suspend":false}}}}\'')
        tries = int(status.get("failed", 0))
        counts = f"{status.get('succeeded', 0)}/{job['spec'].get('completions', 1)} succeeded" + (
            f", {tries} failed so far" if tries else ""
        )
        active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]
        verdict = _pods.judge(
            [pod for pod in active if (pod.get("status") or {}).get("phase") != "Running" or _restarted(pod)], view, counts
        )
        if verdict.state == "failed":
            return verdict
        refused = _pods.creation_trouble("Job", self.name, view) if not active else None
        if refused:
            return (failed if refused.fatal else waiting)(f"{counts}; {refused.text}", hint=refused.hint, objects=(("Job", self.name),))
        dead = [trouble for pod in active if (trouble := view.node_trouble(pod))]
        running = [pod["metadata"]["name"] for pod in active if (pod.get("status") or {}).get("phase") == "Running" and not _restarted(pod)]
        doing = f"; {dead[0]}" if dead else f", {', '.join(running[:3])} runs" if running else ""
        suspects = verdict.suspects or tuple(Suspect(pod["metadata"]["name"]) for pod in pods[-2:])
        return waiting(f"{verdict.seen}{doing}", hint=verdict.hint, suspects=suspects)


def _restarted(pod: dict[str, object]) -> bool:
    return any(status.get("restartCount") for _spec, status in _pods.containers(pod))


def _last_ending(pods: list[dict[str, object]]) -> str:
    """How the last failed pod's container ended."""
    for pod in reversed(pods):
        for spec, status in _pods.containers(pod):
            ended = (status.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode"):
                return f"; {_pods.label(pod)}, container {spec['name']}: {_pods.ending(ended)}"
    return ""
