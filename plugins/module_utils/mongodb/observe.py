# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every member for itself, all at the same time, and joins what they say into one observation."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import ANSWER_TIMEOUT, Member, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    NOT_A_MEMBER,
    UNINITIALISED,
    MemberObservation,
    Observation,
)

# Seconds for a member that was silent the last time: the others are not held up by it again and again.
SHORT_TIMEOUT = 1.0

FEATURE_COMPATIBILITY: Mapping[str, Any] = {"getParameter": 1, "featureCompatibilityVersion": 1}


class Observer:
    """Asks the same members again and again.

    hosts: who is asked in any case; members of the set that these name are asked, too. set_name: the set that is wanted.
    timeout: seconds for a member's answer.
    """

    def __init__(self, members: Members, set_name: str, hosts: Iterable[str], timeout: float = ANSWER_TIMEOUT) -> None:
        self._members = members
        self._set_name = set_name
        self._hosts = tuple(hosts)
        self._others: tuple[str, ...] = ()
        self._timeout = timeout
        self._silent: set[str] = set()
        # What a running server does not change, by its host and the identity of its process.
        self._builds: dict[str, Mapping[str, Any]] = {}

    def observe(self) -> Observation:
        """Ask everybody once. A member that does not answer is part of the answer; never raises StackgateError."""
        asked = self._ask((*self._hosts, *self._others))
        configured = {host for one in asked.values() if one.config for host in one.config.hosts}
        asked.update(self._ask(configured - asked.keys()))
        self._others = tuple(sorted(configured - set(self._hosts)))
        wanted = (*self._hosts, *self._others)
        self._silent = {host for host in wanted if not asked[host].reachable}
        return observation.observe(self._set_name, [asked[host] for host in wanted], datetime.datetime.now(datetime.UTC))

    def _ask(self, hosts: Iterable[str]) -> dict[str, MemberObservation]:
        answers = self._members.ask(self._one, hosts)
        return {
            host: observation.observe_member(host, {"hello": {"errmsg": answer.seen}})
            if not isinstance(answer, MemberObservation)
            else answer
            for host, answer in answers.items()
        }

    def _one(self, member: Member) -> MemberObservation:
        timeout = min(SHORT_TIMEOUT, self._timeout) if member.host in self._silent else self._timeout
        begun = time.time()
        try:
            hello = member.hello(timeout)
        except CommandFailed as error:  # 91: it is shutting down
            return observation.observe_member(member.host, {"hello": error.reply})
        offset = _offset(hello.get("localTime"), begun, time.time())
        try:
            replies = self._interview(member, hello, timeout)
            if "setName" not in hello and replies["replSetGetStatus"].get("ok") == 1:  # it has just become a member
                replies = self._interview(member, member.hello(timeout), timeout)
        except Unreachable as error:  # it went away between two questions
            return observation.observe_member(member.host, {"hello": {"errmsg": error.reason}})
        return observation.observe_member(member.host, replies, logged_in=member.logged_in, clock_offset_s=offset)

    def _interview(self, member: Member, hello: Mapping[str, Any], timeout: float) -> dict[str, Mapping[str, Any]]:
        """The replies by command; a refused command has its error document."""
        replies: dict[str, Mapping[str, Any]] = {"hello": hello}

        def ask(body: Mapping[str, Any], login: bool = False) -> Any:
            name = next(iter(body))
            try:
                replies[name] = member.command(body, timeout=timeout, login=login)
            except CommandFailed as error:
                replies[name] = error.reply
            return replies[name].get("code")

        writable = bool(hello.get("isWritablePrimary"))
        # Where the status needs no login, as through the localhost exception, a login for the rest would be refused again.
        code = ask({"replSetGetStatus": 1}, login=True)
        ask({"replSetGetConfig": 1, **({"commitmentStatus": True} if writable else {})})
        process = f"{member.host} {(hello.get('topologyVersion') or {}).get('processId')}"
        if process in self._builds:
            replies["buildInfo"] = self._builds[process]
        else:
            ask({"buildInfo": 1})
            self._builds[process] = replies["buildInfo"]
        if code == UNINITIALISED:
            ask({"serverStatus": 1})
        if code in (UNINITIALISED, NOT_A_MEMBER):
            ask({"getCmdLineOpts": 1})
        if code == UNINITIALISED or writable:
            ask(FEATURE_COMPATIBILITY)
        if writable:
            ask({"getDefaultRWConcern": 1})
        return replies


def _offset(there: Any, begun: float, ended: float) -> float | None:
    """Seconds by which a member's clock is ahead of ours, at best known to half the time that the question took."""
    return None if there is None else there.timestamp() - (begun + ended) / 2
