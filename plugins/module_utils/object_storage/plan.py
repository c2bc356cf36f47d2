# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is declared and what was seen to what there is to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import policy
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Bucket, Desired, User
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.layout import in_words
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.observe import Seen, SeenBucket, SeenUser


class Kind(StrEnum):
    """What can be done."""

    MAKE_BUCKET = "make bucket"
    SET_VERSIONING = "set versioning"
    SET_RETENTION = "set retention"
    SET_LIFECYCLE = "set lifecycle"
    SET_QUOTA = "set quota"
    SET_POLICY = "set policy"
    SET_USER = "set user"
    GIVE_POLICY = "give policy"
    REMOVE_USER = "remove user"
    REMOVE_POLICY = "remove policy"
    REMOVE_BUCKET = "remove bucket"


@dataclass(frozen=True)
class Action:
    """One thing to do. sentence: for people, without a secret. before, after: of the difference; None: does not exist."""

    kind: Kind
    target: str
    sentence: str
    value: Any = None
    before: Any = None
    after: Any = None


def plan(desired: Desired, seen: Seen) -> list[Action]:
    """What to do, in this order. StackgateError when something is asked for that must not or cannot be done; nothing is done then."""
    refusals = [text for bucket in desired.buckets for text in _refusals(bucket, seen.buckets.get(bucket.name))]
    if refusals:
        raise StackgateError(
            "a change that loses nothing and that the server can make",
            "\n".join(refusals),
            "nothing was changed; take the objects away first, or declare the bucket as it is",
        )
    actions = [action for bucket in desired.buckets if bucket.present for action in _bucket(bucket, seen.buckets.get(bucket.name))]
    actions += [action for user in desired.users for action in _user(user, seen.users.get(user.name, SeenUser()))]
    actions += [
        Action(Kind.REMOVE_BUCKET, bucket.name, _farewell(bucket), value=bucket.force, before={"bucket": bucket.name})
        for bucket in desired.buckets
        if not bucket.present and bucket.name in seen.buckets
    ]
    return actions


def _refusals(bucket: Bucket, seen: SeenBucket | None) -> Iterator[str]:
    if seen is None:
        return
    if not bucket.present and not bucket.force and not seen.empty:
        yield f"bucket {bucket.name} is not empty: it is only deleted with its objects when force is set"
    if bucket.present and bucket.object_lock is not None and bucket.object_lock != (seen.retention is not None):
        has = "has no object lock, which can only be set when a bucket is made" if bucket.object_lock else "has object lock for good"
        yield f"bucket {bucket.name} {has}"


def _farewell(bucket: Bucket) -> str:
    return f"delete bucket {bucket.name}" + (" with everything in it" if bucket.force else "")


def _bucket(bucket: Bucket, seen: SeenBucket | None) -> Iterator[Action]:
    name = bucket.name
    lock = bool(bucket.object_lock)
    if seen is None:
        yield Action(
            Kind.MAKE_BUCKET, name, f"make bucket {name}" + (" with object lock" if lock else ""), value=lock, after={"bucket": name}
        )
        # What a new bucket is like: object lock switches versions on.
        seen = SeenBucket(True, "enabled" if lock else "off", 0, "" if lock else None, ())
    if (
        bucket.versioning is not None
        and bucket.versioning != seen.versioning
        and (bucket.versioning, seen.versioning) != ("suspended", "off")
    ):
        text = f"bucket {name}: versioning {bucket.versioning}"
        yield Action(Kind.SET_VERSIONING, name, text, bucket.versioning, {"versioning": seen.versioning}, {"versioning": bucket.versioning})
    if bucket.retention is not None and bucket.retention != seen.retention:
        text = f"bucket {name}: {f'keep new objects by {bucket.retention}' if bucket.retention else 'no retention by default'}"
        yield Action(Kind.SET_RETENTION, name, text, bucket.retention, {"retention": seen.retention}, {"retention": bucket.retention})
    if bucket.lifecycle is not None and bucket.lifecycle != seen.lifecycle:
        rules = ", ".join(rule.id for rule in bucket.lifecycle)
        before, after = ({"lifecycle": [rule.as_data() for rule in rules]} for rules in (seen.lifecycle or (), bucket.lifecycle))
        yield Action(Kind.SET_LIFECYCLE, name, f"bucket {name}: lifecycle {rules or 'without rules'}", bucket.lifecycle, before, after)
    if bucket.quota is not None and bucket.quota != seen.quota:
        text = f"bucket {name}: {f'quota {in_words(bucket.quota)}' if bucket.quota else 'no quota'}"
        yield Action(Kind.SET_QUOTA, name, text, bucket.quota, {"quota": seen.quota}, {"quota": bucket.quota})


def _user(user: User, seen: SeenUser) -> Iterator[Action]:
    name = user.name
    if not user.present:
        if seen.exists:
            yield Action(Kind.REMOVE_USER, name, f"delete user {name}", before={"policies": list(seen.policies)})
        if seen.document is not None:
            yield Action(Kind.REMOVE_POLICY, user.policy, f"delete policy {user.policy}", before=policy.canonical(seen.document))
        return
    wanted, has = policy.canonical(user.document), seen.document and policy.canonical(seen.document)
    if wanted != has:
        text = f"{'change' if has else 'make'} policy {user.policy}"
        yield Action(Kind.SET_POLICY, user.policy, text, wanted, has, wanted)
    if not seen.exists:
        yield Action(Kind.SET_USER, name, f"make user {name} with the keys of Secret {user.source}", user.keys, after={"policies": []})
    elif not seen.logs_in:
        why = "enable it, and give it" if not seen.enabled else "give it"
        text = f"user {name}: {why} the secret key of Secret {user.source}"
        yield Action(Kind.SET_USER, name, text, user.keys, {"secret key": "another"}, {"secret key": f"of Secret {user.source}"})
    if seen.policies != (user.policy,):
        text = f"user {name}: policy {user.policy} and no other"
        yield Action(Kind.GIVE_POLICY, name, text, user.policy, {"policies": list(seen.policies)}, {"policies": [user.policy]})
