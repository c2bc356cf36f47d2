# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Job that was made anew is judged by its own pods and events, not by those of the failed one of the same name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


def made_anew(jobs: Any) -> str:
    """The failed Job of the recording is deleted and made anew; the old pods are still there. The uid of the new one."""
    failing = jobs.cluster.object("Job", "failing")
    failing["metadata"]["uid"] = "made-anew"
    failing["status"] = {}
    return "made-anew"


def refused_creation(jobs: Any, uid: str) -> None:
    """The server refused a pod of the Job with this uid, just now."""
    event = copy.deepcopy(jobs.cluster.objects["Event"][0])
    stamp = jobs.cluster.objects["Event"][0].get("lastTimestamp") or jobs.cluster.objects["Event"][0]["eventTime"]
    event.update(reason="FailedCreate", message="violates PodSecurity", lastTimestamp=stamp, series=None)
    event["involvedObject"] = {"kind": "Job", "name": "failing", "uid": uid}
    jobs.cluster.objects["Event"] = [event]


def test_the_pods_of_the_failed_one_are_not_judged(scene: Callable[..., Any]) -> None:
    jobs = scene("jobs", 3600.0)
    assert jobs.observe("job", name="failing").state == "failed"
    jobs = scene("jobs", 3600.0)
    made_anew(jobs)
    assert [pod for pod in jobs.cluster.objects["Pod"] if pod["metadata"]["name"].startswith("failing-")]
    seen = jobs.observe("job", name="failing")
    assert (str(seen.state), seen.seen, seen.suspects) == ("waiting", "0/1 succeeded", ())


def test_a_pod_that_could_not_be_made_for_the_failed_one_is_not_judged(scene: Callable[..., Any]) -> None:
    jobs = scene("jobs", 3600.0)
    old = jobs.cluster.object("Job", "failing")["metadata"]["uid"]
    new = made_anew(jobs)
    refused_creation(jobs, old)
    assert jobs.observe("job", name="failing").state == "waiting"
    assert jobs.view().events("Job", "failing") == []
    refused_creation(jobs, new)
    assert jobs.observe("job", name="failing").state == "failed"


def test_a_failed_one_on_its_way_out_is_waited_for(scene: Callable[..., Any]) -> None:
    jobs = scene("jobs")
    jobs.cluster.object("Job", "failing")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    seen = jobs.observe("job", name="failing")
    assert seen.state == "waiting"
    assert "being deleted since 2026-01-01T00:00:00Z" in seen.seen
