# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives and quorum, from what real servers said (2026-02-12, four servers with a drive each; shortened)."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer

HOST = "object-storage-{}.object-storage-members.shop.svc.cluster.local:9000"


def info(*states: str, healing: tuple[int, ...] = (), parity: int = 2, sets: int = 1) -> dict[str, Any]:
    """The administration's answer for one drive on each of so many servers."""
    size = len(states) // sets
    servers = []
    for number, state in enumerate(states):
        drive = {
            "endpoint": f"http://{HOST.format(number)}/data",
            "state": state,
            "pool_index": 0,
            "set_index": number // size,
            "disk_index": number % size,
        }
        if state == "ok":
            drive["path"] = "/data"
        if number in healing:
            drive["healing"] = True
        up = {"version": "2026-02-12T20:18:48Z"} if state == "ok" else {}
        servers.append({"state": "online" if up else "offline", "endpoint": HOST.format(number), "drives": [drive], **up})
    backend = {"backendType": "Erasure", "standardSCParity": parity, "totalSets": [sets], "totalDrivesPerSet": [size]}
    return {"mode": "online", "backend": backend, "servers": servers}


def said(*states: str, wanted: int | None = None, **more: Any) -> str:
    return health.trouble(health.drives_of(info(*states, **more)), wanted)


def test_all_is_well() -> None:
    assert said("ok", "ok", "ok", "ok") == ""
    assert said("ok", "ok", "ok", "ok", wanted=4) == ""
    assert health.drives_of(info("ok", "ok", "ok", "ok")).versions == ("2026-02-12T20:18:48Z",)


def test_one_away_is_told_though_writes_go_on() -> None:
    assert said("ok", "offline", "ok", "ok") == "3 of 4 drives online; not there: object-storage-1 /data"


def test_two_of_four_away_is_a_lost_write_quorum() -> None:
    assert said("ok", "ok", "offline", "offline") == (
        "write quorum lost: 2 of 4 drives online, 3 needed (reads go on); offline: object-storage-2 /data, object-storage-3 /data"
    )


def test_three_of_four_away_stops_reads_too() -> None:
    assert "1 of 4 drives online, 3 needed (reads are refused as well)" in said("ok", "offline", "offline", "offline")


def test_a_wiped_drive_and_a_healing_one() -> None:
    assert said("ok", "unformatted", "ok", "ok") == "3 of 4 drives online; not there: object-storage-1 /data (unformatted)"
    assert said("ok", "ok", "ok", "ok", healing=(3,)) == "1 of 4 drives healing: object-storage-3 /data"


def test_fewer_drives_than_wanted() -> None:
    assert said("ok", "ok", "ok", "ok", wanted=8) == "4 drives online, 8 wanted"


def test_each_set_has_its_own_quorum() -> None:
    # Two sets of four: two drives of the same set, not two of eight.
    assert said("ok", "ok", "ok", "ok", "offline", "offline", "ok", "ok", sets=2).startswith(
        "write quorum lost: pool 1, set 2: 2 of 4 drives online, 3 needed (reads go on)"
    )
    assert said("offline", "ok", "ok", "ok", "offline", "ok", "ok", "ok", sets=2).startswith("6 of 8 drives online")


@pytest.mark.parametrize(
    ("size", "parity", "read", "write"), [(4, 2, 2, 3), (5, 2, 3, 3), (6, 3, 3, 4), (8, 4, 4, 5), (16, 4, 12, 12), (1, 0, 1, 1)]
)
def test_quorums(size: int, parity: int, read: int, write: int) -> None:
    drives = health.Drives((), parity, (size,))
    assert (drives.quorum(0, write=False), drives.quorum(0, write=True)) == (read, write)


def test_drives_without_names_are_named_by_address() -> None:
    assert health.Drive("10.0.0.1:9000", "/data", "ok", False, 0, 0).name == "10.0.0.1 /data"


def test_many_drives_are_cut() -> None:
    many = [health.Drive(f"s-{n}.m:9000", "/d", "offline", False, 0, 0) for n in range(9)]
    assert health.named(many).endswith("s-5 /d and 3 more")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, {"x-minio-write-quorum": "3"}), ""),
        (Answer(503, {"x-minio-write-quorum": "3"}), "write quorum lost: 3 drives of a set are needed"),
        (Answer(503, {"x-minio-server-status": "offline"}), "the server is not ready yet (offline)"),
        (Answer(403, {}), "status 403"),
    ],
)
def test_words_for_an_endpoint(answer: Answer, words: str) -> None:
    assert health.unwell(answer) == words
