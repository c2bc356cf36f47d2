# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The condition redis: what is asked by which way, and what becomes of the answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields, _protocol, _reach
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import redis as redis_gate
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import State, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Endpoint
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Trouble
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import Scene
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import whole, with_server

MEMBERS = {"servers": ["redis-0", "redis-1", "redis-2"], "sentinels": [f"redis-sentinel-{n}" for n in range(3)]}
LOGIN = {"credentials": {"secret": "redis-members"}, "application_secret": "redis"}


class Asked:
    """What the members say, and what was written by which ways."""

    def __init__(self) -> None:
        self.seen: Observation = whole()
        self.doors = ["redis-proxy-a", "redis-proxy-b"]
        self.written: list[tuple[list[str], int]] = []
        self.refusals: list[StackgateError] = []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Members that answer without being there."""
    found = Asked()

    def write(ways: list[Endpoint], acknowledged: int) -> str:
        found.written.append(([way.name for way in ways], acknowledged))
        for refusal in found.refusals:
            raise refusal
        return "a write"

    def doors(target: _reach.Target, _view: Any) -> list[_reach.Door]:
        assert target.service == "redis"
        if not found.doors:
            raise _reach.NoDoor(waiting("Service redis has no ready endpoint"))
        return [_reach.Door(name, name, lambda _seconds: pytest.fail("connected"), name) for name in found.doors]

    monkeypatch.setattr(redis_gate.Observer, "observe", lambda _self: found.seen)
    monkeypatch.setattr(redis_gate.probe, "write_and_read", write)
    monkeypatch.setattr(redis_gate._reach, "doors", doors)
    return found


@pytest.fixture
def look(scene: Callable[..., Scene]) -> Callable[..., _protocol.Observation]:
    """Look once, or for so many seconds."""
    made = scene("stateful_on_delete_ready")
    encoded = base64.b64encode(b"hidden").decode()
    made.cluster.secrets["redis-members"] = {"admin-password": encoded}
    made.cluster.secrets["redis"] = {"username": encoded, "password": encoded}
    made.cluster.objects.setdefault("Service", [])

    def observe(lasting: float = 0.0, check: bool = False, **fields: Any) -> _protocol.Observation:
        made.session.check_mode = check
        return made.observe("redis", lasting=lasting, **{**MEMBERS, **LOGIN, **fields})

    return observe


def test_it_holds_with_a_write_through_every_pod_behind_the_service(asked: Asked, look: Callable[..., _protocol.Observation]) -> None:
    seen = look(service="redis", proxies=2)
    assert (seen.state, seen.seen.endswith("lag 0 bytes, a write")) == (State.HOLDS, True)
    assert asked.written == [(["redis-proxy-a", "redis-proxy-b"], 1)]


def test_a_server_that_stands_alone_has_nobody_to_acknowledge(asked: Asked, look: Callable[..., _protocol.Observation]) -> None:
    asked.seen = whole(1, 0)
    assert look(service="redis", servers=["redis-0"], sentinels=[]).state is State.HOLDS
    assert asked.written[0][1] == 0


@pytest.mark.parametrize("fields", [{}, {"service": "redis", "write_probe": False}, {"service": "redis", "check": True}])
def test_nothing_is_written_without_a_service_or_in_check_mode(
    asked: Asked, look: Callable[..., _protocol.Observation], fields: dict[str, Any]
) -> None:
    assert look(**fields).state is State.HOLDS
    assert asked.written == []


def test_too_few_proxies_and_no_way_at_all_are_waited_for(asked: Asked, look: Callable[..., _protocol.Observation]) -> None:
    few = look(service="redis", proxies=3)
    assert (few.state, few.data["condition"]) == (State.WAITING, "proxies")
    assert "2 of 3 pods behind Service redis" in few.seen
    asked.doors = []
    assert look(service="redis").seen == "Service redis has no ready endpoint"
    assert asked.written == []


def test_a_write_that_is_refused_is_waited_for_with_the_server_s_words(asked: Asked, look: Callable[..., _protocol.Observation]) -> None:
    asked.refusals.append(StackgateError("redis-proxy-a accepts SET", "NOREPLICAS Not enough good replicas to write."))
    seen = look(service="redis")
    assert (seen.state, seen.data["condition"]) == (State.WAITING, "write")
    assert "NOREPLICAS" in seen.seen
    assert [suspect.pod for suspect in seen.suspects] == asked.doors


def test_what_is_not_in_order_is_named_and_only_a_wrong_password_ends_the_gate(
    asked: Asked, look: Callable[..., _protocol.Observation]
) -> None:
    asked.seen = with_server(whole(), 1, link_up=False)
    late = look(lasting=60, service="redis")
    assert (late.state, late.data["condition"]) == (State.WAITING, "replicas")
    asked.seen = with_server(whole(), 1, trouble=Trouble.WRONG_PASSWORD, error="WRONGPASS no")
    assert look().state is State.WAITING
    assert look(lasting=60).state is State.FAILED
    assert asked.written == []


def test_a_secret_that_is_missing_says_so(asked: Asked, look: Callable[..., _protocol.Observation]) -> None:
    with pytest.raises(StackgateError, match="the Secret none is in namespace"):
        look(credentials={"secret": "none"})
    with pytest.raises(StackgateError, match="the Secret redis-members has the key app-password"):
        look(credentials={"secret": "redis-members", "username": "app"})


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({"servers": []}, "there is no server"),
        ({"servers": ["redis-0", "redis-0"]}, "redis-0 is listed twice"),
        ({"servers": ["redis-0"], "sentinels": ["a-0", "a-1"]}, "fewer than three"),
        ({"servers": ["redis-0"], "max_lag_bytes": -1}, "expected 0 or more"),
    ],
)
def test_mistakes_in_the_condition(fields: dict[str, Any], mistake: str) -> None:
    with pytest.raises(_fields.FieldErrors, match=mistake):
        _protocol.parse([{"kind": "redis", **fields}])
