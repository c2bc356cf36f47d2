# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger, the gaps in it, and its comparison with the store."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.ledger import Ledger, Outcome, Write, compare, longest_gap, steady


def acknowledged(*moments: float) -> list[Write]:
    return [Write(number, moment - 0.01, moment, Outcome.ACKNOWLEDGED) for number, moment in enumerate(moments, 1)]


def test_sequence_numbers_are_unique_among_threads() -> None:
    ledger = Ledger()
    given: list[int] = []

    def write() -> None:
        for _nth in range(200):
            number = ledger.begin(0.0)
            ledger.end(number, Outcome.ACKNOWLEDGED, 1.0)
            given.append(number)

    threads = [threading.Thread(target=write) for _nth in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 801)) == [write.sequence for write in ledger.writes()]
    assert {write.outcome for write in ledger.writes()} == {Outcome.ACKNOWLEDGED}


def test_the_ledger_keeps_what_became_of_a_write() -> None:
    ledger = Ledger()
    first, second = ledger.begin(1.0), ledger.begin(2.0)
    ledger.end(second, Outcome.REFUSED, 2.5, "READONLY")
    assert ledger.writes() == [Write(first, 1.0), Write(second, 2.0, 2.5, Outcome.REFUSED, "READONLY")]


@pytest.mark.parametrize(
    ("moments", "begin", "end", "gap"),
    [
        ((1, 2, 3, 7, 8), 2.5, 8, (3, 7)),  # within
        ((1, 2, 6, 7), 3, 7, (2, 6)),  # under way at the begin: it began before the fault
        ((1, 2, 3), 2.5, 9, (3, 9)),  # never again
        ((1, 9, 10, 11), 9.5, 11, (9, 10)),  # an earlier one does not count
        ((8, 9), 2, 3, (2, 3)),  # nothing before and nothing within
        ((), 1, 4, (1, 4)),
    ],
)
def test_the_longest_gap(moments: tuple[float, ...], begin: float, end: float, gap: tuple[float, float]) -> None:
    found = longest_gap(acknowledged(*moments), begin, end)
    assert (found.began, found.ended) == gap
    assert found.seconds == gap[1] - gap[0]


def test_writes_that_failed_do_not_end_a_gap() -> None:
    writes = [*acknowledged(1, 2), Write(3, 2.1, 3.0, Outcome.REFUSED), Write(4, 2.1, 4.0, Outcome.UNKNOWN), Write(5, 5.0)]
    assert longest_gap(writes, 1.5, 6).seconds == 4


def test_answers_that_came_in_another_order() -> None:
    writes = [Write(1, 0.0, 5.0, Outcome.ACKNOWLEDGED), Write(2, 0.1, 1.0, Outcome.ACKNOWLEDGED), Write(3, 0.2, 2.0, Outcome.ACKNOWLEDGED)]
    assert longest_gap(writes, 1.5, 5.0).seconds == 3


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        (acknowledged(1, 1.5, 2, 2.5, 3), True),
        (acknowledged(1, 1.5, 3), False),  # a pause
        (acknowledged(1, 1.5), False),  # and it is over
        ([*acknowledged(1, 1.5, 2, 2.5, 3), Write(9, 1.9, 2.0, Outcome.REFUSED)], False),
        ([*acknowledged(1, 1.5, 2, 2.5, 3), Write(9, 0.1, 0.5, Outcome.REFUSED)], True),  # before
        ([*acknowledged(1, 1.5, 2, 2.5, 3), Write(9, 2.9)], True),  # on its way
        ([], False),
    ],
)
def test_steady_writing(writes: list[Write], expected: bool) -> None:
    assert steady(writes, 1.0, 3.0, 0.6) is expected


def test_the_comparison_with_the_store() -> None:
    writes = [
        Write(1, 0, 1, Outcome.ACKNOWLEDGED),
        Write(2, 0, 1, Outcome.ACKNOWLEDGED),
        Write(3, 0, 1, Outcome.REFUSED, "READONLY"),
        Write(4, 0, 1, Outcome.REFUSED, "READONLY"),
        Write(5, 0, 1, Outcome.UNKNOWN, "it closed the connection"),
        Write(6, 0, 1, Outcome.UNKNOWN, "READONLY, perhaps"),
        Write(7, 0),
    ]
    found = compare(writes, {1, 4, 5, 7, 99})
    assert (found.acknowledged, found.refused, found.unknown, found.kept) == (2, 2, 3, 2)
    assert found.lost == (2,)
    assert found.ghosts == (4,)
    assert found.reasons == (("READONLY", 2), ("READONLY, perhaps", 1), ("it closed the connection", 1))
