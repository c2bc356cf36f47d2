# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a round of a gate asks the cluster, and how often."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


def test_each_list_is_fetched_once_a_round_whoever_asks(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    view = web.view()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(view.objects, ["Pod", "Service"] * 20))
    assert sorted(web.cluster.calls) == ["Pod", "Service"]
    web.view().objects("Pod")
    assert web.cluster.calls.count("Pod") == 2


def test_a_refusal_is_remembered_for_the_whole_run(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.cluster.forbidden.add("Node")
    assert [web.view().readable("Node") for _round in range(3)] == [None, None, None]
    assert web.cluster.calls.count("Node") == 1


def test_what_must_be_readable_raises(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    web.cluster.forbidden.add("Pod")
    view = web.view()
    for _twice in range(2):
        with pytest.raises(ApiError):
            view.objects("Pod")
    assert web.cluster.calls.count("Pod") == 1


def test_a_kubelet_is_asked_once_in_a_while_however_many_conditions_there_are(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")
    pods = web.cluster.objects["Pod"]
    nodes = {pod["spec"]["nodeName"] for pod in pods}

    def asked() -> int:
        return len([call for call in web.cluster.calls if call.endswith("/log")])

    for _round in range(3):
        view = web.view()
        assert [view.node_trouble(pod) for pod in pods * 3] == [""] * 3 * len(pods)
    assert asked() == len(nodes)
    web.watch.seconds += 6
    web.view().node_trouble(pods[0])
    assert asked() == len(nodes) + 1


def test_an_api_server_that_is_away_says_nothing_about_a_node(scene: Callable[..., Any]) -> None:
    web = scene("web_ready")

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise StackgateError("the API server answers", "Connection refused")

    web.cluster.request = refuse
    with pytest.raises(StackgateError, match="Connection refused"):
        web.view().node_trouble(web.cluster.objects["Pod"][0])


@pytest.mark.parametrize(
    ("status", "message", "dead"),
    [
        (500, 'Get "https://10.0.0.2:10250/containerLogs": dial tcp 10.0.0.2:10250: connect: no route to host', True),
        (400, 'container "main" in pod "web" is waiting to start: ContainerCreating', False),
        (403, 'pods "web" is forbidden: cannot get resource "pods/log"', False),
        (404, 'pods "web" not found', False),
    ],
)
def test_only_a_kubelet_that_cannot_be_reached_makes_a_node_dead(scene: Callable[..., Any], status: int, message: str, dead: bool) -> None:
    web = scene("web_ready")

    def answer(*_arguments: Any, **_more: Any) -> None:
        raise ApiError("GET log", status, {"message": message})

    web.cluster.request = answer
    assert bool(web.view().node_trouble(web.cluster.objects["Pod"][0])) is dead


def test_what_lasts_is_measured_without_a_break(scene: Callable[..., Any]) -> None:
    session = scene("web_ready").session
    spans = []
    for step in (0, 4, 4, 11, 4):
        session.clock.seconds += step
        spans.append(session.lasting("x"))
    assert spans == [0, 4, 8, 0, 4]


def test_a_gate_that_holds_reads_no_events(scene: Callable[..., Any]) -> None:
    web = scene("web_repaired")
    fields: list[tuple[str, dict[str, Any]]] = [
        ("rollout", {"resource": "Deployment/web"}),
        ("endpoints", {"service": "web"}),
        ("ingress", {"name": "web"}),
        ("hpa", {"name": "web"}),
        ("pdb", {"name": "web"}),
    ]
    assert {str(web.observe(kind, **more).state) for kind, more in fields} == {"holds"}
    assert "Event" not in web.cluster.calls
