# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and sentinels in order, to be altered; and a small model of how sentinels forget and find."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Observation, Replica, Sentinel, Server
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.plan import Kind, Step


def server_address(number: int) -> str:
    return f"10.43.0.{number}:6379"


def sentinel_address(number: int) -> str:
    return f"10.43.1.{number}:26379"


def whole(servers: int = 3, sentinels: int = 3, master: int = 0) -> Observation:
    """Everything in order; redis-<master> is master."""
    made = tuple(
        Server(
            f"redis-{n}",
            server_address(n),
            role="master" if n == master else "slave",
            offset=1000,
            master="" if n == master else server_address(master),
            link_up=n != master,
            replicas=tuple(Replica(server_address(r), offset=1000) for r in range(servers) if r != master) if n == master else (),
            version="7.0.15",
            uptime_s=100,
        )
        for n in range(servers)
    )
    watching = tuple(
        Sentinel(
            f"redis-sentinel-{n}",
            sentinel_address(n),
            master=server_address(master),
            flags=frozenset({"master"}),
            epoch=4,
            quorum=sentinels // 2 + 1,
            down_after_ms=2500,
            failover_timeout_ms=10000,
            parallel_syncs=1,
            replicas=tuple(Known(server_address(r)) for r in range(servers) if r != master),
            others=tuple(Known(sentinel_address(o)) for o in range(sentinels) if o != n),
        )
        for n in range(sentinels)
    )
    return Observation("redis", made, watching)


def with_server(observation: Observation, number: int, **changes: Any) -> Observation:
    """One server altered."""
    servers = list(observation.servers)
    servers[number] = dataclasses.replace(servers[number], **changes)
    return dataclasses.replace(observation, servers=tuple(servers))


def with_sentinel(observation: Observation, number: int, **changes: Any) -> Observation:
    """One sentinel altered."""
    sentinels = list(observation.sentinels)
    sentinels[number] = dataclasses.replace(sentinels[number], **changes)
    return dataclasses.replace(observation, sentinels=tuple(sentinels))


def knowing(observation: Observation, *addresses: str, flags: frozenset[str] = frozenset({"s_down"})) -> Observation:
    """All sentinels know these besides: of port 6379 as replicas, others as sentinels."""
    for number, sentinel in enumerate(observation.sentinels):
        replicas = tuple(Known(a, flags) for a in addresses if a.endswith(":6379"))
        others = tuple(Known(a, flags) for a in addresses if not a.endswith(":6379"))
        observation = with_sentinel(observation, number, replicas=sentinel.replicas + replicas, others=sentinel.others + others)
    return observation


def after(observation: Observation, step: Step) -> Observation:
    """What the sentinels say after a step: one that is reset knows nobody until something is waited for."""
    numbers = {sentinel.name: n for n, sentinel in enumerate(observation.sentinels)}
    number = numbers.get(step.target, -1)
    order = whole(len(observation.servers), len(observation.sentinels), _master(observation))
    if step.kind is Kind.FORGET:
        return with_sentinel(observation, number, replicas=(), others=(), quorum_error="NOQUORUM 1 usable Sentinels")
    if step.kind is Kind.SET:
        words = step.commands[0][3:]
        changed = dict(zip(words[::2], words[1::2], strict=True))
        fields = {"quorum": "quorum", "down-after-milliseconds": "down_after_ms"}
        return with_sentinel(observation, number, **{fields[str(name)]: value for name, value in changed.items()})
    if step.kind is Kind.MONITOR:
        return with_sentinel(observation, number, master=order.sentinels[number].master, epoch=4, flags=frozenset({"master"}), quorum=2)
    if step.kind is Kind.ENLIST:
        return with_server(observation, [one.name for one in observation.servers].index(step.target), priority=100)
    if step.kind is Kind.WAIT:  # who was reset, or has just begun, finds the other sentinels first, then the replicas
        for n, sentinel in enumerate(observation.sentinels):
            found = order.sentinels[n]
            if sentinel.quorum_error:
                observation = with_sentinel(observation, n, others=found.others, quorum_error="")
            elif observation.unknown_to(sentinel):
                observation = with_sentinel(observation, n, others=found.others, replicas=found.replicas)
        return observation
    raise AssertionError(step)


def _master(observation: Observation) -> int:
    return next(n for n, server in enumerate(observation.servers) if server.is_master)
