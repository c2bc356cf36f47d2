# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two servers' answers have in common: everything but identities, dates and counters, whose presence and type count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId, Timestamp

# Values that differ from run to run: only their type is compared.
VARYING = frozenset(
    {
        *("connectionId", "counter", "uptime", "pingMs", "keyId", "pid", "t", "i", "electionTerm", "priorityAtElection"),
        *("sizeOnDisk", "totalSize", "totalSizeMb", "numCatchUpOps", "payload", "syncSourceId", "initialSyncAttempts"),
        *("remainingQuiesceTimeMillis", "infoMessage", "totalInitialSyncElapsedMillis", "syncSourceUnreachableSince"),
        *("elapsedMillis", "durationMillis", "approxTotalBytesCopied", "approxTotalDataSize", "totalTimeUnreachableMillis"),
        # One's own term or another's: -1 (none) and 0 (before the first election) are told apart from all others below.
        *("term", "configTerm", "lastCommittedTerm"),
        # A member syncs from any other.
        *("syncSourceHost",),
    }
)
TERMS = frozenset({"term", "configTerm", "t"})
# A version that a forced reconfiguration made: a random jump of tens of thousands.
JUMP = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = (
    (re.compile(r"Timestamp\(\d+, \d+\)"), "Timestamp(N, N)"),
    (re.compile(r'UUID\("[0-9a-f-]+"\)'), "UUID(X)"),
    (re.compile(r"BinData\(\d+, [0-9A-F]*\)"), "BinData(X)"),
    (re.compile(r"ObjectId\('[0-9a-f]+'\)"), "ObjectId(X)"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "<identity>"),
    (re.compile(r"keyId: -?\d+"), "keyId: N"),
    (re.compile(r"\bterm: [1-9]\d*"), "term: N"),
    (re.compile(r"\bt: [1-9]\d*"), "t: N"),
    (re.compile(r"(version|configVersion): \d{5,}"), r"\1: J"),
    (re.compile(r"(Request|RemoteCommand) \d+"), r"\1 N"),
    (re.compile(r"configTerm: [1-9]\d*"), "configTerm: N"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}([+-]\d{4}|Z)?"), "<date>"),
    (re.compile(r"wall clock time, \d+"), "wall clock time, N"),
)
FAILURES = re.compile(r", (?=[\w.-]+:\d+ failed with )")


def normalise(value: Any, key: str = "", *, exact_types: bool = False) -> Any:
    """The part of a value that two runs share. exact_types: a long is told apart from an int (canonical recordings)."""
    if isinstance(value, Mapping):
        return {name: normalise(item, name, exact_types=exact_types) for name, item in value.items()}
    if isinstance(value, list):
        return [normalise(item, key, exact_types=exact_types) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, ObjectId):
        return "<ObjectId>"
    if isinstance(value, Timestamp):
        return "<Timestamp>" if value.time else "<Timestamp 0>"
    if isinstance(value, datetime):
        return "<date 0>" if value.replace(tzinfo=UTC) == EPOCH else "<date>"
    if isinstance(value, bytes):
        return f"<binary {getattr(value, 'subtype', 0)}>"
    kind = ("long" if exact_types and isinstance(value, Int64) else "int") if isinstance(value, int) else type(value).__name__
    if key in VARYING and not (key in TERMS and value in (-1, 0)):
        return f"<{kind}>"
    if isinstance(value, int):
        if key in ("version", "setVersion", "configVersion") and value > JUMP:
            return f"<{kind} after a jump>"
        return f"{value} ({kind})" if exact_types else int(value)
    if isinstance(value, str):
        return text(value)
    return value


def text(message: str) -> str:
    """A message without what differs from run to run."""
    for pattern, replacement in TEXTS:
        message = pattern.sub(replacement, message)
    start, marker, failed = message.partition("did not respond affirmatively: ")
    # In the order in which they failed.
    return start + marker + ", ".join(sorted(FAILURES.split(failed)))


def differences(expected: Any, seen: Any, path: str = "") -> list[str]:
    """How a normalised answer differs from the recorded one; empty: not at all."""
    if isinstance(expected, Mapping) and isinstance(seen, Mapping):
        found = [f"{path}{name}: missing, recorded {item!r}" for name, item in expected.items() if name not in seen]
        found += [f"{path}{name}: {item!r}, not recorded" for name, item in seen.items() if name not in expected]
        for name, item in expected.items():
            if name in seen:
                found += differences(item, seen[name], f"{path}{name}.")
        return found
    if isinstance(expected, list) and isinstance(seen, list):
        if len(expected) != len(seen):
            return [f"{path[:-1]}: {len(seen)} elements, recorded {len(expected)}: {seen!r} / {expected!r}"]
        return [line for number, pair in enumerate(zip(expected, seen, strict=True)) for line in differences(*pair, f"{path}{number}.")]
    if type(expected) is not type(seen) or expected != seen:
        return [f"{path[:-1]}: {seen!r}, recorded {expected!r}"]
    return []


def without(document: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """The document without fields; "members.x" takes x out of the document or of each element of the list `members`."""
    result = dict(document)
    for path in paths:
        name, _dot, rest = path.partition(".")
        if name not in result:
            continue
        if not rest:
            del result[name]
        elif isinstance(result[name], Mapping):
            result[name] = without(result[name], [rest])
        elif isinstance(result[name], list):
            result[name] = [without(item, [rest]) if isinstance(item, Mapping) else item for item in result[name]]
    return result


def reduced(recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both with the fields that both have: for replies of hundreds of counters, of which the double has those that clients read."""
    shared = [name for name in recorded if name in seen]
    left, right = {}, {}
    for name in shared:
        one, other = recorded[name], seen[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            left[name], right[name] = reduced(one, other)
        else:
            left[name], right[name] = _type_name(one), _type_name(other)
    return left, right


def _type_name(value: Any) -> str:
    return "int" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__
