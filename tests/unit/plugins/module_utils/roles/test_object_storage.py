# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and users of the role object_storage."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import object_storage

DOMAIN = "members.shop.svc.cluster.local"
BUCKETS = [{"name": "app"}, {"name": "old", "state": "absent"}, {"name": "more", "state": "present"}]


def arguments(*pools: dict[str, Any], tls: bool = False) -> list[str]:
    return [pool["argument"] for pool in object_storage.pools(pools, "fast", DOMAIN, tls)]


def test_pods_and_drives_are_ranges() -> None:
    assert arguments({"replicas": 4}) == [f"http://object-storage-{{0...3}}.{DOMAIN}:9000/var/lib/object-storage/drive-0"]
    assert arguments({"replicas": 2, "drives_per_pod": 2}, tls=True) == [
        f"https://object-storage-{{0...1}}.{DOMAIN}:9000/var/lib/object-storage/drive-{{0...1}}"
    ]


def test_one_pod_of_several_drives_has_an_address_because_others_may_join_it() -> None:
    assert arguments({"replicas": 1, "drives_per_pod": 4}) == [
        f"http://object-storage-0.{DOMAIN}:9000/var/lib/object-storage/drive-{{0...3}}"
    ]


def test_a_single_drive_is_a_path() -> None:
    assert arguments({"replicas": 1}) == ["/var/lib/object-storage/drive-0"]


def test_each_further_pool_is_a_set_of_its_own() -> None:
    first, second = object_storage.pools([{"replicas": 4, "storage_size": "5Gi"}, {"replicas": 4, "storage_class": "slow"}], "fast", DOMAIN)
    assert (first["name"], second["name"]) == ("object-storage", "object-storage-2")
    assert (first["size"], first["storage_class"], second["size"], second["storage_class"]) == ("5Gi", "fast", "10Gi", "slow")
    assert second["argument"].startswith("http://object-storage-2-{0...3}.")
    assert first["shape"] == "4 pods with 1 drives each"


def test_a_user_gets_a_secret_and_the_right_to_its_buckets() -> None:
    (user,) = object_storage.users([{"name": "shop", "buckets": ["more", "app"]}], BUCKETS, "eu-1", tls=True)
    assert user["secret"] == "object-storage-shop"
    assert user["values"] == {
        "access-key": "shop",
        "endpoint": "https://object-storage:9000",
        "host": "object-storage",
        "port": "9000",
        "region": "eu-1",
        "bucket": "more",
    }
    assert user["account"] == {
        "name": "shop",
        "state": "present",
        "secret": "object-storage-shop",
        "buckets": ["more", "app"],
        "access": "readwrite",
    }


def test_a_policy_of_ones_own_replaces_buckets_and_access() -> None:
    policy = {"Version": "2012-10-17", "Statement": []}
    (user,) = object_storage.users([{"name": "shop", "policy": policy, "secret": "keys"}], BUCKETS, "eu-1")
    assert user["account"] == {"name": "shop", "state": "present", "secret": "keys", "policy": policy}
    assert user["values"]["bucket"] == ""
    assert not user["writes"]


def test_who_only_reads_is_not_asked_to_write() -> None:
    reader, writer = object_storage.users(
        [{"name": "reader", "buckets": ["app"], "access": "readonly"}, {"name": "writer", "buckets": ["app"]}], BUCKETS, "eu-1"
    )
    assert (reader["writes"], writer["writes"]) == (False, True)


def test_who_goes_is_named_and_needs_nothing() -> None:
    (user,) = object_storage.users([{"name": "shop", "buckets": ["gone"], "state": "absent"}], BUCKETS, "eu-1")
    assert user["absent"]
    assert user["account"] == {"name": "shop", "state": "absent"}


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ([{"name": "ab", "buckets": ["app"]}], "the name 'ab' is not of 3 or more"),
        ([{"name": "Shop", "buckets": ["app"]}], "the name 'Shop'"),
        ([{"name": "shop"}], "shop has neither buckets nor a policy"),
        ([{"name": "shop", "buckets": ["nope"]}], "shop: object_storage_buckets has no nope"),
        ([{"name": "shop", "buckets": ["old"]}], "shop: object_storage_buckets has no old"),
        ([{"name": "root", "buckets": ["app"]}], "root: the Secret object-storage-root is the server's own"),
        ([{"name": "one", "buckets": ["app"]}, {"name": "one", "buckets": ["app"]}], "2 users are called one"),
        (
            [{"name": "one", "buckets": ["app"], "secret": "x"}, {"name": "two", "buckets": ["app"], "secret": "x"}],
            "2 users have the Secret x",
        ),
    ],
)
def test_users_that_cannot_be_are_named(users: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(StackgateError) as caught:
        object_storage.users(users, BUCKETS, "eu-1")
    assert words in caught.value.seen
    assert "nothing was changed" in caught.value.hint


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(StackgateError) as caught:
        object_storage.users([{"name": "ab", "buckets": ["nope"]}, {"name": "shop"}], BUCKETS, "eu-1")
    assert caught.value.seen.count(";") == 2
