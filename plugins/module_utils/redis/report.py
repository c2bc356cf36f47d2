# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed, as words for a line and as data for a task's result."""

from __future__ import annotations

from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.health import behind
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Sentinel, Server


def states(observed: Observation) -> str:
    """All members' states on one line."""
    return ", ".join(f"{one.name} {_state(one, observed)}" for one in observed.members) or "nobody was asked"


def _state(one: Server | Sentinel, observed: Observation) -> str:
    if one.trouble:
        return f"{one.trouble.value} ({one.error})"
    if isinstance(one, Sentinel):
        return one.busy or f"names {observed.name_of(one.master) or 'nobody'}"
    if one.is_master:
        return "master"
    return "replica" if one.link_up else "replica without a link"


def data(observed: Observation) -> dict[str, Any]:
    """The servers and sentinels for a task's result."""
    master = observed.master
    return {
        "master": master.name if master else "",
        "epoch": observed.epoch,
        "servers": [_server(server, observed) for server in observed.servers],
        "sentinels": [_sentinel(sentinel, observed) for sentinel in observed.sentinels],
    }


def _server(server: Server, observed: Observation) -> dict[str, Any]:
    master = observed.master
    return {
        "name": server.name,
        "address": server.address,
        "trouble": server.trouble.value,
        "error": server.error,
        "role": server.role,
        "follows": observed.name_of(server.master) if server.master else "",
        "link_up": server.link_up,
        "offset": server.offset,
        "lag_bytes": behind(server, master) if master and server.role else None,
        "priority": server.priority,
        "version": server.version,
        "uptime_s": server.uptime_s,
    }


def _sentinel(sentinel: Sentinel, observed: Observation) -> dict[str, Any]:
    return {
        "name": sentinel.name,
        "address": sentinel.address,
        "trouble": sentinel.trouble.value,
        "error": sentinel.error,
        "master": observed.name_of(sentinel.master) if sentinel.master else "",
        "epoch": sentinel.epoch,
        "flags": sorted(sentinel.flags),
        "tilt": sentinel.tilt,
        "quorum": sentinel.quorum,
        "quorum_error": sentinel.quorum_error,
        "replicas": sorted(observed.name_of(known.address) for known in sentinel.replicas),
        "sentinels": sorted(observed.name_of(known.address) for known in sentinel.others),
        "version": sentinel.version,
    }
