# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: sums and medians, and columns that stand under each other."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import table


def run(fault: str, number: int, **series: dict[str, Any]) -> dict[str, Any]:
    found = [
        {"series": name, "promised": name != "plain", "later": 0.1, "acknowledged": 100, "refused": 2, "unknown": 1, "kept": 1, "lost": 0}
        | {"ghosts": 0}
        | values
        for name, values in series.items()
    ]
    return {"store": "redis", "fault": fault, "number": number, "recovered": True, "whole_after": 2.5 * number, "series": found}


RUNS = [
    run("pod", 1, plain={"seconds": 3.0, "lost": 2}, wait={"seconds": 3.5}),
    run("pod", 2, plain={"seconds": 1.0, "lost": 1}, wait={"seconds": 1.5, "later": 2.25}),
    run("pod", 3, plain={"seconds": 2.0}, wait={"seconds": 9.0}),
    run("node", 1, plain={"seconds": 5.0}, wait={"seconds": 5.0}),
]


def test_runs_of_one_fault_become_one_row_for_each_series() -> None:
    found = table.summarise(RUNS)
    assert [(row["fault"], row["series"], row["runs"]) for row in found] == [
        ("pod", "plain", 3),
        ("pod", "wait", 3),
        ("node", "plain", 1),
        ("node", "wait", 1),
    ]
    plain, wait = found[:2]
    assert (plain["median"], plain["worst"], plain["lost"], plain["acknowledged"]) == (2.0, 3.0, 3, 300)
    assert (wait["median"], wait["worst"], wait["later"], wait["lost"]) == (3.5, 9.0, 2.25, 0)
    assert (plain["promised"], wait["promised"]) == (False, True)
    assert plain["whole_after"] == 7.5


def test_the_table_is_markdown_whose_columns_are_aligned() -> None:
    lines = table.lines(table.summarise(RUNS))
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    bars = [[at for at, sign in enumerate(line) if sign == "|"] for line in lines]
    assert all(found == bars[0] for found in bars)
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["redis", "pod", "plain", "3", "2.0", "3.0", "0.1", "300", "6", "3 (3)", "3", "8"]
    assert set(lines[1]) == set("|-: ")


def test_a_store_that_did_not_come_back_in_time_shows() -> None:
    late = run("pod", 4, plain={"seconds": 120.0}) | {"recovered": False}
    lines = table.lines(table.summarise([late]))
    assert "120.0 (not recovered)" in lines[2]


def test_no_runs() -> None:
    assert len(table.lines(table.summarise([]))) == 2
