# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set in order, as a real one described itself; and each condition made false once: it must be named, and what was seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.health import Bounds, Probe, Verdict, judge
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    MemberObservation,
    OpTime,
    PeerView,
    Standing,
    observe,
    observe_member,
)
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.recorded_members import RECORDED, recorded

A, B, C = "127.0.0.21:27121", "127.0.0.22:27122", "127.0.0.23:27123"
Change = Callable[[dict[str, MemberObservation]], None]


def members() -> dict[str, MemberObservation]:
    """The three of recording 02; the third said what the second did, under its own name."""
    primary, second = recorded("primary", clock_offset_s=0.1), recorded("secondary", clock_offset_s=0.15)
    second = dataclasses.replace(second, config=primary.config)
    third = dataclasses.replace(second, host=C, me=C, clock_offset_s=-0.2)
    return {A: primary, B: second, C: third}


def look(change: Change | None = None, bounds: Bounds | None = None, probe: Probe | None = None, hosts: tuple[str, ...] = ()) -> Verdict:
    found = members()
    if change:
        change(found)
    return judge(observe("rs0", found.values()), bounds or Bounds(), hosts, probe)


def alter(host: str, **changes: Any) -> Change:
    """Another word of one member."""

    def change(found: dict[str, MemberObservation]) -> None:
        found[host] = dataclasses.replace(found[host], **changes)

    return change


def reconfigured(*entries: dict[str, Any]) -> ReplicaSetConfig:
    """The recorded configuration with other fields in its members."""
    config = recorded("primary").config
    assert config is not None
    merged = [{**dict(member.document), **entry} for member, entry in zip(config.members, entries, strict=True)]
    return ReplicaSetConfig({**config.document, "members": merged})


def test_the_recorded_set_is_in_order() -> None:
    verdict = look()
    assert (verdict.holds, verdict.condition) == (True, "")
    assert verdict.seen == f"primary {A}, 2 secondaries, configuration version 1, lag 0 s"


def test_a_silent_member_is_named_with_the_reason() -> None:
    verdict = look(alter(C, standing=Standing.UNREACHABLE, error="connection refused"))
    assert (verdict.condition, verdict.seen, verdict.hosts) == ("answers", f"2/3 answer; {C}: connection refused", (C,))


def test_a_member_that_was_not_asked_does_not_count() -> None:
    verdict = look(hosts=(A, B, C, "127.0.0.24:27124"))
    assert (verdict.condition, "127.0.0.24:27124: was not asked" in verdict.seen) == ("answers", True)


def test_two_sets_of_one_name_never_heal() -> None:
    config = recorded("primary").config
    assert config is not None
    other = ReplicaSetConfig({**config.document, "settings": {"replicaSetId": "another"}})
    verdict = look(alter(C, config=other))
    assert (verdict.condition, verdict.fatal) == ("one set", True)
    assert f"another ({C})" in verdict.seen and f"({A}, {B})" in verdict.seen


def removed(host: str) -> Change:
    return alter(host, standing=Standing.REMOVED, state="", primary=None, set_name="rs0", optime=None)


def test_a_member_that_started_without_names_is_told_with_the_cure() -> None:
    # recorded: 09d: it has the configuration that names it, and is REMOVED
    verdict = look(removed(C))
    assert (verdict.condition, verdict.fatal) == ("belongs", False)
    assert f"{C} is REMOVED: the configuration names it, yet a member does not find itself under that name" in verdict.seen
    assert "restart it" in verdict.hint and "none recovers" not in verdict.hint


def test_all_started_without_names() -> None:
    # recorded: 09c, 09e
    def change(found: dict[str, MemberObservation]) -> None:
        for host in list(found):
            removed(host)(found)
        found[A] = dataclasses.replace(found[A], writable=False)

    verdict = look(change)
    assert (verdict.condition, verdict.fatal) == ("belongs", True)
    assert f"{A}, {B}, {C} are REMOVED" in verdict.seen
    assert "all are in that state, from which none recovers by itself" in verdict.hint


def test_a_member_that_the_configuration_does_not_list() -> None:
    # recorded: 04b
    known = recorded("primary").config
    gone = dataclasses.replace(recorded("removed"), config=known)
    found = {**members(), gone.host: gone}
    verdict = judge(observe("rs0", found.values()), Bounds(), found)
    assert verdict.condition == "belongs"
    assert "the configuration does not list it" in verdict.seen
    assert "mongodb_replica_set" in verdict.hint


@pytest.mark.parametrize(
    ("changes", "seen", "fatal"),
    [
        ({"standing": Standing.UNINITIALISED, "config": None}, "has no configuration yet, although others have one", False),
        ({"standing": Standing.STANDALONE, "config": None}, "was started without --replSet", True),
        ({"set_name": "other"}, "belongs to the set other, not to rs0", True),
        ({"standing": Standing.WRONG_KEY}, "is not let in by the others: it has another key file", False),
        ({"standing": Standing.NEEDS_LOGIN, "error": "not authorized"}, "needs login: not authorized", False),
        ({"error": "requires authentication"}, "does not tell its state: requires authentication", False),
    ],
)
def test_a_member_without_its_place(changes: dict[str, Any], seen: str, fatal: bool) -> None:
    verdict = look(alter(C, **changes))
    assert (verdict.condition, verdict.fatal, verdict.hosts) == ("belongs", fatal, (C,))
    assert seen in verdict.seen and verdict.hint


def test_a_recorded_member_with_another_key_is_named() -> None:
    # recorded: 08c: RECOVERING, and not authenticated by the primary
    restarted = recorded("key: restarted member")
    replies = {**RECORDED["key: primary"]["replies"], **RECORDED["key: primary later"]["replies"]}
    primary = observe_member(RECORDED["key: primary"]["host"], replies)
    verdict = judge(observe("rs0", [primary, restarted]), Bounds(), (primary.host, restarted.host))
    assert (verdict.condition, verdict.hosts) == ("belongs", (restarted.host,))
    assert "another key file" in verdict.seen


def test_uninitialised_servers() -> None:
    found = recorded("uninitialised")
    verdict = judge(observe("rs0", [found]), Bounds())
    assert (verdict.condition, verdict.seen) == ("belongs", f"{found.host} has no configuration yet")


def test_the_configuration_has_members_that_nobody_wants() -> None:
    verdict = look(hosts=(A, B))
    assert (verdict.condition, verdict.seen) == ("listed", f"the configuration also lists {C}")


def test_no_primary() -> None:
    verdict = look(alter(A, writable=False, state="SECONDARY", primary=None))
    assert verdict.condition == "primary"
    assert verdict.seen == f"no primary: {A} SECONDARY, {B} SECONDARY, {C} SECONDARY"
    assert "an election takes about 10 s" in verdict.hint


def test_no_primary_for_want_of_a_majority() -> None:
    def change(found: dict[str, MemberObservation]) -> None:
        alter(A, writable=False, state="SECONDARY")(found)
        alter(B, state="RECOVERING")(found)
        alter(C, state="STARTUP2")(found)

    verdict = look(change)
    assert verdict.condition == "primary"
    assert "no primary: 1 of 3 voters are there, 2 elect one" in verdict.seen
    assert "forced_reconfiguration" in verdict.hint


def test_a_primary_that_does_not_take_writes_yet() -> None:
    assert look(alter(A, writable=False)).seen == f"{A} is elected and does not take writes yet"


def test_two_primaries() -> None:
    verdict = look(alter(B, writable=True, term=0))
    assert (verdict.condition, verdict.seen) == ("primary", f"{A} (term 1) and {B} (term 0) both say that they are the primary")


def test_a_primary_that_no_majority_sees() -> None:
    def change(found: dict[str, MemberObservation]) -> None:
        alter(B, primary=None)(found)
        alter(C, primary=B)(found)

    verdict = look(change)
    assert (verdict.condition, verdict.hosts) == ("primary", (B, C))
    assert verdict.seen == f"{A} is primary for 1 of 3 voters; {B} sees none, {C} sees {B}"
    assert look(alter(B, primary=None)).holds  # two of three are a majority


def test_a_member_in_the_wrong_state_with_what_the_primary_hears_of_it() -> None:
    # recorded: 07b
    verdict = look(alter(C, state="STARTUP2"))
    assert (verdict.condition, verdict.hosts) == ("states", (C,))
    assert verdict.seen == f"{C} is STARTUP2, not SECONDARY"
    assert "copies the data" in verdict.hint


def test_an_arbiter_is_in_its_state_as_an_arbiter() -> None:
    config = reconfigured({}, {}, {"arbiterOnly": True, "priority": 0})

    def change(found: dict[str, MemberObservation]) -> None:
        for host in (A, B):
            alter(host, config=config)(found)
        # With authentication an arbiter, which has no users, tells nothing but hello.
        said = {"state": "ARBITER", "optime": None, "config": None, "error": "requires authentication", "hello": {"arbiterOnly": True}}
        alter(C, **said)(found)

    verdict = look(change)
    assert verdict.holds and "1 secondary, 1 arbiter" in verdict.seen
    assert look(lambda found: (change(found), alter(C, state="SECONDARY")(found))[0]).seen == f"{C} is SECONDARY, not ARBITER"


def test_the_primary_s_view_counts_too() -> None:
    view = PeerView(C, "DOWN", False, True, "no response within election timeout period", 1, 1, None, None)

    def change(found: dict[str, MemberObservation]) -> None:
        kept = tuple(peer for peer in found[A].peers if peer.host != C)
        alter(A, peers=(*kept, view))(found)

    verdict = look(change)
    assert (verdict.condition, verdict.seen) == ("states", f"the primary sees {C} as DOWN: no response within election timeout period")


def test_a_voter_that_is_being_added_is_waited_for() -> None:
    # recorded: 04c: the server raises the version itself
    verdict = look(alter(A, voting_count=2))
    assert (verdict.condition, verdict.holds) == ("configuration", False)
    assert "1 new voter(s) do not count yet" in verdict.seen


def test_another_configuration() -> None:
    config = recorded("primary").config
    assert config is not None
    for field, told in (("version", "version 2, term 1"), ("term", "version 1, term 2")):
        newer = ReplicaSetConfig({**config.document, field: 2})
        verdict = look(alter(C, config=newer))
        assert (verdict.condition, verdict.hosts) == ("configuration", (C,))
        assert f"{C} has configuration {told}; the primary version 1, term 1".replace("primary version", "primary") in verdict.seen
    assert look(alter(A, commitment=False)).condition == "configuration"


def lagging(host: str, seconds: float, wall_clock: bool = True) -> Change:
    def change(found: dict[str, MemberObservation]) -> None:
        primary = found[A]
        assert primary.optime is not None and primary.optime_date is not None
        optime = dataclasses.replace(primary.optime, seconds=primary.optime.seconds - int(seconds))
        date = primary.optime_date - timedelta(seconds=seconds) if wall_clock else None
        alter(host, optime=optime, optime_date=date)(found)

    return change


def test_a_lagging_secondary() -> None:
    verdict = look(lagging(C, 30))
    assert (verdict.condition, verdict.seen) == ("lag", f"{C} is 30 s behind the primary; tolerated: 10 s")
    assert look(lagging(C, 30), Bounds(max_lag=60)).holds
    assert look(lagging(C, 9)).holds
    assert look(lagging(C, 30, wall_clock=False)).condition == "lag"  # servers that tell no wall clock: whole seconds do
    assert look(lagging(C, 9, wall_clock=False)).holds


def test_a_delayed_member_is_late_by_its_delay_only() -> None:
    config = reconfigured({}, {}, {"priority": 0, "hidden": True, "secondaryDelaySecs": 3600})

    def change(seconds: float) -> Change:
        def apply(found: dict[str, MemberObservation]) -> None:
            for host in (A, B, C):
                alter(host, config=config)(found)
            lagging(C, seconds)(found)

        return apply

    assert look(change(3605)).holds
    verdict = look(change(3700))
    assert verdict.seen == f"{C} is 3700 s behind the primary with a delay of 3600 s; tolerated: 10 s"


def test_a_hidden_member_may_lag() -> None:
    config = reconfigured({}, {}, {"priority": 0, "hidden": True})

    def change(found: dict[str, MemberObservation]) -> None:
        for host in (A, B, C):
            alter(host, config=config)(found)
        lagging(C, 500)(found)

    assert look(change).holds


def test_a_member_that_was_asked_later_is_not_behind() -> None:
    assert look(alter(C, optime=OpTime(1, 1795269999, 1))).holds


def test_clocks_apart() -> None:
    verdict = look(alter(B, clock_offset_s=2.0))
    assert (verdict.condition, verdict.seen) == ("clock", f"the clock of {B} is 2.2 s ahead of that of {C}; tolerated: 1 s")
    # That all are ahead of ours is our own fault.
    assert look(lambda found: [alter(host, clock_offset_s=300.0)(found) for host in (A, B, C)] and None).holds


def test_a_commit_point_that_stands_still() -> None:
    def change(found: dict[str, MemberObservation]) -> None:
        primary = found[A]
        assert primary.committed is not None and primary.committed_date is not None
        committed = dataclasses.replace(primary.committed, seconds=primary.committed.seconds - 20)
        alter(A, committed=committed, committed_date=primary.committed_date - timedelta(seconds=20))(found)

    verdict = look(change)
    assert verdict.condition == "commit point"
    assert "the majority commit point is 20 s behind the primary's last write" in verdict.seen


def test_a_commit_point_of_an_older_term() -> None:
    assert look(alter(A, committed=OpTime(0, 1795260467, 7))).seen == "the majority commit point is still in term 0, the primary in term 1"


def test_the_write_is_the_last_condition() -> None:
    good = Probe(written_to=A, read_from=B, seconds=0.021, optime=OpTime(1, 5, 1), committed=OpTime(1, 5, 1))
    verdict = look(probe=good)
    assert verdict.holds and verdict.seen.endswith(f"a majority write in 21 ms, read back from {B}")
    refused = look(probe=Probe(write_error="not acknowledged by a majority within 5 s", written_to=A))
    assert refused.condition == "write"
    assert refused.seen == f"a write to {A} with w: majority, j: true: not acknowledged by a majority within 5 s"
    unread = look(probe=dataclasses.replace(good, read_error="still the value of before"))
    assert unread.condition == "write" and f"is not read back from {B}" in unread.seen
    stuck = look(probe=dataclasses.replace(good, committed=OpTime(1, 4, 9)))
    assert stuck.seen == "the majority commit point has not moved to a write that a majority acknowledged"


def test_the_first_condition_that_fails_is_named() -> None:
    def change(found: dict[str, MemberObservation]) -> None:
        alter(B, clock_offset_s=99.0)(found)
        lagging(C, 99)(found)

    assert look(change, probe=Probe(write_error="x")).condition == "lag"
