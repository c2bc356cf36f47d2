# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks `object_storage` and `object_storage_rollout`: options in, result out. The store is one in memory."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.action import object_storage, object_storage_rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe, reach
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.object_storage.test_plan import World

SECRET = "a secret that nobody may see"


class Cluster:
    """Secrets, a StatefulSet and its pods; what was asked for is noted."""

    clock_offset = 0.0

    def __init__(self, *secrets: str) -> None:
        self.secrets = {name: {"access-key": name, "secret-key": SECRET} for name in secrets}
        self.asked: list[str] = []
        self.stateful: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        self.asked.append(f"{kind}/{name}")
        if kind == "StatefulSet":
            return self.stateful.get(name)
        values = self.secrets.get(name)
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}} if values else None

    def list(self, api_version: str, kind: str, namespace: str | None = None, cached: bool = False) -> list[dict[str, Any]]:
        self.asked.append(kind)
        return self.pods


def made(module: Any, cluster: Cluster, check: bool, diff: bool) -> Any:
    task = object.__new__(module.ActionModule)
    task._task = SimpleNamespace(check_mode=check, diff=diff)
    task.cluster = lambda: cluster
    task.said = []
    task.say = task.said.append
    return task


def call(task: Any, **options: Any) -> dict[str, Any]:
    spec = documented_spec(task.name)[0]
    defaults = {name: entry.get("default") for name, entry in spec.items()}
    keys = {"secret": "root", "access_key": "access-key", "secret_key": "secret-key"}
    return task.execute({**defaults, "namespace": "shop", "credentials": keys, **options}, {"inventory_hostname": "shop-1"})  # type: ignore[no-any-return]


def user(name: str, *buckets: str, **more: Any) -> dict[str, Any]:
    given = {
        "secret": name,
        "name": name,
        "buckets": list(buckets),
        "access_key": "access-key",
        "secret_key": "secret-key",
        "state": "present",
    }
    return {**given, "access": "readwrite", "policy": None, **more}


BUCKETS = [{"name": "files", "state": "present", "versioning": "enabled", "quota": "1Gi"}]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store in memory behind the entrance. error: what the way there ends in."""
    found = SimpleNamespace(store=World(), error=None, waited=0)

    def server() -> Any:
        if found.error:
            raise found.error
        return SimpleNamespace(store=lambda keys, region: found.store)

    def wait(self: Any, timeout: float, say: Any, avoid: str = "") -> Any:
        found.waited += 1
        return server()

    monkeypatch.setattr(reach.Entrance, "__init__", lambda self, *_arguments: None)
    monkeypatch.setattr(reach.Entrance, "look", lambda self, need_quorum=True: server())
    monkeypatch.setattr(reach.Entrance, "wait", wait)
    monkeypatch.setattr(observe, "observe", lambda store, desired: store.seen)
    return found


def declare(cluster: Cluster, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    return call(made(object_storage, cluster, check, diff), service="store", buckets=BUCKETS, users=[user("chat", "files")], **options)


def test_what_check_mode_says_is_what_the_run_does_and_the_second_run_does_nothing(world: Any) -> None:
    cluster = Cluster("root", "chat")
    predicted = declare(cluster, check=True)
    assert world.store.buckets == {}, "check mode changes nothing"
    done = declare(cluster)
    assert done == predicted
    assert done["changed"] and len(done["actions"]) == 6
    assert declare(cluster) == {"changed": False, "actions": []}
    assert declare(cluster, check=True) == {"changed": False, "actions": []}


def test_a_difference_shows_no_secret(world: Any) -> None:
    result = declare(Cluster("root", "chat"), diff=True)
    assert [entry["after_header"] for entry in result["diff"]] == result["actions"]
    assert SECRET not in repr(result)


def test_in_check_mode_nothing_need_be_there_yet(world: Any) -> None:
    world.error = reach.NoWay("x", "there is no Service store")
    world.error.absent = True
    result = declare(Cluster(), check=True)
    assert result["changed"] and "make user chat with the keys of Secret chat" in result["actions"]


def test_in_check_mode_a_store_that_cannot_be_asked_is_no_empty_one(world: Any) -> None:
    world.error = reach.NoWay("x", "Service store has no ready endpoint")
    result = declare(Cluster("root", "chat"), check=True)
    assert (result["changed"], result["actions"]) == (False, [])
    assert result["warnings"] == ["whether buckets and users are as declared is not known: Service store has no ready endpoint"]


@pytest.mark.parametrize("missing", ["root", "chat"])
def test_a_run_needs_its_secrets(world: Any, missing: str) -> None:
    with pytest.raises(StackgateError, match=f"Secret {missing} with S3 keys in namespace shop"):
        declare(Cluster(*({"root", "chat"} - {missing})))
    assert world.store.buckets == {}


def test_mistakes_come_before_anything_is_asked(world: Any) -> None:
    with pytest.raises(StackgateError, match="bucket Files: a name has"):
        call(made(object_storage, Cluster("root"), False, False), service="store", buckets=[{"name": "Files"}])
    assert world.waited == 0


TEMPLATE = {"spec": {"containers": [{"name": "minio", "image": "minio:2"}]}}


def stateful(cluster: Cluster, revision: str) -> None:
    """A StatefulSet of two pods of revision r1 that wants another one."""
    cluster.stateful["store"] = {
        "metadata": {"name": "store", "generation": 2},
        "spec": {"replicas": 2, "template": TEMPLATE},
        "status": {"observedGeneration": 2, "updateRevision": revision},
    }
    owner = {"kind": "StatefulSet", "name": "store", "controller": True}
    cluster.pods = [
        {
            "metadata": {"name": f"store-{n}", "uid": str(n), "labels": {"controller-revision-hash": "r1"}, "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "minio", "image": "minio:1"}]},
        }
        for n in range(2)
    ]


def test_a_rollout_with_nothing_to_do_asks_no_server() -> None:
    cluster = Cluster()
    stateful(cluster, "r1")
    result = call(made(object_storage_rollout, cluster, False, False), stateful_sets=["store"])
    assert result == {"changed": False, "restarted": [], "how": "", "reason": ""}
    assert cluster.asked == ["StatefulSet/store", "Pod", "StatefulSet/store"]


def test_check_mode_tells_the_rollout() -> None:
    cluster = Cluster()
    stateful(cluster, "r2")
    result = call(made(object_storage_rollout, cluster, True, False), stateful_sets=["store", "yet-to-be-made"])
    assert result == {
        "changed": True,
        "restarted": ["store-0", "store-1"],
        "how": "at_once",
        "reason": "all servers must have the same image",
    }
