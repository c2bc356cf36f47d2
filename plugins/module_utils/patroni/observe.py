# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every member for itself, all at the same time, and joins what they say into one observation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Member, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import MemberObservation, Observation


def observe(members: Members) -> Observation:
    """Ask everybody once. A member that does not answer is part of the answer; never raises StackgateError."""

    def status(member: Member) -> Any:
        return member.get("/patroni", members.timeout)

    def cluster(member: Member) -> Any:
        return member.get("/cluster", members.timeout)

    answers = members.ask(status, cluster)
    found = tuple(_member(name, own) for name, (own, _cluster) in answers.items())
    listing = _listing(answers, found)
    return Observation(
        members.scope,
        found,
        None if listing is None else observation.listed_of(listing),
        "" if listing is None else observation.scheduled_of(listing),
    )


def configuration(members: Members, found: Observation) -> Mapping[str, Any] | None:
    """The dynamic configuration, from whoever tells it first, the leader before others; None when there is none yet."""
    order = sorted((member for member in found.members if member.reachable), key=lambda member: member.name != found.holder)
    error: StackgateError | None = None
    for member in order:
        try:
            answer: Mapping[str, Any] = members[member.name].get("/config", members.timeout)
            return answer
        except StackgateError as refused:
            if getattr(refused, "status", None) == 502:  # Patroni's word for: the store of truth has none
                return None
            error = refused
    if error is not None:
        raise error
    return None


def _member(name: str, answer: Any) -> MemberObservation:
    if isinstance(answer, StackgateError):
        return MemberObservation(name, error=answer.seen.removeprefix(f"{name}: "))
    return observation.member_of(name, answer)


def _listing(answers: Mapping[str, Any], found: tuple[MemberObservation, ...]) -> Mapping[str, Any] | None:
    """What /cluster says, preferably by the word of a member that takes writes: it is the one that writes there."""
    told = {name: cluster for name, (_own, cluster) in answers.items() if not isinstance(cluster, StackgateError)}
    writable = [member.name for member in found if member.writable and member.name in told]
    # The freshest look is that of a member that has seen the store of truth last.
    seen = sorted(told, key=lambda name: -(next(m.dcs_last_seen or 0 for m in found if m.name == name)))
    return next((told[name] for name in (*writable, *seen)), None)
