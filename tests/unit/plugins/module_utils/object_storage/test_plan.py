# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From declared and seen to actions: nothing twice, nothing by accident, and a second run finds nothing to do."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import perform, policy
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Bucket, Desired, User
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.lifecycle import Rule
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.observe import Seen, SeenBucket, SeenUser
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.plan import Kind, plan

SECRET = "a secret that nobody may see"
CHAT = User("chat", True, Keys("chat", SECRET), "chat-keys", policy.of_buckets(["files"], "readwrite"))
THERE = SeenUser(True, True, ("user-chat",), CHAT.document, True)


class World:
    """A store that does what it is told, in memory; a stand-in for client.Store in perform()."""

    def __init__(self, buckets: dict[str, SeenBucket] | None = None, users: dict[str, SeenUser] | None = None) -> None:
        self.buckets, self.users = dict(buckets or {}), dict(users or {})

    @property
    def seen(self) -> Seen:
        return Seen(copy.copy(self.buckets), copy.copy(self.users))

    def make_bucket(self, name: str, lock: bool) -> None:
        self.buckets[name] = SeenBucket(True, "enabled" if lock else "off", 0, "" if lock else None, ())

    def _set(self, name: str, **values: Any) -> None:
        self.buckets[name] = replace(self.buckets[name], **values)

    def set_versioning(self, name: str, status: str) -> None:
        self._set(name, versioning=status)

    def set_retention(self, name: str, retention: str) -> None:
        assert self.buckets[name].retention is not None, "the server refuses that without object lock"
        self._set(name, retention=retention)

    def set_lifecycle(self, name: str, rules: tuple[Rule, ...]) -> None:
        self._set(name, lifecycle=rules)

    def set_quota(self, name: str, amount: int) -> None:
        self._set(name, quota=amount)

    def remove_bucket(self, name: str, with_objects: bool) -> None:
        assert with_objects or self.buckets[name].empty, "the server refuses that"
        del self.buckets[name]

    def _user(self, name: str, **values: Any) -> None:
        self.users[name] = replace(self.users.get(name, SeenUser()), **values)

    def set_policy(self, name: str, document: Any) -> None:
        self._user(name.removeprefix("user-"), document=document)

    def set_user(self, keys: Keys) -> None:
        self._user(keys.access_key, exists=True, enabled=True, logs_in=True)

    def give_policy(self, name: str, user: str) -> None:
        assert self.users[user].document is not None, "the server refuses a policy that it does not have"
        self._user(user, policies=(name,))

    def remove_user(self, name: str) -> None:
        self._user(name, exists=False, enabled=False, policies=(), logs_in=False)

    def remove_policy(self, name: str) -> None:
        self._user(name.removeprefix("user-"), document=None)


def sentences(desired: Desired, seen: Seen) -> list[str]:
    return [action.sentence for action in plan(desired, seen)]


def test_everything_is_made_in_an_order_that_works() -> None:
    desired = Desired((Bucket("files", versioning="enabled", quota=1024**3, lifecycle=(Rule("old", noncurrent_days=7),)),), (CHAT,))
    assert sentences(desired, Seen()) == [
        "make bucket files",
        "bucket files: versioning enabled",
        "bucket files: lifecycle old",
        "bucket files: quota 1 GiB",
        "make policy user-chat",
        "make user chat with the keys of Secret chat-keys",
        "user chat: policy user-chat and no other",
    ]


def test_what_is_as_declared_needs_nothing() -> None:
    desired = Desired((Bucket("files", versioning="enabled"), Bucket("other")), (CHAT,))
    assert plan(desired, Seen({"files": SeenBucket(versioning="enabled"), "other": SeenBucket()}, {"chat": THERE})) == []


def test_versions_that_were_never_kept_need_not_be_suspended() -> None:
    desired = Desired((Bucket("files", versioning="suspended"),))
    assert sentences(desired, Seen({"files": SeenBucket(versioning="off")})) == []
    assert sentences(desired, Seen({"files": SeenBucket(versioning="enabled")})) == ["bucket files: versioning suspended"]


def test_a_bucket_with_objects_is_never_deleted_unless_told() -> None:
    full = Seen({"files": SeenBucket(empty=False), "other": SeenBucket()})
    with pytest.raises(StackgateError, match="bucket files is not empty"):
        plan(Desired((Bucket("new"), Bucket("files", present=False))), full)
    assert sentences(Desired((Bucket("files", present=False, force=True),)), full) == ["delete bucket files with everything in it"]
    assert sentences(Desired((Bucket("files", present=False),)), Seen({"files": SeenBucket(empty=True)})) == ["delete bucket files"]
    assert sentences(Desired((Bucket("gone", present=False),)), full) == []


@pytest.mark.parametrize(("wanted", "retention", "said"), [(True, None, "has no object lock"), (False, "", "has object lock for good")])
def test_object_lock_cannot_be_changed_later(wanted: bool, retention: str | None, said: str) -> None:
    with pytest.raises(StackgateError, match=said):
        plan(Desired((Bucket("files", object_lock=wanted),)), Seen({"files": SeenBucket(retention=retention)}))


def test_a_rule_that_somebody_else_has_extended_is_put_right() -> None:
    mine = Rule("old", noncurrent_days=7)
    seen = Seen({"files": SeenBucket(lifecycle=(replace(mine, other="transition"),))})
    assert sentences(Desired((Bucket("files", lifecycle=(mine,)),)), seen) == ["bucket files: lifecycle old"]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(THERE, logs_in=False), ["user chat: give it the secret key of Secret chat-keys"]),
        (replace(THERE, enabled=False, logs_in=False), ["user chat: enable it, and give it the secret key of Secret chat-keys"]),
        (replace(THERE, policies=("readwrite",)), ["user chat: policy user-chat and no other"]),
        (replace(THERE, policies=("consoleAdmin", "user-chat")), ["user chat: policy user-chat and no other"]),
        (replace(THERE, document=policy.of_buckets(["other"], "readwrite")), ["change policy user-chat"]),
    ],
)
def test_a_user_is_brought_back(seen: SeenUser, said: list[str]) -> None:
    assert sentences(Desired((), (CHAT,)), Seen({}, {"chat": seen})) == said


def test_an_absent_user_leaves_no_policy() -> None:
    gone = Desired((), (User("chat", False),))
    assert sentences(gone, Seen({}, {"chat": THERE})) == ["delete user chat", "delete policy user-chat"]
    assert sentences(gone, Seen({}, {"chat": SeenUser(document=CHAT.document)})) == ["delete policy user-chat"]
    assert sentences(gone, Seen()) == []


def test_no_secret_is_told() -> None:
    actions = plan(Desired((Bucket("files"),), (CHAT,)), Seen())
    assert SECRET not in repr(actions) + repr(perform.difference(actions))
    changed = plan(Desired((), (CHAT,)), Seen({}, {"chat": replace(THERE, logs_in=False)}))
    assert SECRET not in repr(perform.difference(changed))


NAMES = ("one", "two", "three")
RULES = st.sampled_from([(), (Rule("a", expire_days=1),), (Rule("a", expire_days=2), Rule("b", noncurrent_days=3, noncurrent_keep=1))])
RETENTIONS = st.sampled_from(["", "governance 1 days", "compliance 2 years"])


def _bucket(name: str) -> st.SearchStrategy[Bucket]:
    def build(
        present: bool, force: bool, versioning: str | None, quota: int | None, lock: bool, retention: str | None, rules: Any
    ) -> Bucket:
        return Bucket(name, present, force, None if lock else versioning, quota, lock or None, retention if lock else None, rules)

    return st.builds(
        build,
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, "enabled", "suspended"]),
        st.sampled_from([None, 0, 1024]),
        st.booleans(),
        st.none() | RETENTIONS,
        st.none() | RULES,
    )


def _seen(name: str) -> st.SearchStrategy[SeenBucket | None]:
    del name
    kept = st.builds(
        lambda lock, versioning, quota, retention, rules, empty: SeenBucket(
            empty, "enabled" if lock else versioning, quota, retention if lock else None, rules
        ),
        st.booleans(),
        st.sampled_from(["off", "enabled", "suspended"]),
        st.sampled_from([0, 1024, 2048]),
        RETENTIONS,
        RULES,
        st.booleans(),
    )
    return st.none() | kept


def _wanted_user(name: str) -> st.SearchStrategy[User]:
    document = st.sampled_from([policy.of_buckets(["one"], "readwrite"), policy.of_buckets(["one", "two"], "readonly")])
    return st.builds(lambda present, doc: User(name, present, Keys(name, "secret key"), "keys", doc), st.booleans(), document)


def _seen_user(name: str) -> st.SearchStrategy[SeenUser]:
    document = st.none() | st.just(policy.of_buckets(["two"], "readwrite"))
    policies = st.sampled_from([(), ("readwrite",), (f"user-{name}",), (f"user-{name}", "readonly")])
    return st.builds(
        lambda exists, enabled, given, doc, logs_in: SeenUser(
            exists, exists and enabled, given if exists else (), doc, exists and enabled and logs_in
        ),
        st.booleans(),
        st.booleans(),
        policies,
        document,
        st.booleans(),
    )


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_any_store_becomes_what_is_declared_also_after_an_interruption(data: st.DataObject) -> None:
    desired = Desired(tuple(data.draw(_bucket(name)) for name in NAMES), tuple(data.draw(_wanted_user(name)) for name in ("ada", "bob")))
    found = {name: seen for name in NAMES if (seen := data.draw(_seen(name))) is not None}
    world = World(found, {name: data.draw(_seen_user(name)) for name in ("ada", "bob")})
    try:
        actions = plan(desired, world.seen)
    except StackgateError:
        return  # refused as a whole: nothing was done
    cut = data.draw(st.integers(0, len(actions)))
    perform.perform(world, actions[:cut])  # type: ignore[arg-type]
    rest = plan(desired, world.seen)
    assert [action.sentence for action in rest] == [action.sentence for action in actions[cut:]]
    perform.perform(world, rest)  # type: ignore[arg-type]
    assert plan(desired, world.seen) == []
    for bucket in desired.buckets:
        assert (bucket.name in world.buckets) is bucket.present
    assert all(action.kind in Kind for action in actions)
