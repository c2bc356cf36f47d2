# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies: what a user may do, as documents. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

VERSION = "2012-10-17"
READ_BUCKET = ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions")
READ_OBJECTS = ("s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:GetObjectVersionTagging")
WRITE_BUCKET = ("s3:ListBucketMultipartUploads",)
WRITE_OBJECTS = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersion",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectTagging",
)
ACCESS = {"readwrite": (READ_BUCKET + WRITE_BUCKET, READ_OBJECTS + WRITE_OBJECTS), "readonly": (READ_BUCKET, READ_OBJECTS)}
# The parts of a statement that are sets, though written as a text or a list.
SETS = ("Action", "NotAction", "Resource", "NotResource")


def of_buckets(buckets: Iterable[str], access: str) -> dict[str, Any]:
    """Everything with the objects of these buckets (readwrite), or only to read them (readonly); nothing else."""
    named = sorted(set(buckets))
    on_bucket, on_objects = ACCESS[access]
    return {
        "Version": VERSION,
        "Statement": [
            {"Effect": "Allow", "Action": sorted(on_bucket), "Resource": [f"arn:aws:s3:::{name}" for name in named]},
            {"Effect": "Allow", "Action": sorted(on_objects), "Resource": [f"arn:aws:s3:::{name}/*" for name in named]},
        ],
    }


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document in one form, however it was written: sets sorted, single texts as lists, empty fields left out."""
    given = document.get("Statement") or []
    statements = [_statement(entry) for entry in ([given] if isinstance(given, Mapping) else given)]
    return {
        "Version": document.get("Version") or VERSION,
        "Statement": sorted(statements, key=lambda entry: json.dumps(entry, sort_keys=True)),
    }


def _statement(given: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: _set(value) if key in SETS else value for key, value in given.items() if value}
    condition = made.get("Condition")
    if isinstance(condition, Mapping):
        made["Condition"] = {test: {key: _set(value) for key, value in keys.items()} for test, keys in condition.items()}
    return made


def _set(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple | set) else [value]
    return sorted({str(entry).lower() if isinstance(entry, bool) else str(entry) for entry in values})


def mistakes(document: Any) -> list[str]:
    """What is wrong with a document that a user has written, as far as can be told without the server."""
    if not isinstance(document, Mapping) or not document.get("Statement"):
        return ["a policy is a dictionary with a Statement"]
    given = document["Statement"]
    wrong = []
    for number, entry in enumerate([given] if isinstance(given, Mapping) else given, 1):
        if not isinstance(entry, Mapping):
            wrong.append(f"statement {number} is no dictionary")
            continue
        if entry.get("Effect") not in ("Allow", "Deny"):
            wrong.append(f"statement {number}: Effect is {entry.get('Effect')!r}, not Allow or Deny")
        wrong += [
            f"statement {number}: {one} is missing" for one in ("Action", "Resource") if not (entry.get(one) or entry.get(f"Not{one}"))
        ]
    return wrong
