# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded scenarios, read into steps.

A file is a JSON array, one entry a line: a command with its reply or error, a note, or the start or end of a poll with
the changes that it saw in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import json_util

Document = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded"
POLL_START = re.compile(r"POLL start: every (\d+) ms: ([^;]+);")
POLL_END = re.compile(r"POLL end: (condition reached|fixed time over|time ran out) after (\d+) ms")


@dataclass(frozen=True)
class Command:
    """One command and its answer: `reply` has ok 0 for an error; None where the connection broke without an answer.

    member: its name in the scenario ("a1"), or a URI. at, took: seconds, on the recorded clock; at counts from the last mark.
    """

    step: int
    member: str
    db: str
    command: Document
    reply: Document | None
    note: str
    at: float | None
    took: float


@dataclass(frozen=True)
class Change:
    """What a poll saw: from `at` on (seconds since the poll began) this member answered this; None: it did not answer."""

    member: str
    command: str
    at: float
    reply: Document | None


@dataclass(frozen=True)
class Poll:
    """streams: (member, command), asked in turn every `interval` seconds. condition: it ended as soon as it saw what it wanted."""

    step: int
    at: float
    streams: Sequence[tuple[str, str]]
    interval: float
    duration: float
    condition: bool
    changes: Sequence[Change]
    commands: Mapping[tuple[str, str], Document]

    def command(self, member: str, name: str) -> Document:
        """What a stream asks."""
        return self.commands.get((member, name), {name: 1})


@dataclass(frozen=True)
class Note:
    """Something that was done to the servers. at: as in Command."""

    step: int
    text: str
    at: float | None


Step = Command | Poll | Note


@dataclass(frozen=True)
class Recording:
    name: str
    steps: Sequence[Step]
    # Name of a member -> the addresses it was reached at, in their order.
    addresses: dict[str, list[str]] = field(default_factory=dict)


def names() -> list[str]:
    """Every scenario, in its order."""
    return sorted(path.stem for path in RECORDED.glob("*.json"))


def load(name: str, network: str = "127.0.0.", *, canonical: bool = False) -> Recording:
    """A scenario, with its loopback addresses moved to another network, such as "127.7.3."."""
    text = (RECORDED / f"{name}.json").read_text(encoding="utf-8").replace("127.0.0.", network)
    options = json_util.CANONICAL_JSON_OPTIONS if canonical else json_util.RELAXED_JSON_OPTIONS
    options = options.with_options(tz_aware=True)
    entries = json_util.loads(text, json_options=options)
    steps: list[Step] = []
    addresses: dict[str, list[str]] = {}
    position = 0
    while position < len(entries):
        entry = entries[position]
        note = str(entry.get("note", ""))
        if (start := POLL_START.match(note)) is not None:
            end = next(number for number in range(position + 1, len(entries)) if POLL_END.match(str(entries[number].get("note", ""))))
            steps.append(_poll(entry, start, entries[position + 1 : end], entries[end]))
            position = end + 1
            continue
        steps.append(_command(entry) if "command" in entry else Note(int(entry["step"]), note, _seconds(entry.get("t_ms"))))
        position += 1
    for entry in entries:
        member, _at, address = str(entry.get("member", "")).partition("@")
        if address and address not in addresses.setdefault(member, []):
            addresses[member].append(address)
    return Recording(name, steps, addresses)


def _poll(entry: Document, start: re.Match[str], between: Sequence[Document], end: Document) -> Poll:
    ended = POLL_END.match(end["note"])
    assert ended is not None
    began = float(entry.get("t_ms", 0))
    streams = [(item.split(":")[0].strip(), item.split(":")[1].strip()) for item in start[2].split(",")]
    changes = [
        Change(_member(item), next(iter(item["command"])), (float(item["t_ms"]) - began) / 1000, _reply(item))
        for item in between
        if "command" in item
    ]
    commands = {(_member(item), next(iter(item["command"]))): item["command"] for item in between if "command" in item}
    interval, duration = int(start[1]) / 1000, int(ended[2]) / 1000
    return Poll(int(entry["step"]), began / 1000, streams, interval, duration, ended[1] == "condition reached", changes, commands)


def _command(entry: Document) -> Command:
    return Command(
        step=int(entry["step"]),
        member=_member(entry),
        db=str(entry.get("db", "admin")),
        command=entry["command"],
        reply=_reply(entry),
        note=str(entry.get("note", "")),
        at=_seconds(entry.get("t_ms")),
        took=(_seconds(entry.get("took_ms")) or 0.0),
    )


def _member(entry: Document) -> str:
    member = str(entry.get("member", ""))
    return member if member.startswith("mongodb://") else member.partition("@")[0]


def _reply(entry: Document) -> Document | None:
    if "reply" in entry:
        return entry["reply"]
    if "error_document" in entry:
        return entry["error_document"]
    error = entry.get("error")
    return {"ok": 0.0, **error} if isinstance(error, dict) and "code" in error else None


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000
