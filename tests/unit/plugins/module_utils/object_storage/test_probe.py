# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The round trip of an object."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import probe
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Refused


class Bucket:
    """A store's bucket in memory."""

    def __init__(self, version: str = "", kept: str = "", spoil: bool = False) -> None:
        self.version, self.kept, self.spoil = version, kept, spoil
        self.objects: dict[str, bytes] = {}
        self.markers: list[str] = []

    def put(self, bucket: str, name: str, content: bytes) -> str:
        self.objects[name] = content
        return self.version

    def get(self, bucket: str, name: str) -> bytes:
        return b"other" if self.spoil else self.objects[name]

    def remove(self, bucket: str, name: str, version: str = "") -> None:
        if version and self.kept:
            raise Refused("delete", self.kept, "no")
        if self.version and not version:
            self.markers.append(name)
        else:
            del self.objects[name]


def test_nothing_is_left() -> None:
    for bucket in (Bucket(), Bucket(version="v1")):
        assert probe.round_trip(bucket, "files") == "an object put into bucket files, read back the same, and deleted"  # type: ignore[arg-type]
        assert (bucket.objects, bucket.markers) == ({}, [])


def test_a_version_that_may_not_go_hides_behind_a_marker() -> None:
    bucket = Bucket(version="v1", kept="AccessDenied")
    assert probe.round_trip(bucket, "files").endswith("(its version stays until lifecycle or retention let it go)")  # type: ignore[arg-type]
    assert len(bucket.markers) == 1


def test_other_bytes_are_found_and_still_taken_away() -> None:
    bucket = Bucket(spoil=True)
    with pytest.raises(StackgateError, match="5 other bytes instead of 16384"):
        probe.round_trip(bucket, "files")  # type: ignore[arg-type]
    assert bucket.objects == {}


def test_a_user_who_may_not_delete_at_all_is_refused() -> None:
    bucket = Bucket(version="", kept="")

    def refuse(bucket_name: str, name: str, version: str = "") -> None:
        raise Refused("delete", "AccessDenied", "no")

    bucket.remove = refuse  # type: ignore[method-assign]
    with pytest.raises(Refused, match="AccessDenied"):
        probe.round_trip(bucket, "files")  # type: ignore[arg-type]
