# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says when something is broken, and that the next run, once it is repaired, converges with nothing lost."""

from __future__ import annotations

import datetime
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instance import PROJECT, Instance
from visitor import Visitor

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


def test_a_node_without_power_is_named_and_nothing_is_lost(
    instance: Instance, anonymous: Visitor, post: Callable[[str], dict[str, Any]]
) -> None:
    text = f"Written before the power went: {secrets.token_hex(16)}"
    thread = post(text)
    primary = instance.pods("app.kubernetes.io/component=postgresql")[0]
    lost = primary["spec"]["nodeName"]
    assert lost != "node1", "the database is on the node of the control plane: it cannot be powered off in this test"
    node("node-off", lost)
    try:
        wait_for_node(instance, lost, ready=False)
        run = instance.play("-e", "stackgate_gate_timeout=60")
        assert run.status != 0
        message = "\n".join(run.failed)
        assert lost in message, message
        assert "postgresql" in message, message
    finally:
        node("node-on", lost)
    wait_for_node(instance, lost, ready=True)
    run = instance.play()
    assert run.status == 0, run.failed
    assert text in anonymous.get(thread["url"]).text


def wait_for_node(instance: Instance, name: str, ready: bool, timeout: float = 120.0) -> None:
    """Until the API server says that a node is ready, or that it is not."""
    ended = time.monotonic() + timeout
    while time.monotonic() < ended:
        conditions = {one.type: one.status for one in instance.core.read_node(name).status.conditions}
        if (conditions.get("Ready") == "True") is ready:
            return
        time.sleep(1)
    raise AssertionError(f"node {name} is not {'ready' if ready else 'down'} after {timeout:.0f} s")
