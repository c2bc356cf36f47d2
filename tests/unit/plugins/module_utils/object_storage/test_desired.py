# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared: every mistake at once, and nothing silently taken for something else."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import desired, lifecycle
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys

KEYS = {"app": Keys("chat", "longenough")}


def wrong(buckets: list[dict[str, Any]], users: list[dict[str, Any]] | None = None, keys: Any = None) -> list[str]:
    with pytest.raises(StackgateError) as caught:
        desired.parse(buckets, users or [], KEYS if keys is None else keys)
    return caught.value.seen.splitlines()


def test_a_bucket_leaves_alone_what_it_does_not_declare() -> None:
    (bucket,) = desired.parse([{"name": "files", "state": "present"}], [], {}).buckets
    assert bucket == desired.Bucket("files")
    assert (bucket.versioning, bucket.quota, bucket.object_lock, bucket.retention, bucket.lifecycle) == (None,) * 5


def test_a_bucket_with_everything() -> None:
    given = {
        "name": "files",
        "versioning": "enabled",
        "quota": "1Gi",
        "object_lock": True,
        "retention": {"mode": "compliance", "days": 30, "years": None},
        "lifecycle": [{"id": "b", "noncurrent_days": 7}, {"prefix": "tmp/", "expire_days": 1, "id": None, "enabled": True}],
    }
    (bucket,) = desired.parse([given], [], {}).buckets
    assert (bucket.quota, bucket.retention) == (1024**3, "compliance 30 days")
    assert bucket.lifecycle == (
        lifecycle.Rule("b", noncurrent_days=7),
        lifecycle.Rule("rule-2", prefix="tmp/", expire_days=1),
    )


def test_nothing_declared_differs_from_none_declared() -> None:
    (bucket,) = desired.parse([{"name": "files", "object_lock": True, "retention": {}, "lifecycle": [], "quota": "0"}], [], {}).buckets
    assert (bucket.retention, bucket.lifecycle, bucket.quota) == ("", (), 0)


def test_all_mistakes_are_told_together() -> None:
    told = wrong(
        [
            {"name": "Files"},
            {"name": "10.0.0.1"},
            {"name": "locked", "object_lock": True, "versioning": "suspended", "retention": {"mode": "governance"}},
            {"name": "loose", "retention": {"mode": "governance", "days": 1}, "quota": "much"},
            {"name": "rules", "lifecycle": [{"id": "x"}, {"id": "x", "expire_days": 1, "noncurrent_keep": 1}]},
            {"name": "twice"},
            {"name": "twice"},
            {"name": "gone", "state": "absent"},
        ],
        [
            {"secret": "app", "buckets": ["gone"]},
            {"secret": "app", "name": "other", "buckets": ["a"]},
            {"state": "absent"},
        ],
    )
    for part in (
        "bucket Files: a name has 3 to 63",
        "bucket 10.0.0.1: a name has",
        "bucket locked: object_lock needs versioning",
        "bucket locked: retention has a mode",
        "bucket loose: retention needs object_lock",
        "bucket loose: quota: expected an amount",
        "bucket rules: lifecycle rule x: give one of expire_days",
        "bucket rules: lifecycle rule x: noncurrent_keep needs noncurrent_days",
        "bucket rules: lifecycle rule x is there twice",
        "bucket twice is there twice",
        "user app: bucket gone is to be deleted",
        "user other: the access key in Secret app is chat",
        "a user needs a secret",
    ):
        assert any(line.startswith(part) for line in told), (part, told)


def test_keys_that_the_server_would_refuse() -> None:
    told = wrong([], [{"secret": "app", "buckets": ["a"]}], {"app": Keys("ab", "short")})
    assert told == [
        "user ab: the access key in Secret app has 2 characters; the server wants 3",
        "user ab: the secret key in Secret app has 5 characters; the server wants 8",
    ]
    assert "short" not in " ".join(told)


def test_a_user_is_named_by_its_access_key_and_in_check_mode_by_its_name() -> None:
    users = [{"secret": "app", "buckets": ["files"]}, {"secret": "new", "name": "fresh", "buckets": ["files"], "access": "readonly"}]
    known, fresh = desired.parse([], users, {**KEYS, "new": None}).users
    assert (known.name, known.policy, known.keys) == ("chat", "user-chat", KEYS["app"])
    assert (fresh.name, fresh.keys) == ("fresh", None)
    assert "longenough" not in repr(known)


def test_either_buckets_or_a_policy() -> None:
    assert wrong([], [{"secret": "app"}]) == ["user chat: give either buckets or a policy"]
    own = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    (user,) = desired.parse([], [{"secret": "app", "policy": own}], KEYS).users
    assert user.document == own
