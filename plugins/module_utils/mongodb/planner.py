# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: from what was seen of all members to the replica set that is wanted. Pure.

`plan` has no memory. Whoever carries it out takes its first step only, observes again and asks for a new plan; so an interruption,
an election or somebody else's change between two steps needs no case of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.judgement import (
    initiation,
    judge,
    listed,
    named,
    trouble,
    without_primary,
)
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.membership import Next, next_change
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.prediction import predict
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Plan, Refusal, Step

ALL = "all"
SHRINK = "shrink"


def plan(found: Observation, desired: DesiredSet, consents: Collection[str] = (), phase: str = ALL) -> Plan:
    """All steps to the desired set, each from what the step before it is expected to lead to.

    phase: `all`; `shrink` takes away the members that are not asked for and does nothing else.
    """
    steps: list[Step] = []
    warnings = tuple(_warnings(found, desired))
    # Each member costs at most a handful of steps; more than that would be steps that undo each other.
    limit = 20 + 10 * (len(desired.members) + (len(found.config.members) if found.config else 0))
    while True:
        following = next_step(found, desired, consents, phase)
        if following is None:
            return Plan(tuple(steps), None, warnings)
        if isinstance(following, Refusal):
            return Plan(tuple(steps), following, warnings)
        steps.append(following)
        if len(steps) > limit:
            raise RuntimeError(f"the plan does not end: {'; '.join(step.sentence for step in steps[-6:])}")
        predicted = predict(found, following)
        if following.waits and predicted == found:
            # What is behind the wait cannot be foreseen: the set's configuration is shown to users only, and there is none yet.
            return Plan(tuple(steps), None, warnings)
        found = predicted


def next_step(found: Observation, desired: DesiredSet, consents: Collection[str] = (), phase: str = ALL) -> Next:
    """The first step of the plan, why there is none, or None when there is nothing to do."""
    if phase == SHRINK:
        config = found.config
        if not found.initialised or (config is not None and set(config.hosts) <= set(desired.hosts)):
            return None
        # Who is yet to be added may not even run yet.
        desired = dataclasses.replace(desired, members=tuple(m for m in desired.members if config is None or config.member(m.host)))
    if refusal := judge(found, desired, consents):
        return refusal
    if not found.initialised:
        return initiation(found, desired, consents)
    config = found.config
    if config is None:
        return Step(Kind.WAIT_FOR_PRIMARY, f"wait until the set {desired.name} has a primary")
    if found.primary is None:
        return without_primary(found, desired, config, consents)
    return next_change(found, desired, grow=phase != SHRINK)


def foresee(found: Observation, steps: Iterable[Step]) -> Observation:
    """What will be seen once all these steps have succeeded."""
    for step in steps:
        found = predict(found, step)
    return found


def _warnings(found: Observation, desired: DesiredSet) -> Iterator[str]:
    """What does not stop a plan, and should be known."""
    config = found.config
    for member in desired.members:
        entry = config.member(member.host) if config else None
        if entry is None:
            continue
        if found.standing(member.host) in (Standing.UNREACHABLE, Standing.REMOVED):
            yield f"{member.name} {trouble(found, member.host)}"
        if member.needs_adding_anew(entry):
            # The server does not empty it: it would go on with the data, or without the indexes, that it has.
            yield f"{member.name} is removed and added anew in another role: give it an empty volume in between, or it keeps what it has"
    wanted = ReplicaSetConfig({"_id": desired.name, "members": [m.document(i, "") for i, m in enumerate(desired.members)]})
    writable = [voter for voter in wanted.voters if voter.writable_voter]
    if wanted.arbiters and len(writable) - 1 < wanted.majority:
        yield (
            f"with {listed(named(desired, m.host) for m in wanted.arbiters)} as arbiter, writes with w: majority stop as soon as one of "
            f"{listed(named(desired, m.host) for m in writable)} is down"
        )
