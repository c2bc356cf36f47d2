# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets, users and policies by declaration: done once, seen by the server, and what an application may and may not do with them."""

from __future__ import annotations

from typing import Any

import pytest
from minio_storage import Storage
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe, probe
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused

RULES = [
    {"id": "old versions", "noncurrent_days": 7, "noncurrent_keep": 2},
    {"id": "markers", "expire_delete_markers": True},
    {"id": "temporary", "prefix": "tmp/", "expire_days": 1, "enabled": False},
]


def refused(code: str, do: Any, *arguments: Any) -> None:
    with pytest.raises(Refused) as caught:
        do(*arguments)
    assert caught.value.code == code


def test_a_bucket_with_everything_is_made_once(shared: Storage) -> None:
    bucket = {"name": "everything", "versioning": "enabled", "quota": "1Gi", "lifecycle": RULES}
    assert shared.declare([bucket]) == [
        "make bucket everything",
        "bucket everything: versioning enabled",
        "bucket everything: lifecycle markers, old versions, temporary",
        "bucket everything: quota 1 GiB",
    ]
    assert shared.declare([bucket]) == []
    store = shared.store(3)
    assert (store.versioning("everything"), store.quota("everything")) == ("enabled", 1024**3)
    assert [rule.id for rule in store.lifecycle("everything")] == ["markers", "old versions", "temporary"]


def test_each_setting_follows_its_variable(shared: Storage) -> None:
    shared.declare([{"name": "changing", "versioning": "enabled", "quota": "1Gi", "lifecycle": RULES}])
    for change, said in (
        ({"versioning": "suspended"}, "bucket changing: versioning suspended"),
        ({"quota": "2Gi"}, "bucket changing: quota 2 GiB"),
        ({"quota": "0"}, "bucket changing: no quota"),
        ({"lifecycle": RULES[:1]}, "bucket changing: lifecycle old versions"),
        ({"lifecycle": []}, "bucket changing: lifecycle without rules"),
    ):
        assert shared.declare([{"name": "changing", **change}]) == [said]
        assert shared.declare([{"name": "changing", **change}]) == []


def test_what_is_not_declared_is_left_alone(shared: Storage) -> None:
    shared.declare([{"name": "kept", "versioning": "enabled", "quota": "1Gi", "lifecycle": RULES}])
    assert shared.declare([{"name": "kept"}]) == []
    assert shared.store().quota("kept") == 1024**3


def test_object_lock_protects_until_its_time(shared: Storage) -> None:
    locked = {"name": "locked", "object_lock": True, "retention": {"mode": "compliance", "days": 1}}
    assert shared.declare([locked]) == ["make bucket locked with object lock", "bucket locked: keep new objects by compliance 1 days"]
    assert shared.declare([locked]) == []
    store = shared.store()
    version = store.put("locked", "contract", b"signed")
    with pytest.raises(Refused, match="WORM"):
        store.remove("locked", "contract", version)
    assert shared.declare([{**locked, "retention": {}}]) == ["bucket locked: no retention by default"]
    shared.declare([{"name": "plain"}])
    with pytest.raises(StackgateError, match="has no object lock, which can only be set when a bucket is made"):
        shared.declare([{"name": "plain", "object_lock": True}])


def test_a_bucket_with_objects_stays_unless_told(shared: Storage) -> None:
    shared.declare([{"name": "full", "versioning": "enabled"}])
    store = shared.store()
    store.put("full", "a/b", b"1")
    store.remove("full", "a/b")  # a delete marker over a version: still not empty
    with pytest.raises(StackgateError, match="bucket full is not empty"):
        shared.declare([{"name": "full", "state": "absent"}])
    assert "full" in store.buckets()
    assert shared.declare([{"name": "full", "state": "absent", "force": True}]) == ["delete bucket full with everything in it"]
    assert "full" not in store.buckets()
    assert shared.declare([{"name": "full", "state": "absent"}]) == []


def test_an_application_reaches_its_bucket_and_no_other(shared: Storage) -> None:
    keys = Keys("chat", "the chat's own secret")
    users = [{"secret": "chat", "buckets": ["chat"]}]
    assert shared.declare([{"name": "chat"}, {"name": "others"}], users, {"chat": keys})[2:] == [
        "make policy user-chat",
        "make user chat with the keys of Secret chat",
        "user chat: policy user-chat and no other",
    ]
    assert shared.declare([], users, {"chat": keys}) == []
    shared.store().put("others", "private", b"not yours")
    for member in range(4):
        chat = shared.store(member, keys)
        assert "deleted" in probe.round_trip(chat, "chat")
        refused("AccessDenied", chat.get, "others", "private")
        refused("AccessDenied", chat.put, "others", "mine", b"x")
        refused("AccessDenied", chat.remove, "others", "private")
        assert chat.buckets() == {"chat"}, "it does not even see the others"
        refused("AccessDenied", chat.make_bucket, "another", False)
        refused("AccessDenied", chat.remove_bucket, "chat", False)
        refused("AccessDenied", chat.users)
    assert shared.store().get("others", "private") == b"not yours"


def test_a_reader_only_reads(shared: Storage) -> None:
    keys = Keys("reader", "the reader's own secret")
    shared.declare([{"name": "archive"}], [{"secret": "reader", "buckets": ["archive"], "access": "readonly"}], {"reader": keys})
    shared.store().put("archive", "paper", b"text")
    reader = shared.store(1, keys)
    assert reader.get("archive", "paper") == b"text"
    refused("AccessDenied", reader.put, "archive", "more", b"x")
    refused("AccessDenied", reader.remove, "archive", "paper")


def test_a_user_follows_its_secret_and_its_policy(shared: Storage) -> None:
    old, new = Keys("mailer", "the first secret"), Keys("mailer", "the second secret")
    users = [{"secret": "mailer", "buckets": ["mail"]}]
    shared.declare([{"name": "mail"}, {"name": "news"}], users, {"mailer": old})
    assert shared.declare([], users, {"mailer": new}) == ["user mailer: give it the secret key of Secret mailer"]
    until("another server knows it", lambda: (shared.store(2, new).logs_in(), shared.store(2, old).logs_in()), holds=(True, False).__eq__)
    wider = [{"secret": "mailer", "buckets": ["mail", "news"]}]
    assert shared.declare([], wider, {"mailer": new}) == ["change policy user-mailer"]
    assert shared.declare([], wider, {"mailer": new}) == []
    until("another server knows it", lambda: shared.store(1, new).may_list("news"))


def test_what_others_did_to_a_user_is_put_right(shared: Storage) -> None:
    keys = Keys("strayed", "a secret of its own")
    users = [{"secret": "strayed", "buckets": ["strayed"]}]
    shared.declare([{"name": "strayed"}], users, {"strayed": keys})
    root = shared.store()
    root.give_policy("readwrite", "strayed")
    root._admin.user_disable("strayed")
    assert shared.declare([], users, {"strayed": keys}) == [
        "user strayed: enable it, and give it the secret key of Secret strayed",
        "user strayed: policy user-strayed and no other",
    ]
    assert shared.declare([], users, {"strayed": keys}) == []


def test_a_policy_of_one_s_own(shared: Storage) -> None:
    keys = Keys("uploader", "a secret of its own")
    document = {"Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::inbox/new/*"}}
    users = [{"secret": "uploader", "policy": document}]
    shared.declare([{"name": "inbox"}], users, {"uploader": keys})
    assert shared.declare([], users, {"uploader": keys}) == []
    uploader = shared.store(1, keys)
    uploader.put("inbox", "new/one", b"x")
    refused("AccessDenied", uploader.get, "inbox", "new/one")


def test_an_absent_user_is_gone_with_its_policy(shared: Storage) -> None:
    keys = Keys("leaver", "a secret of its own")
    shared.declare([{"name": "left"}], [{"secret": "leaver", "buckets": ["left"]}], {"leaver": keys})
    assert shared.declare([], [{"name": "leaver", "state": "absent"}]) == ["delete user leaver", "delete policy user-leaver"]
    assert shared.declare([], [{"name": "leaver", "state": "absent"}]) == []
    until("another server knows it", lambda: not shared.store(1, keys).logs_in())


def test_a_full_bucket_refuses_in_words(shared: Storage) -> None:
    keys = Keys("hoarder", "a secret of its own")
    shared.declare([{"name": "small", "quota": "1Ki"}], [{"secret": "hoarder", "buckets": ["small"]}], {"hoarder": keys})
    refused("XMinioAdminBucketQuotaExceeded", probe.round_trip, shared.store(0, keys), "small")


def test_everything_that_is_told_of_a_store(shared: Storage) -> None:
    shared.declare([{"name": "told", "quota": "1Gi", "lifecycle": RULES[:1]}])
    found = observe.everything(shared.store())
    assert found["health"]["drives"] == {"total": 4, "online": 4, "healing": 0, "missing": []}
    assert (found["health"]["writable"], found["health"]["readable"], found["health"]["trouble"]) == (True, True, "")
    assert found["buckets"]["told"] == {
        "versioning": "off",
        "quota": 1024**3,
        "retention": None,
        "lifecycle": [{"id": "old versions", "enabled": True, "noncurrent_days": 7, "noncurrent_keep": 2}],
    }
    assert shared.secret_key not in repr(found)
