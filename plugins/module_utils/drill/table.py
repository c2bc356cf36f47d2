# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of drills as a table: Markdown whose columns are aligned, so that a terminal shows it as well."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HEAD = (
    "Store",
    "Fault",
    "Writes",
    "Runs",
    "Seconds without, median",
    "worst",
    "later",
    "Acknowledged",
    "Refused",
    "Unknown (there)",
    "Lost",
    "Whole after",
)
# How many of the columns, from the left, are words.
WORDS = 3


def summarise(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per store, fault and series, in the order in which they first come; seconds, and sums of writes."""
    groups: dict[tuple[str, str, str], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for run in runs:
        for found in run["series"]:
            groups.setdefault((run["store"], run["fault"], found["series"]), []).append((run, found))
    return [_summary(key, members) for key, members in groups.items()]


def _summary(key: tuple[str, str, str], members: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    found = [series for _run, series in members]
    seconds = [float(series["seconds"]) for series in found]
    sums = {name: sum(int(series[name]) for series in found) for name in ("acknowledged", "refused", "unknown", "kept", "lost", "ghosts")}
    return {
        "store": key[0],
        "fault": key[1],
        "series": key[2],
        "promised": bool(found[0]["promised"]),
        "runs": len(members),
        "recovered": all(bool(run["recovered"]) for run, _series in members),
        "median": round(statistics.median(seconds), 2),
        "worst": max(seconds),
        "later": max(float(series["later"]) for series in found),
        "whole_after": max(float(run["whole_after"]) for run, _series in members),
        **sums,
    }


def lines(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The table, line by line."""
    rows = [HEAD, *(_row(summary) for summary in summaries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    rule = ["-" * width if column < WORDS else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return [_line(row, widths) for row in (rows[0], rule, *rows[1:])]


def _row(summary: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(summary["store"]),
        str(summary["fault"]),
        str(summary["series"]),
        str(summary["runs"]),
        f"{summary['median']:.1f}" + ("" if summary["recovered"] else " (not recovered)"),
        f"{summary['worst']:.1f}",
        f"{summary['later']:.1f}",
        str(summary["acknowledged"]),
        str(summary["refused"]),
        f"{summary['unknown']} ({summary['kept']})",
        str(summary["lost"]),
        f"{summary['whole_after']:.0f}",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < WORDS else cell.rjust(width) for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
