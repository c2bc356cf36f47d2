# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed, as words for a progress line and as data for a task's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing


def short(host: str) -> str:
    """The first part of a name, which is the pod's; an IPv4 address and a port stay as they are."""
    name, _colon, port = host.rpartition(":")
    first = name.partition(".")[0]
    return host if not name or first.isdigit() else (first if port == "27017" else f"{first}:{port}")


def state(member: MemberObservation) -> str:
    """One member's state in a few words."""
    if member.standing is Standing.UNREACHABLE:
        return f"unreachable ({member.error})"
    return member.state if member.standing is Standing.MEMBER else member.standing.value


def states(observed: Observation, names: Mapping[str, str] | None = None) -> str:
    """All members' states on one line. names: host to name."""
    known = names or {}
    told = (f"{known.get(member.host) or short(member.host)} {state(member)}" for member in observed.members)
    return ", ".join(told) or "no member was asked"


def member_data(member: MemberObservation, name: str, now_committed: Any = None) -> dict[str, Any]:
    """A member for a task's result. Lag: seconds behind now_committed, the primary's last write."""
    behind = None
    if now_committed is not None and member.optime_date is not None and member.state == "SECONDARY":
        behind = max(round((now_committed - member.optime_date).total_seconds(), 3), 0.0)
    configured = member.config.member(member.host) if member.config else None
    return {
        "name": name,
        "host": member.host,
        "standing": member.standing.value,
        "state": member.state,
        "error": member.error,
        "set_id": member.set_id,
        "set_name": member.set_name,
        "config_version": member.config.version if member.config else None,
        "config_term": member.config.term if member.config else None,
        "priority": configured.priority if configured else None,
        "votes": configured.votes if configured else None,
        "hidden": configured.hidden if configured else None,
        "arbiter": configured.arbiter if configured else None,
        "secondary_delay_s": configured.delay_s if configured else None,
        "primary": member.primary,
        "lag_s": behind,
        "version": ".".join(str(number) for number in member.version) if member.version else None,
        "clock_offset_s": None if member.clock_offset_s is None else round(member.clock_offset_s, 3),
    }


def set_data(observed: Observation, names: Mapping[str, str]) -> dict[str, Any]:
    """The set and its members for a task's result. names: host to name."""
    primary, config = observed.primary, observed.config
    last = primary.optime_date if primary else None
    return {
        "set_id": config.set_id if config else next(iter(observed.sets), None),
        "primary": names.get(primary.host, primary.host) if primary else None,
        "config": plain(config.document) if config else None,
        "feature_compatibility_version": "{}.{}".format(*primary.fcv) if primary and primary.fcv else None,
        "members": [member_data(member, names.get(member.host, member.host), last) for member in observed.members],
    }


def plain(value: Any) -> Any:
    """A document without BSON's own types, which a task's result cannot carry."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)
