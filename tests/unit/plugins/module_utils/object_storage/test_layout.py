# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of erasure sets. The same layouts are compared with a running server in tests/integration/object_storage."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import layout

GIB = 1024**3


@pytest.mark.parametrize(
    ("pods", "drives", "sets", "size", "parity", "write"),
    [
        (1, 1, 1, 1, 0, 1),
        (4, 1, 1, 4, 2, 3),
        (1, 4, 1, 4, 2, 3),
        (5, 1, 1, 5, 2, 3),
        (3, 2, 1, 6, 3, 4),
        (7, 1, 1, 7, 3, 4),
        (8, 1, 1, 8, 4, 5),
        (4, 3, 1, 12, 4, 8),
        (4, 4, 1, 16, 4, 12),
        (8, 2, 1, 16, 4, 12),
        (6, 3, 3, 6, 3, 4),
        (6, 4, 2, 12, 4, 8),
        (20, 1, 2, 10, 4, 6),
    ],
)
def test_sets_are_those_of_the_server(pods: int, drives: int, sets: int, size: int, parity: int, write: int) -> None:
    pool = layout.Pool(pods, drives, GIB)
    assert (pool.sets, pool.set_size, pool.parity, pool.write_quorum) == (sets, size, parity, write)
    assert pool.problems() == []


def test_what_may_fail_counts_the_drives_of_a_pod() -> None:
    four = layout.Pool(4, 1, GIB)
    assert (four.pods_that_may_fail(four.read_quorum), four.pods_that_may_fail(four.write_quorum)) == (2, 1)
    # Four drives of the one set of 16 are on each pod: parity EC:4 bears one pod.
    wide = layout.Pool(4, 4, GIB)
    assert (wide.pods_that_may_fail(wide.read_quorum), wide.pods_that_may_fail(wide.write_quorum)) == (1, 1)
    alone = layout.Pool(1, 4, GIB)
    assert alone.pods_that_may_fail(alone.read_quorum) == 0


@pytest.mark.parametrize(
    ("pods", "drives", "said"),
    [
        (2, 1, "2 pods with 1 drive each: 2 drives survive little"),
        (3, 1, "3 drives survive little"),
        (17, 1, "17 drives make no erasure sets"),
        (0, 1, "at least one of both"),
    ],
)
def test_impossible_pools_are_named(pods: int, drives: int, said: str) -> None:
    problems = layout.Pool(pods, drives, GIB).problems()
    assert len(problems) == 1
    assert said in problems[0]


def test_parity_can_be_given_up_to_half_a_set() -> None:
    assert layout.Pool(4, 1, GIB, parity_wanted=1).write_quorum == 3
    assert layout.Pool(8, 1, GIB, parity_wanted=2).read_quorum == 6
    assert "EC:3 is impossible in sets of 4" in layout.Pool(4, 1, GIB, parity_wanted=3).problems()[0]


def test_the_plan_of_several_pools() -> None:
    found = layout.plan([{"pods": 4, "drives": 1, "size": "10Gi"}, {"pods": "4", "drives": 2, "size": "1Ti", "name": "more"}])
    assert found["problems"] == []
    assert found["usable_bytes"] == 20 * GIB + 4 * 1024 * GIB
    assert found["pools"][0]["drives_may_fail"] == {"read": 2, "write": 1}
    assert found["text"].splitlines() == [
        "pool 1: 4 drives in 1 set of 4, parity EC:2: 20 GiB usable of 40 GiB; "
        "reads survive the loss of 2 drives of a set or 2 pods, writes that of 1 drive of a set or 1 pod",
        "pool 2: 8 drives in 1 set of 8, parity EC:4: 4 TiB usable of 8 TiB; "
        "reads survive the loss of 4 drives of a set or 2 pods, writes that of 3 drives of a set or 1 pod",
    ]


def test_a_single_drive_is_for_trials_and_stays_alone() -> None:
    alone = layout.plan([{"pods": 1, "drives": 1, "size": "1Gi"}])
    assert alone["text"] == "1 pod with 1 drive: 1 GiB usable, no redundancy: nothing may fail"
    both = layout.plan([{"pods": 1, "drives": 1, "size": "1Gi"}, {"pods": 4, "drives": 1, "size": "1Gi"}])
    assert both["problems"] == ["a single drive cannot be one of several pools: begin with at least 4 drives"]
    assert both["pools"] == []


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(StackgateError, match="drives: 'many'"):
        layout.plan([{"pods": 4, "drives": "many", "size": "1Gi"}])


@pytest.mark.parametrize(
    ("amount", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 * GIB, "10 GiB"), (5 * 1024**7, "5120 EiB")]
)
def test_amounts_in_words(amount: int, words: str) -> None:
    assert layout.in_words(amount) == words
