# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks redis_sentinel and redis_rollout: options in, results out, with nobody there to be asked."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.action import redis_rollout, redis_sentinel, redis_sentinel_info
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import observe
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import RecordedCluster
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import knowing, server_address, whole, with_sentinel

SERVERS, SENTINELS = ["redis-0", "redis-1", "redis-2"], [f"redis-sentinel-{n}" for n in range(3)]
ACTIONS: dict[str, Any] = {"redis_sentinel": redis_sentinel, "redis_rollout": redis_rollout, "redis_sentinel_info": redis_sentinel_info}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Call an action as ansible does: run(name, check=False, diff=False, services=(...), **options)."""

    def task(name: str, check: bool = False, diff: bool = False, services: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
        cluster = RecordedCluster("stateful_on_delete_ready")
        encoded = base64.b64encode(b"hidden").decode()
        cluster.secrets["redis-members"] = {"admin-password": encoded, "sentinel-password": encoded}
        cluster.objects["Service"] = [
            {"metadata": {"name": service}, "spec": {"clusterIP": f"10.43.{int('sentinel' in service)}.{service[-1]}"}}
            for service in (*SERVERS, *SENTINELS, *services)
        ]
        made = object.__new__(ACTIONS[name].ActionModule)
        made._task = SimpleNamespace(check_mode=check, diff=diff)
        made.connection_options = {}
        monkeypatch.setattr(made, "cluster", lambda: cluster)
        monkeypatch.setattr(made, "say", lambda text: None)
        spec, connection = documented_spec(name)
        given = {"namespace": cluster.namespace, "servers": SERVERS, "sentinels": SENTINELS, "credentials": {"secret": "redis-members"}}
        validated = ArgumentSpecValidator(spec).validate({**given, **options})
        assert not validated.error_messages, validated.error_messages
        options = {key: value for key, value in validated.validated_parameters.items() if key not in connection}
        result: dict[str, Any] = made.execute(options, {"inventory_hostname": "shop"})
        return {**result, "calls": cluster.calls}

    return task


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Observation], None]:
    """What the members say from now on."""

    def give(observation: Observation) -> None:
        monkeypatch.setattr(observe.Observer, "observe", lambda _self: observation)

    return give


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe.Observer, "observe", lambda _self: pytest.fail("somebody was asked"))


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("check", [True, False])
def test_without_sentinels_and_with_nobody_to_go_nobody_is_asked(run: Callable[..., dict[str, Any]], check: bool) -> None:
    assert run("redis_sentinel", check, sentinels=[]) == {"changed": False, "plan": [], "performed": [], "calls": []}
    shrink = run("redis_sentinel", check, phase="shrink")
    assert (shrink["changed"], shrink["calls"]) == (False, ["Secret/redis-members", "Service"])


def test_settings_show_before_and_after(run: Callable[..., dict[str, Any]], says: Callable[[Observation], None]) -> None:
    says(with_sentinel(whole(), 1, down_after_ms=30000))
    result = run("redis_sentinel", True, True, down_after_ms=2500)
    assert result["changed"] and result["performed"] == []
    assert result["plan"] == [{"kind": "set", "sentence": "redis-sentinel-1: down-after-milliseconds 30000 -> 2500"}]
    assert result["diff"][0]["after"] == {"redis-sentinel-1": {"down-after-milliseconds": 2500}}
    assert (result["master"], result["epoch"]) == ("redis-0", 4)


def test_a_member_that_is_to_go_is_looked_after(run: Callable[..., dict[str, Any]], says: Callable[[Observation], None]) -> None:
    says(knowing(whole(), server_address(3), flags=frozenset({"slave"})))
    assert run("redis_sentinel", True, phase="shrink", services=("redis-3",))["plan"] == []
    assert [step["kind"] for step in run("redis_sentinel", True, phase="grow", services=("redis-3",))["plan"]] == ["forget"] * 3


def test_a_master_that_is_to_go_is_to_hand_over(run: Callable[..., dict[str, Any]], says: Callable[[Observation], None]) -> None:
    seen = whole(4, master=3)
    says(dataclasses.replace(seen, servers=seen.servers[:3], others={server_address(3): "redis-3"}))
    result = run("redis_sentinel", True, True, phase="shrink", services=("redis-3",))
    assert result["plan"] == [{"kind": "switch over", "sentence": "redis-3 is to go, and hands over to a server that stays"}]
    assert result["diff"][0]["before"] == {"master": "redis-3"}


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"quorum": 4}, "quorum: 4 of 3 sentinels"),
        ({"down_after_ms": 0}, "down_after_ms: 0"),
        ({"servers": ["redis-0", "redis-0"]}, "redis-0 is listed twice"),
        ({"sentinels": ["redis-sentinel-0"]}, "fewer than three"),
        ({"namespace": None}, "it is not given"),
        ({"credentials": {"secret": "redis-members", "username": "nobody"}}, "it has admin-password, sentinel-password"),
    ],
)
def test_options_that_contradict_each_other(
    run: Callable[..., dict[str, Any]], says: Callable[[Observation], None], options: dict[str, Any], seen: str
) -> None:
    says(whole())
    with pytest.raises(StackgateError) as caught:
        run("redis_sentinel", **options)
    assert seen in caught.value.seen


def test_info_tells_what_does_not_hold(run: Callable[..., dict[str, Any]], says: Callable[[Observation], None]) -> None:
    says(with_sentinel(whole(), 1, tilt=True))
    result = run("redis_sentinel_info")
    assert (result["healthy"], result["condition"], result["changed"]) == (False, "tilt", False)
    assert [server["role"] for server in result["servers"]] == ["master", "slave", "slave"]
    assert result["sentinels"][0]["replicas"] == ["redis-1", "redis-2"]


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("check", [True, False])
def test_a_rollout_with_nothing_to_do_needs_no_login(run: Callable[..., dict[str, Any]], check: bool) -> None:
    result = run("redis_rollout", check, servers=["store-0", "store-1", "store-2"], sentinels=[])
    assert result == {"changed": False, "plan": [], "restarted": [], "calls": ["Pod", "StatefulSet/store"]}


def test_a_check_tells_the_restarts_to_come(run: Callable[..., dict[str, Any]], says: Callable[[Observation], None]) -> None:
    seen = whole()
    for number, server in enumerate(seen.servers):
        object.__setattr__(server, "name", f"store-{number}")
    says(seen)
    result = run("redis_rollout", True, servers=["store-0", "store-1", "store-2"], sentinels=SENTINELS, changing=["store"])
    assert result["plan"] == [
        "restart store-2 (replica): a changed pod template",
        "restart store-1 (replica): a changed pod template",
        "store-0 hands over to another server",
        "restart store-0 (master): a changed pod template",
    ]


def test_only_pods_can_be_restarted(run: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(StackgateError, match=r"10\.0\.0\.1:6379 is an address"):
        run("redis_rollout", servers=["10.0.0.1:6379"], sentinels=[])
