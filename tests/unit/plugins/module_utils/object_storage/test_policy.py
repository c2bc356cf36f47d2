# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies: what a user of a bucket may do, and when two documents say the same."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import policy


def allowed(document: dict[str, Any], action: str, resource: str) -> bool:
    """What a document of this package means, read as strictly as it is written."""
    return any(action in entry["Action"] and resource in entry["Resource"] for entry in document["Statement"])


def test_a_writer_may_use_its_bucket_and_no_other() -> None:
    made = policy.of_buckets(["files"], "readwrite")
    assert allowed(made, "s3:PutObject", "arn:aws:s3:::files/*")
    assert allowed(made, "s3:ListBucket", "arn:aws:s3:::files")
    assert {name for entry in made["Statement"] for name in entry["Resource"]} == {"arn:aws:s3:::files", "arn:aws:s3:::files/*"}
    assert not any("*" in action or "admin" in action for entry in made["Statement"] for action in entry["Action"])


def test_a_reader_changes_nothing() -> None:
    actions = {action for entry in policy.of_buckets(["a", "b"], "readonly")["Statement"] for action in entry["Action"]}
    assert all(action.startswith(("s3:Get", "s3:List")) for action in actions)


def test_nobody_may_delete_a_bucket_or_change_its_settings() -> None:
    actions = {action for entry in policy.of_buckets(["a"], "readwrite")["Statement"] for action in entry["Action"]}
    assert not actions & {"s3:DeleteBucket", "s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning"}


def test_documents_are_compared_by_what_they_mean() -> None:
    mine = {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["b", "a"], "Sid": ""}}
    servers = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Resource": ["a", "b"], "Action": ["s3:GetObject"]}],
    }
    assert policy.canonical(mine) == policy.canonical(servers)
    servers["Statement"][0]["Effect"] = "Deny"  # type: ignore[index]
    assert policy.canonical(mine) != policy.canonical(servers)


def test_statements_and_conditions_have_no_order() -> None:
    one = {"Effect": "Allow", "Action": ["x"], "Resource": ["a"], "Condition": {"Bool": {"aws:SecureTransport": True}}}
    two = {"Effect": "Deny", "Action": ["x"], "Resource": ["a"], "Condition": {"StringLike": {"s3:prefix": ["b", "a"]}}}
    turned = [
        {**two, "Condition": {"StringLike": {"s3:prefix": ["a", "b"]}}},
        {**one, "Condition": {"Bool": {"aws:SecureTransport": ["true"]}}},
    ]
    assert policy.canonical({"Statement": [one, two]}) == policy.canonical({"Statement": turned})


def test_mistakes_in_a_document_are_named() -> None:
    assert policy.mistakes({"Statement": [{"Effect": "allow", "Action": "x"}]}) == [
        "statement 1: Effect is 'allow', not Allow or Deny",
        "statement 1: Resource is missing",
    ]
    assert policy.mistakes([]) == ["a policy is a dictionary with a Statement"]
    assert policy.mistakes({"Statement": {"Effect": "Allow", "NotAction": "x", "Resource": "*"}}) == []
