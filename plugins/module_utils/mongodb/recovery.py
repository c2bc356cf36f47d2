# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going on without a majority: who is left, who of them has the most, what would be lost, and the configuration to force. Pure.

A set that has lost a majority of its voters for good elects nobody. A forced reconfiguration makes the survivors a set of their own; it
may lose writes that a majority had acknowledged, so that it is proposed with its evidence, and carried out only by explicit consent.
A forced configuration that two survivors get differently would split the set: it is sent to one member only, the one with the most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import DELAY, OLD_DELAY, Member, ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, OpTime, Standing

CONSENT = "forced_reconfiguration"


@dataclass(frozen=True)
class Survivor:
    """A member that answers and has data. behind_s: seconds by which its last write is older than the best one's."""

    host: str
    state: str
    optime: OpTime
    committed: OpTime | None
    behind_s: int

    def __str__(self) -> str:
        behind = f", {self.behind_s} s behind" if self.behind_s else ""
        return f"{self.host} ({self.state}): last write {_place(self.optime)}{behind}"


@dataclass(frozen=True)
class Recovery:
    """What a forced reconfiguration would do.

    survivors: the best first. missing: host -> why it does not answer. lost: what may be lost, as sentences.
    config: what is sent, with force, to the best one.
    """

    survivors: tuple[Survivor, ...]
    missing: Mapping[str, str]
    lost: tuple[str, ...]
    config: ReplicaSetConfig

    @property
    def best(self) -> Survivor:
        """The survivor with the newest write, by term and then time: the server's own order."""
        return self.survivors[0]

    def report(self) -> str:
        """The evidence for people, of several lines."""
        return "\n".join(
            [
                "do not answer: " + "; ".join(f"{host} ({why})" if why else host for host, why in self.missing.items()),
                "answer, the newest data first: " + "; ".join(map(str, self.survivors)),
                f"with the consent {CONSENT} the set goes on with {', '.join(self.config.hosts)}, beginning from {self.best.host}",
                *(f"may be lost: {sentence}" for sentence in self.lost),
            ]
        )

    def data(self) -> dict[str, Any]:
        """The evidence for a task's result."""
        return {
            "best": self.best.host,
            "survivors": [
                {
                    "host": survivor.host,
                    "state": survivor.state,
                    "term": survivor.optime.term,
                    "last_write": _time(survivor.optime.seconds),
                    "increment": survivor.optime.increment,
                    "behind": survivor.behind_s,
                }
                for survivor in self.survivors
            ],
            "missing": dict(self.missing),
            "lost": list(self.lost),
            "members": list(self.config.hosts),
        }


def assess(observation: Observation) -> Recovery | None:
    """The way on for a set that has lost its majority; None when it has not, or when no member is left that has data.

    A voter that answers counts, whatever its state: a restart, a key file or time may bring it back, and force is not the cure. So does
    one that does not answer us, and does answer another member: then the way from here to it is broken, and not the set.
    """
    config = observation.config
    if config is None or len(observation.sets) > 1 or any(member.writable or member.primary for member in observation.members):
        return None
    missing = {member.host: _why(observation, member.host) for member in config.members if not _answers(observation, member.host)}
    if len(config.voters) - sum(voter.host in missing for voter in config.voters) >= config.majority:
        return None
    found = [member for member in observation.members if _has_data(member, config)]
    if not found:
        return None
    found.sort(key=lambda member: _rank(member, config), reverse=True)
    newest = found[0].optime or OpTime(-1, 0, 0)
    survivors = tuple(
        Survivor(m.host, m.state, m.optime, m.committed, max(0, newest.seconds - m.optime.seconds)) for m in found if m.optime is not None
    )
    return Recovery(survivors, missing, tuple(_lost(found[0], survivors, missing)), _remaining(config, missing, survivors[0].host))


def _answers(observation: Observation, host: str) -> bool:
    if observation.standing(host) is not Standing.UNREACHABLE:
        return True
    views = (member.peer(host) for member in observation.members if member.standing is Standing.MEMBER)
    return any(view.healthy for view in views if view is not None)


def _why(observation: Observation, host: str) -> str:
    member = observation.member(host)
    return member.error if member is not None else "was not asked"


def _has_data(member: MemberObservation, config: ReplicaSetConfig) -> bool:
    """Whether the set can go on from it: it follows the set, and its data are whole (not so in the initial sync)."""
    entry = config.member(member.host)
    return (
        entry is not None
        and not entry.arbiter
        and member.standing is Standing.MEMBER
        and member.optime is not None
        and member.state in ("SECONDARY", "RECOVERING", "ROLLBACK", "PRIMARY")
    )


def _rank(member: MemberObservation, config: ReplicaSetConfig) -> tuple[OpTime, bool, float, int]:
    """By data alone; among equals the one that is made to be primary."""
    entry = config.member(member.host) or Member({"_id": 0, "host": member.host})
    return member.optime or OpTime(-1, 0, 0), member.state == "SECONDARY", entry.priority, -entry.id


def _remaining(config: ReplicaSetConfig, missing: Mapping[str, str], best: str) -> ReplicaSetConfig:
    """The configuration without the missing, each other member as it is; the best one able to be primary when no other is."""
    members = [member for member in config.members if member.host not in missing]
    if not any(member.electable and member.votes for member in members):
        members = [_electable(member) if member.host == best else member for member in members]
    return config.successor(members)


def _electable(member: Member) -> Member:
    undelayed = {name: 0 for name in (DELAY, OLD_DELAY) if name in member.document}
    return member.edited({"priority": 1, "votes": 1, "hidden": False, **undelayed})


def _lost(best: MemberObservation, survivors: tuple[Survivor, ...], missing: Mapping[str, str]) -> list[str]:
    """What the survivors know of what they do not have."""
    newest = survivors[0].optime
    found = [f"every write after {_place(newest)} that only {' or '.join(missing)} had, although a majority may have acknowledged it"]
    for entry in best.status.get("members") or ():
        # Recorded 06c: of a member that is down the optime is gone, the wall time of its last known write stays.
        known = entry.get("lastAppliedWallTime")
        if entry.get("name") not in missing or not isinstance(known, datetime):
            continue
        ahead = known.timestamp() - _wall(best, newest)
        if ahead > 0:
            found.append(
                f"{entry['name']} is known to have had writes up to {_time(known.timestamp())}, {ahead:.0f} s more than the best survivor"
            )
    found.append("a missing member that comes back gives up what the survivors do not have: it rolls those writes back into files")
    return found


def _wall(member: MemberObservation, optime: OpTime) -> float:
    return member.optime_date.timestamp() if member.optime_date is not None else float(optime.seconds)


def _place(optime: OpTime) -> str:
    """`2026-11-21T11:34:53Z (term 3, increment 1)`."""
    return f"{_time(optime.seconds)} (term {optime.term}, increment {optime.increment})"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
