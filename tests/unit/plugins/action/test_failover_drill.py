# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task failover_drill: options in, results out, with a drill that only takes notes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.action import failover_drill
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec

OPTIONS = {
    "namespace": "shop",
    "redis": {"servers": ["redis-0", "redis-1", "redis-2"]},
    "proxies": "redis-proxy",
    "port": 6379,
    "credentials_secret": "redis",
    "conditions": [{"kind": "rollout", "resource": "StatefulSet/redis"}],
}


class Cluster:
    """Has one Secret, and rights but those of `lacks`."""

    lacks: tuple[str, ...] = ()
    clock_offset = 0.0

    def may(self, verb: str, group: str, resource: str, namespace: str, subresource: str = "") -> bool:
        return f"{verb} {resource}/{subresource}".rstrip("/") not in self.lacks

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        if name != "redis":
            return None
        return {"data": {key: base64.b64encode(f"the {key}".encode()).decode() for key in ("username", "password")}}


class Drill:
    """In place of a drill: `fails` names the fault that goes wrong, `loses` how many promised writes each one costs."""

    made: list[Drill] = []
    fails = ""
    loses = 0

    def __init__(self, store: Any, place: Any, settings: Any, whole: Any, say: Any) -> None:
        self.store, self.settings = store, settings
        Drill.made.append(self)

    def plan(self, kind: str) -> str:
        return f"would do {kind}"

    def run(self, kind: str, number: int) -> dict[str, Any]:
        if kind == Drill.fails:
            raise StackgateError("whole", "broken")
        counts = {"acknowledged": 9, "refused": 0, "unknown": 0, "kept": 0, "ghosts": 0, "seconds": 1.0, "later": 0.1}
        series = [
            {"series": "plain", "promised": False, "lost": 5, **counts},
            {"series": "WAIT 1", "promised": True, "lost": Drill.loses, **counts},
        ]
        words = f"did {kind} {number}"
        return {"store": "redis", "fault": kind, "number": number, "words": words, "recovered": True, "whole_after": 1.0, "series": series}


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    Drill.made, Drill.fails, Drill.loses = [], "", 0
    monkeypatch.setattr(Cluster, "lacks", ())
    monkeypatch.setattr(failover_drill, "Drill", Drill)
    monkeypatch.setattr(failover_drill, "_store", lambda *_given: object())

    def perform(check: bool = False, **options: Any) -> dict[str, Any]:
        made = object.__new__(failover_drill.ActionModule)
        made._task = SimpleNamespace(check_mode=check, diff=False)
        monkeypatch.setattr(made, "cluster", Cluster)
        monkeypatch.setattr(made, "say", lambda text: None)
        spec, connection = documented_spec("failover_drill")
        validated = ArgumentSpecValidator(spec).validate({**OPTIONS, **options})
        assert not validated.error_messages, validated.error_messages
        given = {key: value for key, value in validated.validated_parameters.items() if key not in connection}
        result: dict[str, Any] = made.execute(given, {})
        return result

    return perform


def test_every_fault_is_done_so_many_times(task: Callable[..., dict[str, Any]]) -> None:
    found = task(faults="pod,switchover", repeat=2, interval=0.1, recovery_timeout=7)
    assert found["plan"] == ["did pod 1", "did switchover 1", "did pod 2", "did switchover 2"]
    assert [run["fault"] for run in found["runs"]] == ["pod", "switchover", "pod", "switchover"]
    assert [(row["fault"], row["series"], row["runs"]) for row in found["summary"]][:2] == [("pod", "plain", 2), ("pod", "WAIT 1", 2)]
    assert len(found["table"]) == 6
    assert (found["changed"], found["lost"]) == (True, 0)
    settings = Drill.made[0].settings
    assert (settings.proxies, settings.port, settings.interval, settings.recovery) == ("redis-proxy", 6379, 0.1, 7.0)


def test_only_promised_writes_count_as_lost(task: Callable[..., dict[str, Any]]) -> None:
    Drill.loses = 2
    assert task(faults=["pod"], repeat=3)["lost"] == 6


def test_check_mode_tells_and_breaks_nothing(task: Callable[..., dict[str, Any]]) -> None:
    assert task(check=True, faults=["pod", "process"]) == {"changed": True, "plan": ["would do pod", "would do process"]}


def test_a_failure_tells_what_was_measured_before_it(task: Callable[..., dict[str, Any]]) -> None:
    Drill.fails = "process"
    with pytest.raises(StackgateError, match="broken") as failed:
        task(faults=["pod", "process"])
    assert [run["words"] for run in failed.value.details["runs"]] == ["did pod 1"]
    assert len(failed.value.details["table"]) == 4


@pytest.mark.parametrize(
    ("lacks", "faults", "words"),
    [
        (("get pods/exec",), ["process"], "the right to get pods/exec in namespace shop"),
        (("delete pods",), ["all_pods"], "the right to delete pods in namespace shop"),
    ],
)
def test_rights_are_asked_for_before_anything_is_broken(
    task: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...], faults: list[str], words: str
) -> None:
    monkeypatch.setattr(Cluster, "lacks", lacks)
    with pytest.raises(StackgateError, match=words):
        task(faults=faults)
    assert Drill.made == []
    task(faults=["switchover"])


def test_node_faults_need_commands(task: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(StackgateError, match="node_commands has off and on"):
        task(faults=["node"], node_commands={"off": ["true"]})
    found = task(faults=["node"], node_commands={"off": ["true"], "on": ["true"]})
    assert found["plan"] == ["did node 1"]
    assert Drill.made[0].settings.commands == {"off": ["true"], "on": ["true"]}


def test_conditions_are_read_before_anything_is_broken(task: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(StackgateError, match="conditions that a gate understands"):
        task(conditions=[{"kind": "nonsense"}])


@pytest.mark.parametrize("given", [{}, {"redis": {"servers": ["a"]}, "postgresql": {"scope": "b"}}])
def test_one_store_at_a_time(given: dict[str, Any]) -> None:
    with pytest.raises(StackgateError, match="one of redis and postgresql"):
        failover_drill._store({"redis": None, "postgresql": None, **given}, Cluster(), None, print)  # type: ignore[arg-type]


def test_the_applications_secret() -> None:
    cluster: Any = Cluster()
    options = {"credentials_secret": "redis", "namespace": "shop"}
    assert failover_drill._secret(cluster, options, "username", "password") == ["the username", "the password"]
    with pytest.raises(StackgateError, match="it lacks database"):
        failover_drill._secret(cluster, options, "username", "database")
    with pytest.raises(StackgateError, match="it does not exist"):
        failover_drill._secret(cluster, {**options, "credentials_secret": "none"}, "username")


class Scripted:
    """In place of the gate's runner: each look has its outcome; a gate that gives up does so at once."""

    looks: list[bool] = []
    timeouts: list[float] = []

    def __init__(self, conditions: Any, view: Any, say: Callable[[str], None], crew: Any, timeout: float) -> None:
        Scripted.timeouts.append(timeout)
        say("looks")

    def run(self) -> Any:
        return (
            failover_drill.Outcome([], 0.1, False) if Scripted.looks.pop(0) else SimpleNamespace(holds=False, waited=0.1, timed_out=False)
        )


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> failover_drill.Gate:
    monkeypatch.setattr(failover_drill, "Runner", Scripted)
    monkeypatch.setattr(failover_drill, "PAUSE", 0.01)
    monkeypatch.setattr(failover_drill._report, "as_data", lambda *_given: [])
    monkeypatch.setattr(failover_drill._report, "text", lambda gate, *_given: f"{gate} not reached")
    Scripted.timeouts = []
    cluster: Any = Cluster()
    return failover_drill.Gate(cluster, "shop", OPTIONS["conditions"], 0.2, lambda line: None)  # type: ignore[arg-type]


def test_a_gate_that_gives_up_is_asked_again(gate: failover_drill.Gate) -> None:
    """A container whose node was off has ended badly, more than once maybe: no reason to give up here."""
    Scripted.looks = [False, False, True]
    gate("after the fault")
    assert len(Scripted.timeouts) == 3
    assert Scripted.timeouts == sorted(Scripted.timeouts, reverse=True)


def test_its_time_is_over_at_last(gate: failover_drill.Gate) -> None:
    Scripted.looks = [False] * 1000
    with pytest.raises(StackgateError, match="gate after the fault not reached") as failed:
        gate("after the fault")
    assert failed.value.expected == "the store is whole after the fault"
