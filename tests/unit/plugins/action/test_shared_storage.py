# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task `shared_storage`: when it tries, when it only remembers, and what it reports."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.action import shared_storage as action_module
from ansible_collections.stackgate.k3s.plugins.module_utils import shared_storage
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.test_shared_storage import Cluster


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The task; outcome: what its pods prove, or the error that they end in."""
    made: Any = object.__new__(action_module.ActionModule)
    made._task = SimpleNamespace(check_mode=False, diff=False)
    cluster: Any = Cluster()
    cluster.objects["Namespace"] = [{"metadata": {"name": "shop"}}]
    made.cluster = lambda: cluster
    made.say = lambda line: None
    world = SimpleNamespace(cluster=cluster, tries=0, outcome="two pods", action=made)

    def make(_proof: Any) -> str:
        world.tries += 1
        if isinstance(world.outcome, Exception):
            raise world.outcome
        return str(world.outcome)

    monkeypatch.setattr(shared_storage.Proof, "make", make)

    def call(**options: Any) -> dict[str, Any]:
        defaults = {name: entry.get("default") for name, entry in documented_spec("shared_storage")[0].items()}
        return made.execute({**defaults, "namespace": "shop", "storage_classes": ["nfs"], "image": "debian", **options}, {})  # type: ignore[no-any-return]

    world.call = call
    return world


def test_proved_once_and_remembered(task: Any) -> None:
    assert task.call() == {"changed": True, "proofs": {"nfs": "two pods"}, "unproved": {}}
    assert task.call() == {"changed": False, "proofs": {"nfs": "two pods"}, "unproved": {}}
    assert task.tries == 1


def test_no_classes_ask_nothing(task: Any) -> None:
    task.action.cluster = lambda: pytest.fail("no connection is needed")
    assert task.call(storage_classes=[]) == {"changed": False, "proofs": {}, "unproved": {}}


def test_without_the_namespace_nothing_is_tried(task: Any) -> None:
    task.cluster.objects["Namespace"] = []
    assert task.call() == {"changed": False, "proofs": {}, "unproved": {"nfs": "there is no namespace shop yet"}}
    assert task.tries == 0


@pytest.mark.parametrize(
    ("namespace", "required", "changed"), [(True, True, True), (True, False, True), (False, True, True), (False, False, False)]
)
def test_check_mode_tells_whether_the_run_will_try(task: Any, namespace: bool, required: bool, changed: bool) -> None:
    task.action._task.check_mode = True
    task.cluster.objects["Namespace"] = [{"metadata": {"name": "shop"}}] if namespace else []
    assert task.call(required=required)["changed"] is changed
    assert task.tries == 0


def test_what_says_nothing_about_the_class_can_wait(task: Any) -> None:
    task.outcome = shared_storage.NotTried("pods run", "ErrImagePull")
    assert task.call(required=False) == {"changed": False, "proofs": {}, "unproved": {"nfs": "ErrImagePull"}}
    with pytest.raises(shared_storage.NotTried):
        task.call(required=True)
    assert "ConfigMap" not in task.cluster.objects


def test_who_may_not_read_namespaces_tries(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = task.cluster.get

    def get(api_version: str, kind: str, *rest: Any) -> Any:
        if kind == "Namespace":
            raise ApiError("GET", 403, {"message": "no"})
        return known(api_version, kind, *rest)

    monkeypatch.setattr(task.cluster, "get", get)
    assert task.call()["changed"]


def test_absent_forgets(task: Any) -> None:
    task.call()
    assert task.call(state="absent", image="")["changed"]
    assert not task.call(state="absent", image="")["changed"]
