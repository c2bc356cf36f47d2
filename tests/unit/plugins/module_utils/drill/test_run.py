# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole drill on a store that is made of two sets and a switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import faults, run
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.run import Drill, Settings
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Series
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Refused, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

NODES = {"store-0": "node1", "store-1": "node2", "store-2": "node3", "proxy-a": "node1", "proxy-b": "node2"}


class Store:
    """Takes writes while it is up. loses: acknowledged writes are forgotten. answers: whether a write that fails is refused."""

    name, leader_word, port, processes, patience = "fake", "leader", 1234, ("faked",), 5.0
    members = ("store-0", "store-1", "store-2")
    series = (Series("plain", False), Series("safe", True))

    def __init__(self) -> None:
        self.up, self.loses, self.answers = True, False, True
        self.at, self.events = 1, []  # type: tuple[int, list[str]] | Any
        self.kept: dict[str, set[int]] = {"plain": set(), "safe": set()}

    def leader(self) -> str:
        return self.members[self.at]

    def switchover(self) -> str:
        self.at = (self.at + 1) % 3
        self.events.append(f"switchover to {self.leader()}")
        return self.leader()

    def route(self, dial: Any) -> Store:
        return self

    def prepare(self) -> None:
        self.events.append("prepare")

    def clean(self) -> None:
        self.events.append("clean")

    def connect(self, series: str) -> Any:
        if not self.up:
            raise Refused("no connection")
        return Client(self, series)

    def present(self, series: str, sequences: Collection[int]) -> set[int]:
        return self.kept[series]


class Client:
    def __init__(self, store: Store, series: str) -> None:
        self.store, self.series = store, series

    def write(self, sequence: int) -> None:
        if not self.store.up:
            raise Refused("READONLY") if self.store.answers else Unanswered("cut")
        if not (self.store.loses and self.series == "plain"):
            self.store.kept[self.series].add(sequence)

    def close(self) -> None:
        pass


class Place:
    """Its pods come back by themselves after some seconds."""

    def __init__(self, store: Store, outage: float = 0.3) -> None:
        self.store, self.outage, self.dialled = store, outage, []  # type: Any

    def node(self, pod: str) -> str:
        return NODES[pod]

    def proxy(self, daemon_set: str, avoided: str, preferred: Sequence[str]) -> str:
        return next(pod for pod in ("proxy-a", "proxy-b") if NODES[pod] != avoided)

    def dial(self, pod: str, port: int) -> Any:
        self.dialled.append((pod, port))

    def delete(self, pods: Sequence[str]) -> None:
        self.store.events.append(f"delete {' '.join(pods)}")
        self._break()

    def kill(self, pod: str, port: int, processes: Sequence[str]) -> None:
        self.store.events.append(f"kill {' '.join(processes)} in {pod}")
        self._break()

    def _break(self) -> None:
        self.store.up = False
        threading.Timer(self.outage, lambda: setattr(self.store, "up", True)).start()


def drill(store: Store, place: Place | None = None, whole: Callable[[str], None] = lambda when: None, **settings: Any) -> Drill:
    values: dict[str, Any] = {"interval": 0.01, "before": 0.1, "stable": 0.3, "recovery": 5.0, **settings}
    return Drill(store, place or Place(store), Settings("store-proxy", 5678, **values), whole, store.events.append)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOOK", 0.02)
    monkeypatch.setattr(run, "AFTER", 0.1)
    monkeypatch.setattr(run, "PAUSE", 2.0)  # on a busy machine


def test_an_outage_is_measured_and_nothing_is_lost() -> None:
    store = Store()
    place = Place(store, 0.5)
    found = drill(store, place).run("process", 1)
    assert store.events[:2] == ["prepare", "process 1: kill the server's process of store-1 (leader, on node2); writing through proxy-a"]
    assert "kill faked in store-1" in store.events
    assert "clean" in store.events
    assert place.dialled == [("proxy-a", 5678)]
    assert (found["fault"], found["recovered"], found["proxy"]) == ("process", True, "proxy-a")
    for series in found["series"]:
        assert 0.5 <= series["seconds"] < 5
        assert series["later"] < series["seconds"] + 2
        assert series["refused"] > 0
        assert series["acknowledged"] > 10
        assert (series["lost"], series["unknown"], series["ghosts"]) == (0, 0, 0)
    assert [series["promised"] for series in found["series"]] == [False, True]


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    store = Store()
    store.loses = True
    plain, safe = drill(store).run("pod", 1)["series"]
    assert plain["lost"] == plain["acknowledged"] > 0
    assert safe["lost"] == 0


def test_a_write_without_an_answer_is_unknown() -> None:
    store = Store()
    store.answers = False
    plain, _safe = drill(store).run("all_pods", 2)["series"]
    assert "delete store-0 store-1 store-2" in store.events
    assert plain["unknown"] > 0
    assert any("cut" in reason for reason in plain["reasons"])


def test_the_store_is_whole_before_and_after() -> None:
    store = Store()
    asked: list[str] = []
    drill(store, whole=asked.append).run("switchover", 1)
    assert asked == ["before the fault", "after the fault"]
    assert "switchover to store-2" in store.events


def test_nothing_is_broken_when_it_is_not_whole() -> None:
    def broken(when: str) -> None:
        raise StackgateError("whole", "it is not")

    store = Store()
    with pytest.raises(StackgateError, match="it is not"):
        drill(store, whole=broken).run("pod", 1)
    assert store.events == []


def test_nothing_is_broken_when_it_takes_no_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WARM_UP", 0.5)
    store = Store()
    store.up = False
    with pytest.raises(StackgateError, match=r"nothing was broken") as failed:
        drill(store).run("pod", 1)
    assert "no connection" in failed.value.seen
    assert store.events == ["prepare"]


def test_a_store_that_does_not_come_back_in_time_is_measured_all_the_same() -> None:
    store = Store()
    found = drill(store, Place(store, 1.0), recovery=0.5).run("pod", 1)
    assert found["recovered"] is False
    assert found["series"][0]["later"] >= 0.3


class Nodes:
    """Commands that leave marks: node2.off while the node is off."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        mark = f"{directory}/{{node}}.off"
        log = f"echo $0 {{node}} >> {directory}/log"
        self.commands = {
            "off": ["sh", "-c", f"touch {mark}; {log}", "off"],
            "on": ["sh", "-c", f"rm -f {mark}; {log}", "on"],
        }

    @property
    def log(self) -> list[str]:
        path = self.directory / "log"
        return path.read_text().splitlines() if path.exists() else []


def test_a_node_is_broken_and_repaired(tmp_path: Path) -> None:
    store, nodes = Store(), Nodes(tmp_path)
    found = drill(store, commands=nodes.commands).run("node", 1)
    assert found["words"] == "power node2 off, with store-1 (leader, on node2)"
    assert nodes.log == ["off node2", "on node2"]
    assert not list(tmp_path.glob("*.off"))


def test_the_leader_is_moved_from_a_node_that_must_not_be_broken(tmp_path: Path) -> None:
    store, nodes = Store(), Nodes(tmp_path)
    store.at = 0
    asked: list[str] = []
    found = drill(store, whole=asked.append, commands=nodes.commands, protected=("node1",)).run("node", 1)
    assert "switchover to store-1" in store.events
    assert asked == ["before the fault", "after the leader was moved", "after the fault"]
    assert nodes.log == ["off node2", "on node2"]
    assert "on node2" in found["words"]


def test_a_leader_that_cannot_be_moved(tmp_path: Path) -> None:
    store, nodes = Store(), Nodes(tmp_path)
    with pytest.raises(StackgateError, match="a leader on a node that may be broken"):
        drill(store, commands=nodes.commands, protected=("node1", "node2", "node3")).run("node", 1)
    assert nodes.log == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, StackgateError("x", "y")])
def test_an_interrupted_drill_repairs_what_it_broke(tmp_path: Path, interruption: Any) -> None:
    store, nodes = Store(), Nodes(tmp_path)
    made = drill(store, commands=nodes.commands)

    def sleep(seconds: float) -> None:
        if nodes.log:
            raise interruption
        time.sleep(seconds)

    made.sleep = sleep
    with pytest.raises((KeyboardInterrupt, StackgateError)):
        made.run("node", 1)
    assert nodes.log == ["off node2", "on node2"]


def test_a_command_that_fails_is_repaired_too(tmp_path: Path) -> None:
    store, nodes = Store(), Nodes(tmp_path)
    nodes.commands["off"][2] += "; exit 1"
    with pytest.raises(StackgateError, match="exit status 1"):
        drill(store, commands=nodes.commands).run("node", 1)
    assert nodes.log == ["off node2", "on node2"]


@pytest.mark.parametrize("kind", list(faults.KINDS))
def test_the_plan_names_what_would_be_broken(kind: str) -> None:
    store = Store()
    commands = {name: ["true"] for name in ("off", "on", "cut", "heal")}
    planned = drill(store, commands=commands, protected=("node2",)).plan(kind)
    assert "store-1" in planned
    assert ("first another member takes over" in planned) is (kind in ("node", "network"))
    assert store.events == []


def test_commands_that_are_missing() -> None:
    faults.check_commands(["pod", "node"], {"off": ["true"], "on": ["true"]})
    with pytest.raises(StackgateError, match="it lacks cut and heal"):
        faults.check_commands(["pod", "network"], {"off": ["true"]})
