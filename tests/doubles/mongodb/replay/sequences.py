# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What polls see: the values of each field in their order, and when it took its last one.

Polls of two runs never hit the same moments. So each field is looked at for itself; a value that lasted less than
BRIEF may be missing on either side; the last one must be the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .compare import normalise
from .recording import Change

# Seconds of the server's clock.
BRIEF = 1.5
# Real seconds that a busy machine may hold up a server or us.
BUSY = 0.8
# What a member knows of another one comes by heartbeats, every 2 s: it may miss what lasted less.
BRIEF_OF_OTHERS = 2.6
HELLO = (
    *("isWritablePrimary", "secondary", "primary", "setName", "setVersion", "hosts", "me", "info", "isreplicaset"),
    *("passives", "passive", "arbiters", "arbiterOnly", "hidden"),
)
STATUS = ("set", "myState", "term", "majorityVoteCount", "writeMajorityCount", "votingMembersCount", "writableVotingMembersCount")
MEMBER = ("health", "stateStr", "configVersion", "configTerm")
CONFIG = ("version", "term", "commitmentStatus")
CONFIG_MEMBER = ("votes", "priority", "arbiterOnly", "hidden")

# One field of one stream: (member, command, field); with its values as (since when, value).
Track = list[tuple[float, Any]]


def tracks(changes: Iterable[Change]) -> dict[tuple[str, str, str], Track]:
    """Every field's values, each with the second from which it was seen."""
    found: dict[tuple[str, str, str], Track] = {}
    for change in changes:
        for name, value in fields(change).items():
            track = found.setdefault((change.member, change.command, name), [])
            if not track or track[-1][1] != value:
                track.append((change.at, value))
    return found


def fields(change: Change) -> dict[str, Any]:
    """What a poll looks at in an answer, by the name of the field."""
    reply = change.reply
    if reply is None:
        return {"answer": "none"}
    found: dict[str, Any] = {"answer": reply.get("code", "ok") if reply.get("ok", 1) != 1 else "ok"}
    if found["answer"] != "ok":
        found["errmsg"] = normalise(reply.get("errmsg"))
        return found
    if change.command == "hello":
        return {**found, **{name: normalise(reply.get(name), name) for name in HELLO}}
    if change.command == "replSetGetStatus":
        found |= {name: normalise(reply.get(name), name) for name in STATUS}
        for member in reply.get("members", []):
            found |= {f"{member['name']} {name}": normalise(member.get(name), name) for name in MEMBER}
        return found
    config = reply.get("config", reply)
    found |= {name: normalise({**config, **reply}.get(name), name) for name in CONFIG}
    found["members"] = [[member["host"], *(normalise(member.get(name), name) for name in CONFIG_MEMBER)] for member in config["members"]]
    return found


def lasting(track: Track, end: float, brief: float = BRIEF) -> list[Any]:
    """The values without brief ones; the last one always."""
    values: list[Any] = []
    for number, (since, value) in enumerate(track):
        last = number == len(track) - 1
        until = end if last else track[number + 1][0]
        if (last or until - since >= brief) and (not values or values[-1] != value):
            values.append(value)
    return values


def differences(recorded: Sequence[Change], seen: Sequence[Change], recorded_end: float, seen_end: float, speed: float) -> list[str]:
    """How what was seen differs from what was recorded. Ends: seconds of the server's clock that the polls lasted."""
    found = []
    expected, actual = tracks(recorded), tracks(seen)
    for key, track in expected.items():
        name = " ".join(key)
        if key not in actual:
            found.append(f"{name}: never seen, recorded {[value for _at, value in track]}")
            continue
        brief = max(BRIEF_OF_OTHERS if key[1] == "replSetGetStatus" and " " in key[2] else BRIEF, BUSY * speed)
        want, have = lasting(track, recorded_end, brief), lasting(actual[key], seen_end, brief)
        every, all_seen = [value for _at, value in track], [value for _at, value in actual[key]]
        if have[-1] != want[-1]:
            found.append(f"{name}: at last {have[-1]!r}, recorded {want[-1]!r}; all: {_shown(actual[key])} / {_shown(track)}")
        elif not _is_within(want, all_seen) or not _is_within(have, every):
            found.append(f"{name}: order {_shown(actual[key])}, recorded {_shown(track)}")
    return found


def settled(recorded: Sequence[Change], seen: Sequence[Change]) -> bool:
    """Whether every field has the value that the recorded poll ended with."""
    expected, actual = tracks(recorded), tracks(seen)
    return all(key in actual and actual[key][-1][1] == track[-1][1] for key, track in expected.items())


def _is_within(part: Sequence[Any], whole: Sequence[Any]) -> bool:
    """Whether the values occur in the whole, in their order."""
    remaining = iter(whole)
    return all(any(value == other for other in remaining) for value in part)


def _shown(track: Track) -> str:
    return ", ".join(f"{value!r} at {at:.1f}" for at, value in track)
