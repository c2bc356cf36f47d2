# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a gate, for a person and as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, _report
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Outcome, Tracker


def outcome(scene: Any, *conditions: dict[str, Any], waited: float = 12.4, timed_out: bool = False) -> Outcome:
    """Each condition observed once."""
    trackers = []
    for condition in _protocol.parse(list(conditions)):
        tracker = Tracker(condition, condition.describe(), last=condition.observe(scene.view()))
        tracker.held_after = 0.5 if tracker.holds else None
        trackers.append(tracker)
    return Outcome(trackers, waited, timed_out)


def report(scene: Any, *conditions: dict[str, Any], **more: Any) -> tuple[str, list[dict[str, Any]]]:
    end = outcome(scene, *conditions, **more)
    data = _report.as_data(end, scene.view())
    return _report.text("gate app", data, end.waited, end.timed_out), data


def test_a_failure_comes_first_with_what_explains_it(scene: Callable[..., Any]) -> None:
    looping = scene("crash_loop")
    looping.cluster.log = "password=hunter2\nFATAL: no DATABASE\n"
    text, data = report(looping, {"kind": "pvc", "name": "data"}, {"kind": "rollout", "resource": "Deployment/looping"})
    lines = text.splitlines()
    pod = looping.cluster.objects["Pod"][0]["metadata"]["name"]
    assert lines[0] == "gate app cannot hold (seen after 12 s): 1 failed, 1 waiting, 0 of 2 hold"
    assert lines[1] == "  FAILED   rollout Deployment/looping"
    assert lines[2].startswith("    expected: all pods of Deployment/looping")
    assert lines[3].startswith("    seen (after 12 s): 0/1 ready")
    assert lines[4].startswith("    try: ")
    assert f"    previous log of pod {pod}, container main (last 2 lines):" in lines
    assert "      FATAL: no DATABASE" in lines
    assert "      password=***" in lines
    assert "hunter2" not in str(data)
    assert any(" Warning BackOff" in line for line in lines)
    assert lines[-3].startswith("  waiting  pvc data")
    assert [(c["state"], c["kind"]) for c in data] == [("waiting", "pvc"), ("failed", "rollout")]


def test_an_end_by_time_explains_what_waits(scene: Callable[..., Any]) -> None:
    unready = scene("never_ready")
    text, data = report(unready, {"kind": "rollout", "resource": "Deployment/unready"}, waited=300, timed_out=True)
    assert text.startswith("gate app not reached within 5 min: 0 failed, 1 waiting, 0 of 1 hold")
    assert data[0]["timed_out"]
    assert [item["title"].partition(" of ")[0] for item in data[0]["evidence"]] == ["events", "log"]


def test_a_dead_node_s_logs_are_not_asked_for(scene: Callable[..., Any]) -> None:
    looping = scene("crash_loop")
    report(looping, {"kind": "rollout", "resource": "Deployment/looping"})
    assert [call for call in looping.cluster.calls if call.startswith("log ")]
    looping = scene("crash_loop")
    looping.cluster.dead = {pod["spec"]["nodeName"] for pod in looping.cluster.objects["Pod"]}
    report(looping, {"kind": "rollout", "resource": "Deployment/looping"})
    assert not [call for call in looping.cluster.calls if call.startswith("log ")]


def test_what_explains_two_conditions_is_told_once(scene: Callable[..., Any]) -> None:
    text, _data = report(scene("web_starting"), {"kind": "rollout", "resource": "Deployment/web"}, {"kind": "endpoints", "service": "web"})
    told = [line for line in text.splitlines() if line.startswith("    events of Pod")]
    assert len(told) == 4
    assert [line.endswith(": above") for line in told] == [False, False, True, True]


def test_what_holds_is_one_line(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    end = outcome(web, {"kind": "rollout", "resource": "Deployment/web"}, {"kind": "endpoints", "service": "web"})
    data = _report.as_data(end, None)
    assert _report.summary("gate app", data, end.waited) == "gate app: all 2 conditions hold after 12.4 s"
    assert {c["waited"] for c in data} == {0.5}


def test_summary_in_check_mode_counts(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    data = _report.as_data(outcome(web, {"kind": "ingress", "name": "web"}, {"kind": "pvc", "name": "x"}), None)
    assert _report.summary("gate", data, 0.1) == "gate: 1 of 2 conditions hold"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("postgresql://misago:hunter2@db:5432/misago refused", "postgresql://misago:***@db:5432/misago refused"),
        ("redis://:hunter2@redis:6379", "redis://:***@redis:6379"),
        ("PASSWORD=hunter2 HOST=db", "PASSWORD=*** HOST=db"),
        ('{"secret_key": "hunter2", "debug": false}', '{"secret_key": "***", "debug": false}'),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***"),
        ("api-key: hunter2", "api-key: ***"),
        ("GET /healthz 200 12 ms", "GET /healthz 200 12 ms"),
        ("password authentication failed for user misago", "password authentication failed for user misago"),
    ],
)
def test_what_looks_like_a_secret_is_masked(line: str, masked: str) -> None:
    assert _report.masked(line) == masked
