# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed, as data for a task's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import health
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import MemberObservation, Observation, behind


def cluster_data(found: Observation, configuration: Mapping[str, Any] | None) -> dict[str, Any]:
    """The cluster for a task's result."""
    leader = found.leader
    return {
        "leader": leader.name if leader else "",
        "timeline": leader.timeline if leader else None,
        "system_id": next((member.system_id for member in found.members if member.system_id), ""),
        "paused": any(member.paused for member in found.members),
        "failsafe": any(member.failsafe for member in found.members),
        "scheduled_switchover": found.scheduled_switchover,
        "others": sorted(entry.name for entry in found.listed or () if found.member(entry.name) is None),
        "configuration": dict(configuration or {}),
        "members": [member_data(member, found) for member in found.members],
    }


def member_data(member: MemberObservation, found: Observation) -> dict[str, Any]:
    """One member for a task's result."""
    leader = found.leader
    entry = found.entry(member.name)
    return {
        "name": member.name,
        "role": entry.role if entry else member.role,
        "state": health.state(found, member.name),
        "error": member.error,
        "timeline": member.timeline,
        "lag_bytes": behind(member, leader) if leader and leader is not member else None,
        "synchronous": member.synchronous,
        "pending_restart": list(member.pending_restart),
        "server_version": member.server_version,
        "patroni_version": member.patroni_version,
        "started": member.started,
    }
