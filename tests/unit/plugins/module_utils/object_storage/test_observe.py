# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store is asked: only what a declaration speaks of."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Bucket, Desired, User

KEYS = Keys("chat", "a secret")


class Store:
    """A store with one bucket and one user; what it was asked is noted."""

    def __init__(self, user: dict[str, Any] | None = None, logs_in: bool = True) -> None:
        self.asked: list[str] = []
        self.found, self.in_order = user, logs_in
        self.server = self

    def __getattr__(self, name: str) -> Any:
        answers = {"versioning": "off", "quota": 0, "object_lock": None, "lifecycle": (), "is_empty": True, "policy": None}

        def ask(target: str) -> Any:
            self.asked.append(f"{name} {target}")
            return answers[name]

        return ask

    def buckets(self) -> set[str]:
        self.asked.append("buckets")
        return {"files"}

    def user(self, name: str) -> dict[str, Any] | None:
        return self.found

    def store(self, keys: Keys) -> Store:
        self.asked.append(f"log in {keys.access_key}")
        return self

    def logs_in(self) -> bool:
        return self.in_order


def seen(store: Store, desired: Desired) -> observe.Seen:
    return observe.observe(store, desired)  # type: ignore[arg-type]


def test_a_bucket_is_asked_for_what_is_declared_only() -> None:
    store = Store()
    found = seen(store, Desired((Bucket("files", versioning="enabled"), Bucket("new", quota=1))))
    assert store.asked == ["buckets", "versioning files"]
    assert found.buckets == {"files": observe.SeenBucket(versioning="off")}


def test_whether_it_is_empty_is_asked_before_it_goes() -> None:
    store = Store()
    assert seen(store, Desired((Bucket("files", present=False),))).buckets["files"].empty is True
    assert "is_empty files" in store.asked
    store = Store()
    seen(store, Desired((Bucket("files", present=False, force=True),)))
    assert store.asked == ["buckets"]


def test_a_user_is_known_by_whether_its_keys_open() -> None:
    there = {"enabled": True, "policies": ["user-chat"]}
    desired = Desired((), (User("chat", True, KEYS, "keys", {}),))
    assert seen(Store(there), desired).users["chat"].logs_in is True
    assert seen(Store(there, logs_in=False), desired).users["chat"].logs_in is False


def test_a_disabled_user_is_not_logged_in_with() -> None:
    store = Store({"enabled": False, "policies": []})
    found = seen(store, Desired((), (User("chat", True, KEYS, "keys", {}),))).users["chat"]
    assert (found.enabled, found.logs_in) == (False, False)
    assert "log in chat" not in store.asked


def test_no_declaration_asks_nothing() -> None:
    store = Store()
    assert seen(store, Desired()) == observe.Seen()
    assert store.asked == []
