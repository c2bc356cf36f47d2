# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Truth first: what was seen of all members decides between adopting the set that exists, initiating a new one, and refusing. Pure.

Any member that has a configuration is adopted with its set; a second set is never made. Each state that no reconfiguration heals
has a refusal of its own that names the members and the cure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig, majority
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredMember, DesiredSet, delay_field
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.recovery import CONSENT as FORCE
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.recovery import assess
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Reason, Refusal, Step

# Consents, each with a member's name behind it: its data are replaced by the set's; its data become the set's.
DISCARD_DATA = "discard_data"
KEEP_DATA = "keep_data"

RESTART = (
    "restart its process as soon as its own name resolves there (nothing else helps: not time, not a reconfiguration), "
    "and check that --replSet names this set"
)


def named(desired: DesiredSet, host: str) -> str:
    """What people call the member: its name, or its host when it is not asked for."""
    member = desired.member(host)
    return member.name if member else host


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)


def judge(found: Observation, desired: DesiredSet, consents: Collection[str] = ()) -> Refusal | None:
    """The state that stands in the way of any plan; None when there is none."""
    return (
        _two_sets(found, desired)
        or _strangers(found, desired)
        or _other_addresses(found, desired)
        or _user_data(found, desired, consents)
        or _unreadable(found)
        or _nobody_finds_itself(found, desired)
    )


def initiation(found: Observation, desired: DesiredSet, consents: Collection[str] = ()) -> Step | Refusal:
    """The initiation of a set of which no member has a configuration: sent to one member only (recorded 03c: three would make three sets).

    Arbiters are added afterwards: before them somebody must have set the default write concern.
    """
    missing = [m for m in desired.members if found.standing(m.host) is not Standing.UNINITIALISED]
    if missing:
        return _unreachable(found, missing, "every member answers before the set is initiated", "a set that exists must not be made twice")
    keeps = [m for m in desired.members if f"{KEEP_DATA}:{m.name}" in consents and _data(found, m)]
    candidates = [m for m in keeps or desired.members if m.electable]
    if len(keeps) > 1 or not candidates:
        return Refusal(
            Reason.USER_DATA,
            f"one member that may become primary to keep the data of (consent {KEEP_DATA})",
            f"consents for {listed(m.name for m in keeps)}",
            "consent to the one member whose data shall become the set's, and give it a priority above 0",
        )
    first = candidates[0]
    asked = found.member(first.host)
    delay = delay_field(asked.fcv if asked else None, asked.version if asked else None)
    members = [m for m in desired.members if not m.arbiter]
    document = {"_id": desired.name, "version": 1, "members": [m.document(i, delay) for i, m in enumerate(members)]}
    if desired.settings:
        document["settings"] = dict(desired.settings)
    config = ReplicaSetConfig(document)
    return Step(
        Kind.INITIATE,
        f"initiate the replica set {desired.name} of {listed(m.name for m in members)} on {first.name}",
        target=first.host,
        send_to=first.host,
        command={"replSetInitiate": config.to_document()},
        after=config,
    )


def without_primary(found: Observation, desired: DesiredSet, config: ReplicaSetConfig, consents: Collection[str]) -> Step | Refusal:
    """Wait for an election when a majority of the voters may take part in it; otherwise refuse, or force when that was consented to."""
    recovery = assess(found)
    if recovery is not None and FORCE in consents:
        best = found.member(recovery.best.host)
        return Step(
            Kind.FORCE_RECONFIGURATION,
            f"force a configuration of {listed(named(desired, host) for host in recovery.config.hosts)} on "
            f"{named(desired, recovery.best.host)}, which has the newest data",
            target=recovery.best.host,
            send_to=recovery.best.host,
            command={"replSetReconfig": recovery.config.to_document(), "force": True},
            before=best.config if best and best.config else config,
            after=recovery.config,
        )
    hopeful = [voter for voter in config.voters if coming(found, voter.host)]
    if recovery is None and len(hopeful) >= config.majority:
        return Step(
            Kind.WAIT_FOR_PRIMARY, f"wait until one of {listed(named(desired, m.host) for m in config.electable)} is elected primary"
        )
    missing = [voter.host for voter in config.voters if voter not in hopeful]
    return Refusal(
        Reason.NO_MAJORITY,
        f"{config.majority} of the {len(config.voters)} voting members, the majority that elects a primary",
        "; ".join(f"{named(desired, host)} {trouble(found, host)}" for host in missing),
        "bring them back; only when they are lost for good: read the evidence in the result, and give the consent " + FORCE,
        transient=True,
        details={"missing": missing, **({"recovery": recovery.data(), "report": recovery.report()} if recovery else {})},
    )


def no_majority(found: Observation, desired: DesiredSet, config: ReplicaSetConfig, doing: str) -> Refusal:
    """A change that the voters who answer could not commit."""
    missing = [voter.host for voter in config.voters if not found.sound(voter.host)]
    return Refusal(
        Reason.NO_MAJORITY,
        f"{majority(len(config.voters))} of {len(config.voters)} voting members to {doing}",
        "; ".join(f"{named(desired, host)} {trouble(found, host)}" for host in missing),
        "bring them back first: a configuration without a majority behind it would stop all writes",
        transient=True,
        details={"missing": missing},
    )


def coming(found: Observation, host: str) -> bool:
    """Whether the member may take part in an election soon: it answers, and belongs to the set or is about to learn of it."""
    member = found.member(host)
    if member is None or not member.reachable:
        views = [m.peer(host) for m in found.members if m.standing is Standing.MEMBER]
        return any(view is not None and view.healthy for view in views)
    return member.standing in (Standing.MEMBER, Standing.UNINITIALISED)


def trouble(found: Observation, host: str) -> str:
    """What is wrong with a member, as the end of a sentence that begins with its name."""
    member = found.member(host)
    if member is None:
        return "was not asked, and the primary does not see it"
    if member.standing is Standing.MEMBER:
        return f"is {member.state}"
    if member.standing is Standing.REMOVED and member.in_own_config:
        return f"does not find itself in its configuration (REMOVED): {RESTART}"
    words = {
        Standing.UNREACHABLE: "does not answer",
        Standing.STANDALONE: "runs without --replSet",
        Standing.UNINITIALISED: "has no configuration yet",
        Standing.REMOVED: "was removed from its set",
        Standing.WRONG_SET_NAME: f"belongs to the set {member.set_name}",
        Standing.WRONG_KEY: "has another key file than the others",
        Standing.NEEDS_LOGIN: "wants a login",
    }[member.standing]
    return f"{words} ({member.error})" if member.error and member.standing is Standing.UNREACHABLE else words


def unreachable(found: Observation, members: Iterable[DesiredMember], expected: str) -> Refusal:
    return _unreachable(found, members, expected, "start them, or leave them out of the list")


def _unreachable(found: Observation, members: Iterable[DesiredMember], expected: str, why: str) -> Refusal:
    silent = list(members)
    return Refusal(
        Reason.UNREACHABLE,
        expected,
        "; ".join(f"{m.name} ({m.host}) {trouble(found, m.host)}" for m in silent),
        f"see why {listed(m.name for m in silent)} cannot be asked: {why}",
        transient=True,
        details={"members": [m.host for m in silent]},
    )


def _two_sets(found: Observation, desired: DesiredSet) -> Refusal | None:
    sides = found.sets
    # Whoever may not read the configuration yet is told by the heartbeats (recorded: 03c, 04e).
    strange = [(m, peer) for m in found.members for peer in m.peers if "replica set IDs do not match" in peer.message]
    if len(sides) > 1:
        told = "; ".join(f"set {set_id}: {listed(named(desired, host) for host in hosts)}" for set_id, hosts in sides.items())
    elif found.config is None and strange:
        told = "; ".join(f"{named(desired, m.host)} and {named(desired, peer.host)}: {peer.message}" for m, peer in strange)
    else:
        return None
    return Refusal(
        Reason.TWO_SETS,
        f"one replica set {desired.name}",
        f"different sets of that name: {told}",
        "decide which one is to live; keep a copy of the others' data, empty their volumes, restart them: they then join it",
        details={"sets": {set_id: list(hosts) for set_id, hosts in sides.items()}},
    )


def _strangers(found: Observation, desired: DesiredSet) -> Refusal | None:
    """Members that are asked for and cannot belong to the set as they run now."""
    cures = {
        Standing.WRONG_SET_NAME: (Reason.WRONG_SET_NAME, f"start it with --replSet {desired.name} and an empty volume, or leave it out"),
        Standing.STANDALONE: (Reason.STANDALONE, f"start it with --replSet {desired.name}"),
        Standing.WRONG_KEY: (Reason.WRONG_KEY, "give it the key file that the others have, and restart it"),
        Standing.NEEDS_LOGIN: (Reason.NEEDS_LOGIN, "give the credentials of a user with the role clusterAdmin or root"),
    }
    for standing, (reason, cure) in cures.items():
        if members := [m for m in desired.members if found.standing(m.host) is standing]:
            return Refusal(
                reason,
                f"members that can belong to the replica set {desired.name}",
                "; ".join(f"{m.name} ({m.host}) {trouble(found, m.host)}" for m in members),
                cure,
                details={"members": [m.host for m in members]},
            )
    return None


def _other_addresses(found: Observation, desired: DesiredSet) -> Refusal | None:
    """Members that know themselves by another address than the one they were asked under: adding it would add the process twice."""
    members = [m for m in found.members if m.standing is Standing.MEMBER and m.me is not None and m.me != m.host and desired.member(m.host)]
    if not members:
        return None
    return Refusal(
        Reason.OTHER_ADDRESS,
        "each member is asked for by the host that its set knows it by",
        "; ".join(f"{named(desired, m.host)} ({m.host}) is {m.me} in its set" for m in members),
        "list the host that the set uses; to change a member's host, add the new host as a new member and leave the old one out",
        details={"members": {m.host: m.me for m in members}},
    )


def _user_data(found: Observation, desired: DesiredSet, consents: Collection[str]) -> Refusal | None:
    """Uninitialised members that hold data: the initial sync would drop them without a word (since 4.2 the server does not refuse)."""
    fresh = not found.initialised
    accepted = {DISCARD_DATA, KEEP_DATA} if fresh else {DISCARD_DATA}
    members = [m for m in desired.members if _data(found, m) and not any(f"{word}:{m.name}" in consents for word in accepted)]
    if not members:
        return None
    first = members[0].name
    keep = f"; or, to make its data those of the new set, {KEEP_DATA}:{first}" if fresh else ""
    return Refusal(
        Reason.USER_DATA,
        "members without data of their own: they get the set's",
        f"{listed(m.name for m in members)} hold data of users, and belong to no set",
        f"save the data and empty the volume; or give the consent {DISCARD_DATA}:{first}{keep}",
        details={"members": [m.host for m in members]},
    )


def _data(found: Observation, member: DesiredMember) -> bool:
    """Whether the member has data that joining the set would replace; one that the set names already is past asking."""
    asked, config = found.member(member.host), found.config
    joins = config is None or config.member(member.host) is None
    return joins and asked is not None and asked.standing is Standing.UNINITIALISED and asked.has_user_data is True


def _unreadable(found: Observation) -> Refusal | None:
    """A set that stands, and of which nobody shows the configuration: it is for users, and the localhost exception does not give it."""
    if not found.initialised or found.config is not None:
        return None
    primary = found.primary
    if primary is None and any(m.standing is Standing.MEMBER for m in found.members):
        return None  # first comes the election
    return Refusal(
        Reason.NEEDS_LOGIN,
        "the configuration of the set",
        "it is shown to users only: " + listed(f"{m.host} ({m.state or m.standing.value})" for m in found.initialised),
        "give the credentials of a user with the role clusterAdmin or root",
        details={"primary": primary.host} if primary else {},
    )


def _nobody_finds_itself(found: Observation, desired: DesiredSet) -> Refusal | None:
    """Every member that has a configuration is REMOVED: recorded 09c and 09e (started without names), 10 (moved to another address)."""
    initialised: tuple[MemberObservation, ...] = found.initialised
    if not initialised or any(m.standing is not Standing.REMOVED for m in initialised):
        return None
    names = listed(named(desired, m.host) for m in initialised)
    config = found.config
    # One that does not answer yet may bring them back: recorded 09d.
    transient = config is not None and any(found.standing(host) is Standing.UNREACHABLE for host in config.hosts)
    if any(m.in_own_config for m in initialised):
        return Refusal(
            Reason.STARTED_WITHOUT_NAMES,
            f"members of {desired.name} that find themselves in their configuration",
            f"{names} are REMOVED although their configuration names them: their names did not resolve when they started",
            f"for each member: {RESTART}",
            transient=transient,
            details={"members": [m.host for m in initialised]},
        )
    return Refusal(
        Reason.REMOVED,
        f"members of {desired.name} that their configuration names",
        f"{names} are REMOVED; their configuration names {listed(config.hosts) if config else 'others'}",
        "give the members the addresses of their configuration again, or bring back a member that it names",
        transient=transient,
        details={"members": [m.host for m in initialised]},
    )
