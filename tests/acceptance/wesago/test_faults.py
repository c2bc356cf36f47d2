# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says when something is broken, and that the next run, once it is repaired, converges with nothing lost."""

from __future__ import annotations

import datetime
import re
import secrets
import subprocess
import time
from pathlib import Path

import pytest
from forum_ledger import TASKS_DONE, People
from instance import PROJECT, Instance
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def node(command: str, name: str) -> None:
    """`make node-off NODE=name` and its like."""
    subprocess.run(["make", command, f"NODE={name}"], cwd=PROJECT, check=True, capture_output=True, text=True)


def first_pull_error(instance: Instance, image: str) -> datetime.datetime:
    """When the kubelet first said that it cannot pull the image."""
    events = instance.core.list_namespaced_event(instance.namespace).items
    return min(event.first_timestamp or event.event_time for event in events if event.reason == "Failed" and image in (event.message or ""))


@pytest.mark.covers("WE-L08")
def test_an_image_that_cannot_be_pulled_fails_the_gate_at_once(instance: Instance, tmp_path: Path) -> None:
    good = instance.objects("apps/v1", "Deployment", field_selector="metadata.name=nginx")[0]["spec"]["template"]["spec"]["containers"][0][
        "image"
    ]
    absent = re.sub(r"[@:][^/]*$", f":absent-{secrets.token_hex(4)}", good)
    try:
        run = instance.play(override={"nginx_image": absent}, directory=tmp_path)
        ended = datetime.datetime.now(datetime.UTC)
        assert run.status != 0
        message = "\n".join(run.failed)
        assert absent in message
        assert any(reason in message for reason in IMAGE_REASONS)
        assert re.search(r"\bnginx-[a-z0-9]+-[a-z0-9]+\b", message), "the message names no pod"
        assert (ended - first_pull_error(instance, absent)).total_seconds() < 15
    finally:
        repaired = instance.play()
    assert repaired.status == 0, repaired.failed
    assert instance.play().total("changed") == 0


def test_a_lost_node_is_named_and_missed_by_nobody(instance: Instance, people: People) -> None:
    """The forum goes on, what has no state is soon elsewhere, and a delivery says what it lacks instead of calling it done."""
    lost = next(node for node in nodes_of(instance, "web") if node != "node1")
    members = [
        pod["metadata"]["name"]
        for store in ("postgresql", "redis")
        for pod in instance.pods(f"app.kubernetes.io/name={store}")
        if pod["spec"]["nodeName"] == lost
    ]
    assert members, f"no member of a store is on {lost}"
    try:
        with people.at_work() as ledger:
            node("node-off", lost)
            wait_for_node(instance, lost, ready=False)
            found = time.monotonic()
            until("everything without state is elsewhere", lambda: lost not in serving(instance), 150)
            moved = time.monotonic() - found
            run = instance.play("-e", "stackgate_gate_timeout=45", "-e", "postgresql_timeout_s=45", "-e", "redis_timeout_s=45")
    finally:
        node("node-on", lost)
    print(f"pods without state were elsewhere {moved:.0f} s after the node was found lost; {ledger.summary()}")
    assert run.status != 0
    message = "\n".join(run.failed)
    assert any(member in message for member in members), message
    assert ledger.wrong == [], ledger.summary()
    # PostgreSQL's leader may have been there; the other stores are quicker.
    assert ledger.error_seconds() <= 25, ledger.summary()

    wait_for_node(instance, lost, ready=True)
    run = instance.play()
    assert run.status == 0, run.failed
    assert people.missing_posts() == []
    until("every accepted post has notified its recipient", lambda: people.not_notified() == [], TASKS_DONE)


def nodes_of(instance: Instance, component: str) -> list[str]:
    return [pod["spec"]["nodeName"] for pod in instance.pods(f"app.kubernetes.io/name={component}")]


def serving(instance: Instance) -> set[str]:
    """The nodes that ready pods without state are on; the lost one as long as one of their Deployments lacks a pod."""
    deployments = instance.objects("apps/v1", "Deployment")
    if any(one["status"].get("readyReplicas", 0) < one["spec"]["replicas"] for one in deployments):
        return set(nodes_of(instance, "web"))
    pods = [pod for one in deployments for pod in instance.pods(f"app.kubernetes.io/name={one['metadata']['name']}")]
    return {pod["spec"]["nodeName"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}


def wait_for_node(instance: Instance, name: str, ready: bool, timeout: float = 120.0) -> None:
    """Until the API server says that a node is ready, or that it is not."""

    def is_ready() -> bool:
        return any((one.type, one.status) == ("Ready", "True") for one in instance.core.read_node(name).status.conditions)

    until(f"node {name} is {'ready' if ready else 'down'}", is_ready, timeout, holds=lambda seen: seen is ready, pause=1)
