# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store has of what was declared. Asked in parallel; only what a declaration speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Refused, Store
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Bucket, Desired, User

# Questions at a time.
PARALLEL = 8


@dataclass(frozen=True)
class SeenBucket:
    """A bucket that exists. Fields that nobody asked for are None; retention is None without object lock, and empty without a default."""

    empty: bool | None = None
    versioning: str | None = None
    quota: int | None = None
    retention: str | None = None
    lifecycle: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class SeenUser:
    """A user that exists, or what is left of one (policy). logs_in: with the keys of its Secret."""

    exists: bool = False
    enabled: bool = False
    policies: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None
    logs_in: bool = False


@dataclass(frozen=True)
class Seen:
    """The store, as far as it was asked; what is not in it does not exist."""

    buckets: Mapping[str, SeenBucket] = field(default_factory=dict)
    users: Mapping[str, SeenUser] = field(default_factory=dict)


def observe(store: Store, desired: Desired) -> Seen:
    """Ask the store. Raises Refused and StackgateError of the client."""
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="object storage") as pool:
        users = {user.name: pool.submit(_user, store, user) for user in desired.users}
        there = store.buckets() if desired.buckets else set()
        questions: dict[str, dict[str, Any]] = {
            bucket.name: {field: pool.submit(ask, bucket.name) for field, ask in _questions(store, bucket).items()}
            for bucket in desired.buckets
            if bucket.name in there
        }
        buckets = {name: SeenBucket(**{field: asked.result() for field, asked in fields.items()}) for name, fields in questions.items()}
        return Seen(buckets, {name: asked.result() for name, asked in users.items()})


def _questions(store: Store, bucket: Bucket) -> dict[str, Callable[[str], Any]]:
    """What to ask about a bucket that exists: field -> question."""
    if not bucket.present:
        return {} if bucket.force else {"empty": store.is_empty}
    wanted: dict[str, tuple[Any, Callable[[str], Any]]] = {
        "versioning": (bucket.versioning, store.versioning),
        "quota": (bucket.quota, store.quota),
        "retention": (bucket.object_lock, store.object_lock),
        "lifecycle": (bucket.lifecycle, store.lifecycle),
    }
    return {field: ask for field, (asked_for, ask) in wanted.items() if asked_for is not None}


def _user(store: Store, user: User) -> SeenUser:
    found, document = store.user(user.name), store.policy(user.policy)
    if found is None:
        return SeenUser(document=document)
    logs_in = bool(user.present and user.keys and found["enabled"] and store.server.store(user.keys).logs_in())
    return SeenUser(True, found["enabled"], tuple(found["policies"]), document, logs_in)


def everything(store: Store) -> dict[str, Any]:
    """Health, buckets and users as data, without a secret. A server without MinIO's administration tells of buckets only."""
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="object storage") as pool:
        answers = [pool.submit(store.server.ask, path) for path in (health.CLUSTER, health.READ)]
        drives, users = pool.submit(_or_none, lambda: health.drives_of(store.info())), pool.submit(_or_none, store.users)
        asked = {
            name: {
                "versioning": pool.submit(store.versioning, name),
                "quota": pool.submit(_or_none, partial(store.quota, name)),
                "retention": pool.submit(store.object_lock, name),
                "lifecycle": pool.submit(store.lifecycle, name),
            }
            for name in sorted(store.buckets())
        }
        buckets = {name: {field: future.result() for field, future in fields.items()} for name, fields in asked.items()}
        for fields in buckets.values():
            fields["lifecycle"] = [rule.as_data() for rule in fields["lifecycle"]]
        writes, reads = (future.result() for future in answers)
        found = drives.result() or health.Drives((), 0, ())
        return {
            "health": {
                "writable": writes.status == 200,
                "readable": reads.status == 200,
                "trouble": health.trouble(found) or health.unwell(writes),
                "write_quorum": int(writes.headers.get(health.WRITE_QUORUM, 0)),
                "drives": {
                    "total": len(found.all),
                    "online": found.online,
                    "healing": len(found.healing),
                    "missing": [drive.name for drive in found.bad],
                },
                "versions": list(found.versions),
            },
            "buckets": buckets,
            "users": users.result() or {},
        }


def _or_none(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Refused:
        return None
