# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni keeps in the Kubernetes API is forgotten once nobody uses it; names of slots."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import report, slots, store
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import LEADER, SYNCHRONOUS, Recorded


class Kept:
    """ConfigMaps, and pods that go one by one, with each look at them."""

    def __init__(self, names: list[str], pods: list[str], owner: str = "postgresql") -> None:
        self.names, self.pods, self.owner = names, pods, owner
        self.deleted: list[str] = []

    def get(self, _version: str, kind: str, name: str, _namespace: str) -> dict[str, Any] | None:
        assert kind == "ConfigMap"
        return {} if name in self.names else None

    def list(self, _version: str, kind: str, _namespace: str, cached: bool = False) -> list[dict[str, Any]]:
        assert kind == "Pod"
        found = [{"metadata": {"name": name, "ownerReferences": [{"kind": "StatefulSet", "name": self.owner}]}} for name in self.pods]
        del self.pods[:1]
        return found

    def delete(self, _version: str, _kind: str, name: str, _namespace: str) -> bool:
        assert not self.pods or self.owner != "postgresql", "a member still runs"
        self.deleted.append(name)
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "POLL", 0.001)


def test_what_is_there_is_deleted_when_the_pods_have_gone() -> None:
    kept = Kept(["postgresql-config", "postgresql-leader", "other"], ["postgresql-0", "postgresql-1"])
    sentences = ["delete ConfigMap postgresql-config", "delete ConfigMap postgresql-leader"]
    assert store.forget(kept, "shop", "postgresql", 5.0) == sentences  # type: ignore[arg-type]
    assert kept.deleted == ["postgresql-config", "postgresql-leader"]


def test_a_check_deletes_nothing_and_waits_for_nobody() -> None:
    kept = Kept(["postgresql-config"], ["postgresql-0"])
    assert store.forget(kept, "shop", "postgresql", 5.0, check=True) == ["delete ConfigMap postgresql-config"]  # type: ignore[arg-type]
    assert (kept.deleted, kept.pods) == ([], ["postgresql-0"])


def test_nothing_to_forget_asks_for_no_pod() -> None:
    kept = Kept([], ["postgresql-0"])
    assert store.forget(kept, "shop", "postgresql", 5.0) == []  # type: ignore[arg-type]
    assert kept.pods == ["postgresql-0"]


def test_pods_that_stay() -> None:
    kept = Kept(["postgresql-config"], [f"postgresql-{number}" for number in range(1000)])
    with pytest.raises(StackgateError, match=r"no pod of the cluster postgresql is left .*\nseen \(after .*there are postgresql-"):
        store.forget(kept, "shop", "postgresql", 0.01)  # type: ignore[arg-type]
    assert kept.deleted == []


def test_secrets_that_the_pods_mount() -> None:
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": "shop-database"}}]

    class Applied:
        def get(self, version: str, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
            assert (version, kind, namespace) == ("apps/v1", "StatefulSet", "shop")
            return {"spec": {"template": {"spec": {"volumes": volumes}}}} if name == "postgresql" else None

    cluster: Any = Applied()
    assert store.secret_volumes(cluster, "shop", "postgresql") == {"tls": "shop-database"}
    assert store.secret_volumes(cluster, "shop", "another") == {}


def test_pods_of_somebody_else_do_not_matter() -> None:
    kept = Kept(["postgresql-sync"], ["redis-0", "redis-1"], owner="redis")
    assert store.forget(kept, "shop", "postgresql", 1.0) == ["delete ConfigMap postgresql-sync"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("member", "slot"), [("postgresql-0", "postgresql_0"), ("Db.Example", "db_example"), ("a!b", "au0033b"), ("x" * 70, "x" * 64)]
)
def test_names_of_slots_are_patroni_s(member: str, slot: str) -> None:
    assert slots.slot_of(member) == slot


def test_a_result_has_what_was_seen() -> None:
    recorded = Recorded()
    assert recorded.cluster is not None
    recorded.cluster["members"].append({"name": "postgresql-3", "role": "replica", "state": "stopped"})
    data = report.cluster_data(recorded.observe(), recorded.config)
    assert (data["leader"], data["timeline"], data["others"], data["paused"]) == (LEADER, 11, ["postgresql-3"], False)
    synchronous = next(one for one in data["members"] if one["name"] == SYNCHRONOUS)
    assert (synchronous["role"], synchronous["state"], synchronous["lag_bytes"], synchronous["synchronous"]) == (
        "sync_standby",
        "streaming",
        0,
        True,
    )
    assert data["configuration"] == recorded.config


def test_a_result_about_nobody() -> None:
    recorded = Recorded()
    recorded.silent = dict.fromkeys(recorded.status, "refused")
    recorded.cluster = None
    data = report.cluster_data(recorded.observe(), None)
    assert (data["leader"], data["timeline"], data["configuration"]) == ("", None, {})
    assert {one["state"] for one in data["members"]} == {"unreachable (refused)"}


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (None, None),
        ({"metadata": {}}, None),
        ({"metadata": {"annotations": {"initialize": "7"}}}, None),
        ({"metadata": {"annotations": {"config": '{"ttl": 20}'}}}, {"ttl": 20}),
    ],
)
def test_the_configuration_is_known_without_a_member(found: Any, known: Any) -> None:
    asked = []

    class Api:
        def get(self, *what: str) -> Any:
            asked.append(what)
            return found

    assert store.configuration(Api(), "shop", "postgresql") == known  # type: ignore[arg-type]
    assert asked == [("v1", "ConfigMap", "postgresql-config", "shop")]
