# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader hands over to a replica in order: nothing that was acknowledged is lost, and writes wait as short as possible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import health, observe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Member, Members, Refused, quietly
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import MemberObservation, Observation, behind

# Seconds from one look to the next: the new leader's first moment is what is waited for.
INTERVAL = 0.05
# Seconds for a look at the candidate, so that a lost one does not hide the next moment.
LOOK = 2.0
# Seconds for which Patroni itself watches over a switchover before it answers: twenty looks of a second (Patroni 4.0).
PATRONI_WATCHES = 30.0
# Refusals that pass: the replica has just become synchronous, or Patroni has not noticed yet that it is there.
ATTEMPTS, PAUSE = 10, 1.0


@dataclass(frozen=True)
class Switchover:
    """What happened. seconds: from the request until the new leader took writes; following: until every member streamed from it."""

    old: str
    new: str
    seconds: float
    following: float


def candidate_of(found: Observation, unwanted: frozenset[str] = frozenset()) -> str:
    """Who takes over best: a synchronous replica before others, then the one that is least behind. Empty when nobody may.

    unwanted: members that are to go.
    """
    leader = found.leader
    if leader is None:
        return ""
    able = [member for member in found.members if _able(member, leader) and member.name not in unwanted]
    # Where commits are synchronous, Patroni refuses a replica that does not confirm them.
    if any(one.sync_state in ("sync", "quorum") for one in leader.standbys):
        able = [member for member in able if member.synchronous]
    return min(able, key=lambda member: (behind(member, leader) or 0, member.name)).name if able else ""


def _able(member: MemberObservation, leader: MemberObservation) -> bool:
    return member.streams and member.timeline == leader.timeline and not member.tags.get("nofailover")


def switchover(members: Members, candidate: str = "", timeout: float = 60.0, say: Callable[[str], None] = lambda line: None) -> Switchover:
    """Hand over to `candidate`, or to who takes over best; returns when every member that was there streams from the new leader.

    timeout: seconds for all of it. Raises StackgateError when nobody can take over, Patroni refuses, or it takes longer.
    """
    begun = time.monotonic()
    attempt = 0
    while True:
        found = observe.observe(members)
        if found.leader is None:
            raise StackgateError("the cluster has a leader that can hand over", health.states(found))
        old, new = found.leader.name, candidate or candidate_of(found)
        if new == old:
            return Switchover(old, old, 0.0, 0.0)
        attempt += 1
        try:
            if not new:
                raise StackgateError(f"a replica that can take over from {old}", health.states(found))
            return _hand_over(members, found, old, new, timeout, say)
        except StackgateError as error:
            passing = not isinstance(error, Refused) or error.status == 412
            if isinstance(error, _Late) or not passing or attempt >= ATTEMPTS or time.monotonic() - begun > timeout:
                raise
        time.sleep(PAUSE)


class _Late(StackgateError):
    """Patroni has begun, and it takes too long: asking once more would make it worse."""


def _hand_over(members: Members, found: Observation, old: str, new: str, timeout: float, say: Callable[[str], None]) -> Switchover:
    # What the checkpoint at the server's end would write is written now, while writes still go on. Without a login Patroni does it, later.
    quietly(lambda: _checkpoint(members[old]))
    say(f"{old} hands over to {new}")
    request = _Request(members[old], old, new)
    begun = time.monotonic()
    request.start()
    seconds = _until_leader(members[new], request, begun, timeout)
    others = {member.name for member in found.members if member.streams} - {new} | {old}
    following = _until_following(members, new, others, begun, timeout)
    say(f"{new} is the leader, {seconds:.1f} s later; all others follow it after {following:.1f} s")
    return Switchover(old, new, seconds, following)


def _checkpoint(member: Member) -> None:
    with member.connect() as session:
        session.do("CHECKPOINT")


class _Request(threading.Thread):
    """The request runs beside: Patroni answers whole seconds after the deed. refusal: set when it answered that it will not."""

    def __init__(self, member: Member, old: str, new: str) -> None:
        super().__init__(daemon=True, name=f"switchover to {new}")
        self._member, self._body = member, {"leader": old, "candidate": new}
        self.refusal: Refused | None = None

    def run(self) -> None:
        try:
            self._member.send("POST", "/switchover", self._body, PATRONI_WATCHES)
        except Refused as refused:
            self.refusal = refused
        except StackgateError:  # cut off: what came of it shows in the members
            return


def _until_leader(member: Member, request: _Request, begun: float, timeout: float) -> float:
    """Seconds until the new leader takes writes. Raises Refused, or StackgateError when it does not in time."""
    said = ""
    while True:
        try:
            if member.status("/primary", LOOK) == 200:
                return time.monotonic() - begun
        except StackgateError as error:
            said = error.seen
        waited = time.monotonic() - begun
        if request.refusal is not None and (request.refusal.status != 503 or waited > timeout / 2):
            raise request.refusal
        if waited > timeout:
            raise _Late(f"{member.name} becomes the leader", said or "it does not take writes yet", waited=waited)
        time.sleep(INTERVAL)


def _until_following(members: Members, new: str, others: set[str], begun: float, timeout: float) -> float:
    """Seconds until these members stream from the new leader."""
    while True:
        found = observe.observe(members)
        late = [name for name in sorted(others) if not _follows(found, name, new)]
        waited = time.monotonic() - begun
        if not late:
            return waited
        if waited > timeout:
            raise _Late(
                f"every member streams from the new leader {new}",
                ", ".join(f"{name} {health.state(found, name)}" for name in late),
                "see its log",
                waited,
            )
        time.sleep(INTERVAL * 4)


def _follows(found: Observation, name: str, leader: str) -> bool:
    member, led = found.member(name), found.member(leader)
    return bool(found.holder == leader and member and led and member.streams and member.timeline == led.timeline)
