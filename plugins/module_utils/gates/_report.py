# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate's end, for a person and as data: what was expected, what was seen, the events and logs that explain it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Observation, State
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Outcome, Tracker
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._times import duration
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View, event_stamp

LOG_LINES = 50
EVENTS = 8
# Pods per condition, and conditions, whose logs are fetched: the first ones explain the rest.
PODS, CONDITIONS = 2, 4
# Applications write their own logs, and some write secrets into them.
SECRETS = (
    (re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(authorization|proxy-authorization)(\"?\s*[:=]\s*\"?)(?:(bearer|basic|token)\s+)?[^\s\"',;]+"), r"\1\2\3 ***"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:password|passwd|secret|secret_key|api[_-]?key|access[_-]?key|token))(\"?'?\s*[:=]\s*\"?'?)(?!\*)[^\s\"',;&]+"
        ),
        r"\1\2***",
    ),
)


def masked(text: str) -> str:
    """Text without what looks like a password, a token or the credentials of an address."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


@dataclass(frozen=True)
class Evidence:
    """Lines that explain a condition."""

    title: str
    lines: tuple[str, ...]


def evidence(observation: Observation, view: View) -> Iterator[Evidence]:
    """The events of the objects concerned, then the logs of the pods concerned."""
    names = list(dict.fromkeys(suspect.pod for suspect in observation.suspects))[:PODS]
    for kind, name in [*observation.objects, *(("Pod", name) for name in names)]:
        lines = tuple(event_line(event) for event in _quietly(view.events, kind, name)[-EVENTS:])
        if lines:
            yield Evidence(f"events of {kind} {name}", lines)
    for suspect in observation.suspects:
        if suspect.pod not in names:
            continue
        pod = next((p for p in _quietly(view.objects, "Pod") if p["metadata"]["name"] == suspect.pod), None)
        if pod is None or view.node_trouble(pod):
            continue  # the log of a dead node cannot be had
        yield from _logs(pod, suspect.containers, view)


def _quietly(ask: Any, *arguments: str) -> list[Any]:
    """What a question yields, or nothing: evidence that cannot be had must not hide the failure."""
    try:
        return list(ask(*arguments))
    except StackgateError:
        return []


def _logs(pod: dict[str, Any], wanted: tuple[str, ...], view: View) -> Iterator[Evidence]:
    name = pod["metadata"]["name"]
    for spec, status in _pods.containers(pod):
        if (wanted and spec["name"] not in wanted) or not (status.get("containerID") or status.get("lastState")):
            continue
        ended_well = ((status.get("state") or {}).get("terminated") or {}).get("exitCode") == 0
        if ended_well and not wanted:
            continue  # an init container that is done explains nothing
        for previous in (True, False) if status.get("restartCount") else (False,):
            text = view.cluster.logs(name, view.namespace, spec["name"], lines=LOG_LINES, previous=previous)
            lines = tuple(masked(line) for line in text.splitlines())
            which = "previous log" if previous else "log"
            if lines:
                yield Evidence(f"{which} of pod {name}, container {spec['name']} (last {len(lines)} lines)", lines)


def event_line(event: dict[str, Any]) -> str:
    """`12:00:01 Warning Failed x3: message`."""
    count = int((event.get("series") or {}).get("count") or event.get("count") or 1)
    clock = event_stamp(event)[11:19]
    times = f" x{count}" if count > 1 else ""
    return f"{clock} {event.get('type')} {event.get('reason')}{times}: {masked(_pods.short(event.get('message') or '', 400))}"


# -- as data -----------------------------------------------------------------------------------------------------


def explained(outcome: Outcome) -> list[Tracker]:
    """The conditions whose evidence is fetched: those that ended the gate, else those that never came to hold."""
    return (outcome.failed or [tracker for tracker in outcome.trackers if not tracker.holds])[:CONDITIONS]


def as_data(outcome: Outcome, view: View | None) -> list[dict[str, Any]]:
    """One dictionary per condition. Evidence is fetched through the view; without one, there is none."""
    fetch = explained(outcome) if view else []
    return [_one(tracker, outcome, view if tracker in fetch else None) for tracker in outcome.trackers]


def _one(tracker: Tracker, outcome: Outcome, view: View | None) -> dict[str, Any]:
    last = tracker.last
    found = list(evidence(last, view)) if last and view else []
    state = State.FAILED if tracker.failed else last.state if last else State.WAITING
    return {
        "name": tracker.name,
        "kind": type(tracker.condition).__module__.rpartition(".")[2],
        "state": str(state),
        "expected": tracker.condition.expected(),
        "seen": last.seen if last else "no answer yet",
        "hint": last.hint if last and state is not State.HOLDS else "",
        "waited": round(tracker.held_after if tracker.holds and tracker.held_after is not None else outcome.waited, 1),
        "timed_out": tracker.expired or (outcome.timed_out and not tracker.holds),
        "data": dict(last.data) if last else {},
        "evidence": [{"title": item.title, "lines": list(item.lines)} for item in found],
    }


# -- for a person ------------------------------------------------------------------------------------------------

ORDER = {"failed": 0, "waiting": 1, "holds": 2}


def summary(gate: str, conditions: list[dict[str, Any]], waited: float) -> str:
    """One line about a gate that holds, or would."""
    held = sum(c["state"] == "holds" for c in conditions)
    if held == len(conditions):
        said = "the only condition holds" if held == 1 else f"all {held} conditions hold"
        return f"{gate}: {said} after {waited:.1f} s"
    return f"{gate}: {held} of {len(conditions)} conditions hold"


def text(gate: str, conditions: list[dict[str, Any]], waited: float, timed_out: bool) -> str:
    """The whole report about a gate that does not hold: what failed first, with its reasons; then what waits; then what holds."""
    count = {state: sum(c["state"] == state for c in conditions) for state in ORDER}
    total = len(conditions)
    end = f"not reached within {duration(waited)}" if timed_out else f"cannot hold (seen after {duration(waited)})"
    lines = [f"{gate} {end}: {count['failed']} failed, {count['waiting']} waiting, {count['holds']} of {total} hold"]
    shown: set[str] = set()
    for condition in sorted(conditions, key=lambda c: ORDER[c["state"]]):
        lines += _paragraph(condition, shown)
    return "\n".join(lines)


def _paragraph(condition: dict[str, Any], shown: set[str]) -> Iterator[str]:
    """The lines about one condition. shown: titles of evidence that need not be told a second time."""
    state, name = condition["state"], condition["name"]
    if state == "holds":
        yield f"  holds    {name}: {condition['seen']}"
        return
    late = f", its time of {duration(condition['waited'])} is over" if state == "failed" and condition["timed_out"] else ""
    yield f"  {'FAILED ' if state == 'failed' else 'waiting'}  {name}{late}"
    yield f"    expected: {condition['expected']}"
    yield f"    seen (after {duration(condition['waited'])}): {condition['seen']}"
    if condition["hint"]:
        yield f"    try: {condition['hint']}"
    for item in condition["evidence"]:
        if item["title"] in shown:
            yield f"    {item['title']}: above"
            continue
        shown.add(item["title"])
        yield f"    {item['title']}:"
        yield from (f"      {line}" for line in item["lines"])
