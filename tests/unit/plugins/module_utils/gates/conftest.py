# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is a recording of a real one (made by tests/acceptance/gates/record.py), and conditions to hold against it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View

RECORDED = Path(__file__).parent / "recorded"


class RecordedCluster:
    """Answers from a recording. `calls` counts what was asked; nodes in `dead` do not answer; kinds in `forbidden` are refused."""

    def __init__(self, name: str) -> None:
        found = json.loads((RECORDED / f"{name}.json").read_text())
        self.objects: dict[str, list[dict[str, Any]]] = found["objects"]
        self.namespace: str = found["namespace"]
        self.clock_offset = found["now"] - time.time()
        self.calls: list[str] = []
        self.dead: set[str] = set()
        self.forbidden: set[str] = set()
        self.secrets: dict[str, dict[str, str]] = {}
        self.log = "one\ntwo\n"

    def list(self, api_version: str, kind: str, namespace: str | None = None, cached: bool = False) -> list[dict[str, Any]]:
        self.calls.append(kind)
        if kind in self.forbidden:
            raise ApiError(f"GET {kind}", 403, {"reason": "Forbidden", "message": f'User "x" cannot list resource "{kind}"'})
        return copy.deepcopy(self.objects[kind])

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        self.calls.append(f"{kind}/{name}")
        if kind in self.forbidden:
            raise ApiError(f"GET {kind}", 403, {"reason": "Forbidden", "message": "no"})
        found = next((item for item in self.objects.get(kind, []) if item["metadata"]["name"] == name), None)
        if kind == "Secret" and name in self.secrets:
            return {"metadata": {"name": name}, "data": self.secrets[name]}
        return copy.deepcopy(found)

    def logs(self, pod: str, namespace: str, container: str, *, lines: int = 50, previous: bool = False) -> str:
        self.calls.append(f"log {pod}/{container}{' previous' if previous else ''}")
        return self.log

    def request(self, method: str, path: str, **more: Any) -> Any:
        """The question to a kubelet."""
        self.calls.append(path)
        pod = next(p for p in self.objects["Pod"] if f"/pods/{p['metadata']['name']}/log" in path)
        if pod["spec"].get("nodeName") in self.dead:
            raise StackgateError("the API server answers", "Read timed out")
        return ""

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """An object of the recording, to be altered."""
        return next(item for item in self.objects[kind] if item["metadata"]["name"] == name)


class Watch:
    """A clock that is turned by hand, in seconds."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Scene:
    """A recorded cluster, and a gate's session that began `earlier` seconds before the moment of the recording."""

    def __init__(self, name: str, earlier: float = 5.0) -> None:
        self.cluster = RecordedCluster(name)
        self.watch = Watch()
        self.session = Session(self.cluster, self.cluster.namespace, clock=self.watch)  # type: ignore[arg-type]
        self.session.began = self.session.now() - earlier

    def view(self) -> View:
        return View(self.session)

    def observe(self, kind: str, lasting: float = 0.0, **fields: Any) -> _protocol.Observation:
        """What a condition sees; with `lasting`, what it sees after it has seen the same for so many seconds."""
        condition = _protocol.parse([{"kind": kind, **fields}])[0]
        seen = condition.observe(self.view())
        for _second in range(int(lasting)):
            self.watch.seconds += 1
            seen = condition.observe(self.view())
        return seen


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """Makes a scene from the name of a recording."""
    return Scene
