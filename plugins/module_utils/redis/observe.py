# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every server and every sentinel, all at the same time, and joins what they say into one observation."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import ANSWER_TIMEOUT, WRONG_LOGIN, Endpoint, Refused
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation, Sentinel, Server, Trouble
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Fleet, ask_all

# Seconds for a member that was silent the last time: the others are not held up by it again and again.
SHORT_TIMEOUT = 1.0


class Observer:
    """Asks the same members again and again. timeout: seconds for a member's answer."""

    def __init__(self, fleet: Fleet, timeout: float = ANSWER_TIMEOUT) -> None:
        self._fleet, self._timeout = fleet, timeout
        self._silent: set[str] = set()

    def observe(self) -> Observation:
        """Ask everybody once. A member that does not answer is part of the answer; never raises StackgateError."""
        fleet = self._fleet
        answers = ask_all((*fleet.servers.values(), *fleet.sentinels.values()), self._one)
        servers, sentinels = [], []
        for name, endpoint in fleet.servers.items():
            answer = answers[name]
            servers.append(answer if isinstance(answer, Server) else self._not_asked(Server, endpoint, answer))
        for name, endpoint in fleet.sentinels.items():
            answer = answers[name]
            sentinels.append(answer if isinstance(answer, Sentinel) else self._not_asked(Sentinel, endpoint, answer))
        self._silent = {one.name for one in (*servers, *sentinels) if one.trouble is Trouble.UNREACHABLE}
        told = {sentinel.master for sentinel in sentinels} | {k.address for s in sentinels for k in (*s.replicas, *s.others)}
        return Observation(fleet.request.name, tuple(servers), tuple(sentinels), {one: fleet.name_of(one) for one in told if one})

    def _one(self, endpoint: Endpoint) -> Server | Sentinel:
        timeout = min(SHORT_TIMEOUT, self._timeout) if endpoint.name in self._silent else self._timeout
        if endpoint.name in self._fleet.servers:
            return observation.server(endpoint.name, endpoint.address, endpoint.command("INFO", timeout=timeout))
        return look_at_sentinel(endpoint, self._fleet.request.name, timeout)

    def _not_asked(self, make: Any, endpoint: Endpoint, answer: Any) -> Any:
        """The view of a member that could not be asked, with the node of one that is not reachable."""
        silent = _silent(make, endpoint, answer)
        if silent.trouble is not Trouble.UNREACHABLE:
            return silent
        node = self._fleet.node(endpoint.name)
        return dataclasses.replace(silent, error=f"{silent.error} (its pod is on node {node})") if node else silent


def look_at_sentinel(endpoint: Endpoint, name: str, timeout: float = ANSWER_TIMEOUT) -> Sentinel:
    """What one sentinel says. Raises Refused, Unreachable."""
    asked = {
        "INFO": ("INFO",),
        "MASTER": ("SENTINEL", "MASTER", name),
        "ADDRESS": ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name),
        "REPLICAS": ("SENTINEL", "REPLICAS", name),
        "SENTINELS": ("SENTINEL", "SENTINELS", name),
        "CKQUORUM": ("SENTINEL", "CKQUORUM", name),
    }
    replies: dict[str, Any] = dict(zip(asked, endpoint.ask(list(asked.values()), timeout), strict=True))
    for command, reply in replies.items():
        if isinstance(reply, Refused) and command != "CKQUORUM":
            # "No such master with that name" of SENTINEL MASTER is a state; any other refusal is trouble.
            if reply.code != "ERR" or "No such master" not in reply.message:
                raise reply
            replies[command] = None
    refused = replies["CKQUORUM"]
    replies["CKQUORUM"] = refused.seen if isinstance(refused, Refused) else ""
    return observation.sentinel(endpoint.name, endpoint.address, replies)


def _silent(make: Any, endpoint: Endpoint, answer: Any) -> Any:
    """The view of a member that could not be asked."""
    error = answer.seen if isinstance(answer, StackgateError) else str(answer)
    trouble = Trouble.UNREACHABLE
    if isinstance(answer, Refused):
        trouble = Trouble.WRONG_PASSWORD if answer.code in WRONG_LOGIN else Trouble.LOADING if answer.code == "LOADING" else Trouble.REFUSED
    return make(name=endpoint.name, address=endpoint.address, trouble=trouble, error=error)
