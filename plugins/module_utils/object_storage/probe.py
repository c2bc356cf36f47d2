# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that an application can use its bucket: a random object is put, read back, compared, and deleted."""

from __future__ import annotations

import hashlib
import secrets

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Refused, Store

PREFIX = "stackgate-gate/"
# Bytes: small, and still more than a packet.
SIZE = 16 * 1024
# What the deletion of one version is refused with: the policy does not allow it, or the bucket's retention keeps it.
KEPT = ("AccessDenied", "InvalidRequest", "ObjectLocked", "XMinioObjectTampered")


def round_trip(store: Store, bucket: str) -> str:
    """What was done, as a phrase. Raises Refused and StackgateError, naming the step that failed."""
    name, content = PREFIX + secrets.token_hex(8), secrets.token_bytes(SIZE)
    version = store.put(bucket, name, content)
    try:
        found = store.get(bucket, name)
    finally:
        left = _remove(store, bucket, name, version)
    if hashlib.sha256(found).digest() != hashlib.sha256(content).digest():
        raise StackgateError(f"an object of bucket {bucket} comes back as it was put", f"{len(found)} other bytes instead of {SIZE}")
    return f"an object put into bucket {bucket}, read back the same, and deleted{left}"


def _remove(store: Store, bucket: str, name: str, version: str) -> str:
    """Take the object away for good; where that may not be, behind a delete marker."""
    try:
        store.remove(bucket, name, version)
    except Refused as error:
        if not version or error.code not in KEPT:
            raise
        store.remove(bucket, name)
        return " (its version stays until lifecycle or retention let it go)"
    return ""
