# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task `gate`: its options in, its result out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.action import gate
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec

DONE = {
    "metadata": {"name": "migrate", "uid": "u"},
    "spec": {},
    "status": {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": "now"},
}


class FakeCluster:
    """A cluster with one Job."""

    clock_offset = 0.0

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return DONE if (kind, name, namespace) == ("Job", "migrate", "wesago") else None

    def list(self, *_arguments: Any, **_more: Any) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The action as ansible makes it, with a fake cluster; call it with options."""
    made = object.__new__(gate.ActionModule)
    made._task = SimpleNamespace(check_mode=False, diff=False)
    made._templar = SimpleNamespace(template=lambda value: value)
    made.connection_options = {}
    made.said = []
    monkeypatch.setattr(made, "cluster", FakeCluster)
    monkeypatch.setattr(made, "say", made.said.append)

    def call(*conditions: Any, **options: Any) -> dict[str, Any]:
        spec = documented_spec("gate")[0]
        defaults = {name: entry.get("default") for name, entry in spec.items()}
        given = {**defaults, "namespace": "wesago", "stage": "app", "conditions": list(conditions), **options}
        return made.execute(given, {"inventory_hostname": "wesago"})  # type: ignore[no-any-return]

    call.action = made  # type: ignore[attr-defined]
    return call


def test_a_gate_that_holds(action: Any) -> None:
    result = action({"kind": "job", "name": "migrate"})
    assert (result["changed"], result["holds"], result.get("failed")) == (False, True, None)
    assert result["msg"].startswith("gate app: the only condition holds after ")
    assert [c["state"] for c in result["conditions"]] == ["holds"]


def test_a_gate_that_does_not_hold_fails_with_its_report(action: Any) -> None:
    result = action({"kind": "job", "name": "migrate"}, {"kind": "job", "name": "other", "timeout": 0.1}, interval=0.05)
    assert (result["failed"], result["holds"], result["changed"]) == (True, False, False)
    assert "FAILED   job other, its time of 0 s is over" in result["msg"]
    assert "there is no Job other in namespace wesago" in result["msg"]


def test_check_mode_asks_once_and_never_fails(action: Any) -> None:
    action.action._task.check_mode = True
    result = action({"kind": "job", "name": "migrate"}, {"kind": "job", "name": "other"})
    assert (result["holds"], result.get("failed"), result["changed"]) == (False, None, False)
    assert result["msg"] == "gate app: 1 of 2 conditions hold"


def test_a_gate_without_conditions_holds_and_asks_nobody(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action.action, "cluster", None)
    assert action()["holds"]


def test_mistakes_are_told_before_anybody_is_asked(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action.action, "cluster", None)
    with pytest.raises(StackgateError, match=r"conditions\[1\] \(job\): unknown field 'nmae'; did you mean 'name'\?"):
        action({"kind": "job", "name": "a"}, {"kind": "job", "nmae": "b"})


@pytest.mark.parametrize(
    ("options", "variables", "prefix", "url"),
    [
        ({}, {}, "", ""),
        ({}, {"stackgate_registry": "registry.k3s:5000"}, "registry.k3s:5000", "http://registry.k3s:5000"),
        ({}, {"stackgate_registry": "r.example.org/team/", "stackgate_registry_tls": True}, "r.example.org/team", "https://r.example.org"),
        ({"registry": "a:1", "registry_url": "http://b:2"}, {"stackgate_registry": "c:3"}, "a:1", "http://b:2"),
    ],
)
def test_the_registry_comes_from_options_and_then_from_variables(
    action: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], variables: dict[str, Any], prefix: str, url: str
) -> None:
    asked = []
    monkeypatch.setattr(gate, "digest", lambda registry, prefix, image: asked.append(registry.address.url))
    found, ask = action.action._registry({**dict.fromkeys(gate.REGISTRY), **options}, variables)
    assert found == prefix
    if ask:
        ask(f"{prefix}/web:1")
    assert asked == ([url] if url else [])


@pytest.mark.parametrize(
    ("image", "asked"),
    [("r:5000/stackgate/web:0123", ("stackgate/web", "0123")), ("r:5000/web:1", ("web", "1")), ("r:5000/web", ("web", "latest"))],
)
def test_a_reference_is_taken_apart(image: str, asked: tuple[str, str]) -> None:
    class FakeRegistry:
        address = SimpleNamespace(url="http://r:5000")

        def digest(self, repository: str, reference: str) -> str | None:
            return "sha256:feed" if (repository, reference) == asked else None

    assert gate.digest(FakeRegistry(), "r:5000", image) == "sha256:feed"  # type: ignore[arg-type]
    with pytest.raises(StackgateError, match="has no such image"):
        gate.digest(FakeRegistry(), "r:5000", "r:5000/other:1")  # type: ignore[arg-type]
