# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will be seen once a step has succeeded. Pure: it is how --check shows the whole plan, and how the plan knows where it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Step


def predict(found: Observation, step: Step) -> Observation:
    """The observation after the step: everybody who answers has the new configuration, and what is waited for has come."""
    if step.kind is Kind.SET_DEFAULT_WRITE_CONCERN:
        return _each(found, lambda member: dataclasses.replace(member, default_write_concern_set=True))
    if step.kind is Kind.WAIT_FOR_CONFIG:
        return _each(found, lambda member: dataclasses.replace(member, commitment=None, voting_count=None))
    if step.kind is Kind.WAIT_FOR_MEMBER:
        return _each(found, lambda member: _started(member, found.config) if member.host == step.target else member)
    if step.kind is Kind.WAIT_FOR_PRIMARY:
        return _elected(_each(found, lambda member: _started(member, found.config)))
    if step.kind is Kind.STEP_DOWN:
        deposed = _each(found, lambda m: dataclasses.replace(m, state="SECONDARY", writable=False) if m.host == step.target else m)
        return _elected(deposed, but=step.target)
    after = step.after
    if after is None:
        raise ValueError(f"a step of kind {step.kind.value} changes the configuration")
    installed = _each(found, lambda member: _installed(member, after, step))
    return _elected(installed) if step.kind is Kind.FORCE_RECONFIGURATION else installed


def _each(found: Observation, change: Callable[[MemberObservation], MemberObservation]) -> Observation:
    return dataclasses.replace(found, members=tuple(change(member) for member in found.members))


def _installed(member: MemberObservation, config: ReplicaSetConfig, step: Step) -> MemberObservation:
    """The member once it has learnt of the configuration."""
    if member.standing not in (Standing.MEMBER, Standing.UNINITIALISED, Standing.REMOVED):
        return member
    entry = config.member(member.host)
    if entry is None:
        if member.standing is Standing.UNINITIALISED:
            return member
        return dataclasses.replace(member, standing=Standing.REMOVED, state="", writable=False, config=config)
    state = member.state if member.standing is Standing.MEMBER else "ARBITER" if entry.arbiter else "STARTUP2"
    if step.kind is Kind.INITIATE and member.host == step.target:
        state = "SECONDARY"
    return dataclasses.replace(
        member,
        standing=Standing.MEMBER,
        state=state,
        me=member.host,
        set_name=config.name,
        config=config,
        commitment=None,
        voting_count=None,
        has_user_data=None,
    )


def _started(member: MemberObservation, config: ReplicaSetConfig | None) -> MemberObservation:
    """The member once it follows the set: one of the set that answers, whatever it is doing now."""
    entry = config.member(member.host) if config else None
    if entry is None or not member.reachable or member.state in ("PRIMARY", "SECONDARY", "ARBITER"):
        return member
    state = "ARBITER" if entry.arbiter else "SECONDARY"
    return dataclasses.replace(member, standing=Standing.MEMBER, state=state, config=config, set_name=config.name if config else None)


def _elected(found: Observation, but: str = "") -> Observation:
    """With the electable member of the highest priority as primary, the first of equals; `but` for one that has just stepped down."""
    config = found.config
    if config is None:
        return found
    ready = [member for member in config.electable if member.host != but and found.sound(member.host)]
    chosen = max(ready, key=lambda member: member.priority, default=None)
    if chosen is None:
        return found
    # As the primary that was there saw it: a property of the set, that only a primary is asked for.
    known = any(member.default_write_concern_set for member in found.members) or None
    return _each(
        found,
        lambda member: (
            dataclasses.replace(member, state="PRIMARY", writable=True, default_write_concern_set=known)
            if member.host == chosen.host
            else member
        ),
    )
