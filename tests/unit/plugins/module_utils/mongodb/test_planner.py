# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as people read them: what is done in which order, for the changes that operators make."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet, from_options
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation, observe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.planner import foresee, plan
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Reason
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.recorded_members import recorded
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.world import SET_ID, World

ARBITER = {"arbiterOnly": True, "priority": 0}


def wanted(*names: str, settings: dict[str, Any] | None = None, **more: Any) -> DesiredSet:
    """Members a, b, ... at a:27017, b:27017, ..., with further options by name."""
    return from_options("rs0", [{"name": name, "host": f"{name}:27017", **more.get(name, {})} for name in names], settings)


def running(*names: str, others: str = "", down: str = "", **more: Any) -> World:
    """A set of these members, further empty processes, and some of all of them down."""
    fields = {name: more.pop(name) for name in names if name in more}
    members = [{"_id": number, "host": f"{name}:27017", **fields.get(name, {})} for number, name in enumerate(names)]
    config = {"_id": "rs0", "version": 3, "term": 1, "members": members, "settings": {"replicaSetId": SET_ID}}
    world = World.running(config, [f"{name}:27017" for name in others], **more)
    for name in down:
        world.processes[f"{name}:27017"].up = False
    world.settle()
    return world


def sentences(world: World, desired: DesiredSet, **more: Any) -> list[str]:
    made = plan(world.observe(), desired, **more)
    assert made.refusal is None, made.refusal
    return [step.sentence for step in made.steps]


def test_from_three_to_five() -> None:
    assert sentences(running("a", "b", "c", others="de"), wanted("a", "b", "c", "d", "e")) == [
        "add d (d:27017) as member 3 without a vote",
        "add e (e:27017) as member 4 without a vote",
        "wait until d is SECONDARY (it is STARTUP2)",
        "wait until e is SECONDARY (it is STARTUP2)",
        "give d its vote",
        "give e its vote",
    ]


def test_from_five_to_three_the_primary_leaves_last() -> None:
    assert sentences(running("a", "b", "c", "d", "e", a={"priority": 2}), wanted("c", "d", "e")) == [
        "remove b:27017",
        "let a:27017 step down as primary, for c, d and e to take its place",
        "remove a:27017",
    ]


def test_a_host_is_replaced_by_growing_first() -> None:
    assert sentences(running("a", "b", "c", others="d"), wanted("a", "b", "d")) == [
        "add d (d:27017) as member 3 without a vote",
        "wait until d is SECONDARY (it is STARTUP2)",
        "give d its vote",
        "remove c:27017",
    ]


def test_a_dead_voter_is_removed_before_a_living_one() -> None:
    assert sentences(running("a", "b", "c", "d", "e", down="e"), wanted("a", "b", "c")) == ["remove e:27017", "remove d:27017"]


def test_a_shrink_that_the_dead_make_impossible_names_them() -> None:
    """a, b of a, b, c answer: without b, a alone would be half of a and c."""
    found = plan(running("a", "b", "c", down="c").observe(), wanted("a", "c")).refusal
    assert found is not None and (found.reason, found.transient) == (Reason.NO_MAJORITY, True)
    assert found.expected == "2 of 2 voting members to remove b:27017" and found.seen == "c does not answer (no answer)"


def test_a_new_member_that_does_not_run_stops_everything() -> None:
    found = plan(running("a", "b", "c", others="d", down="d").observe(), wanted("a", "b", "d", a={"priority": 5}))
    assert found.steps == () and found.refusal is not None and found.refusal.transient
    assert found.refusal.expected == "every new member runs before it is added to the set"


def test_priorities_change_in_one_step_that_shows_both_sides() -> None:
    world = running("a", "b", "c", a={"priority": 2.0}, b={"priority": 1, "novel": 1}, novel=frozenset({"novel"}))
    (step,) = plan(world.observe(), wanted("a", "b", "c", a={"priority": 0.5}, b={"priority": 3, "tags": {"dc": "x"}})).steps
    assert step.kind is Kind.CHANGE_MEMBERS
    assert step.sentence == "change a (priority: 2 -> 0.5) and b (priority: 1 -> 3, tags: none -> {dc: x})"
    assert step.before is not None and step.after is not None and step.command == {"replSetReconfig": step.after.to_document()}
    assert (step.before.version, step.after.version) == (3, 4)
    assert step.after.members[1].document == {"_id": 1, "host": "b:27017", "priority": 3, "novel": 1, "tags": {"dc": "x"}}


def test_a_primary_that_may_not_be_one_steps_down_before_it_changes() -> None:
    assert sentences(running("a", "b", "c", a={"priority": 2}), wanted("a", "b", "c", a={"hidden": True})) == [
        "let a step down as primary, for b and c to take its place",
        "change a (priority: 2 -> 0, hidden: false -> true)",
    ]


def test_a_hidden_delayed_member_is_added_hidden_and_delayed() -> None:
    first, _wait, vote = plan(running("a", others="b").observe(), wanted("a", "b", b={"hidden": True, "secondary_delay_s": 3600})).steps
    assert first.after is not None and vote.after is not None
    added = first.after.members[1]
    assert (added.id, added.hidden, added.delay_s, added.votes, added.priority) == (1, True, 3600, 0, 0)
    assert vote.after.members[1].votes == 1


def test_the_delay_has_the_name_that_the_set_uses() -> None:
    world = running("a", others="b", fcv=(4, 4), a={"slaveDelay": 0})
    first = plan(world.observe(), wanted("a", "b", b={"secondary_delay_s": 60})).steps[0]
    assert first.after is not None and first.after.members[1].document["slaveDelay"] == 60


def test_an_arbiter_needs_a_default_write_concern_first() -> None:
    """Recorded 04i: refused with 103 otherwise."""
    made = plan(running("a", "b", others="c").observe(), wanted("a", "b", "c", c={"arbiter": True}))
    assert [step.kind for step in made.steps] == [Kind.SET_DEFAULT_WRITE_CONCERN, Kind.ADD_ARBITER]
    assert made.steps[0].command == {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": "majority"}}
    assert made.warnings == ("with c as arbiter, writes with w: majority stop as soon as one of a and b is down",)


@pytest.mark.parametrize("more", [{"default_write_concern_set": True}, {"version": (4, 4, 29), "fcv": (4, 4)}])
def test_a_default_write_concern_that_is_set_or_not_needed_is_left_alone(more: dict[str, Any]) -> None:
    world = running("a", "b", others="c", **more)
    assert sentences(world, wanted("a", "b", "c", c={"arbiter": True})) == ["add the arbiter c (c:27017) as member 2"]


def test_an_arbiter_is_replaced_by_shrinking_first() -> None:
    world = running("a", "b", "c", others="d", c=ARBITER, default_write_concern_set=True)
    assert sentences(world, wanted("a", "b", "d", d={"arbiter": True})) == ["remove c:27017", "add the arbiter d (d:27017) as member 2"]


def test_a_data_member_becomes_an_arbiter_by_being_added_anew() -> None:
    world = running("a", "b", "c", default_write_concern_set=True)
    assert plan(world.observe(), wanted("a", "b", "c", c={"arbiter": True})).warnings[0] == (
        "c is removed and added anew in another role: give it an empty volume in between, or it keeps what it has"
    )
    assert sentences(world, wanted("a", "b", "c", c={"arbiter": True})) == [
        "remove c, to add it anew as an arbiter",
        "add the arbiter c (c:27017) as member 2",
    ]


def test_primary_and_arbiter_get_a_secondary_without_the_trap() -> None:
    """e.3-16: the new secondary gets its vote first, and its priority in a further step."""
    world = running("a", "b", others="c", b=ARBITER, default_write_concern_set=True)
    made = plan(world.observe(), wanted("a", "b", "c", b={"arbiter": True}))
    assert [step.kind for step in made.steps] == [Kind.ADD_MEMBER, Kind.WAIT_FOR_MEMBER, Kind.GRANT_VOTE, Kind.CHANGE_MEMBERS]
    assert made.steps[2].after is not None and made.steps[2].after.members[2].priority == 0
    assert made.steps[3].sentence == "change c (priority: 0 -> 1)"


def test_with_seven_voters_one_leaves_before_the_next_comes() -> None:
    made = plan(running(*"abcdefg", others="h", a={"priority": 5}).observe(), wanted(*"abcdefh", a={"priority": 5}))
    assert [step.kind for step in made.steps] == [Kind.ADD_MEMBER, Kind.WAIT_FOR_MEMBER, Kind.REMOVE_MEMBER, Kind.GRANT_VOTE]


def test_with_fifty_members_one_leaves_before_the_next_comes() -> None:
    names = [f"m{number}" for number in range(50)]
    quiet = {"votes": 0, "priority": 0}
    world = running(*names, **dict.fromkeys(names[1:], quiet))
    world.processes["new:27017"] = type(world.processes["m0:27017"])("new:27017")
    desired = wanted("new", *names[:-1], new={"votes": 0}, **{name: {"votes": 0} for name in names[1:]})
    assert sentences(world, desired)[:2] == ["remove m49:27017", "add new (new:27017) as member 49 without a vote"]


def test_settings_that_are_not_listed_stay() -> None:
    world = running("a")
    (step,) = plan(world.observe(), wanted("a", settings={"electionTimeoutMillis": 2000})).steps
    assert step.sentence == "change settings (electionTimeoutMillis: none -> 2000)"
    assert step.after is not None and step.after.settings == {"replicaSetId": SET_ID, "electionTimeoutMillis": 2000}


def test_horizons_change_on_all_members_at_once_and_at_the_end() -> None:
    out = {name: {"horizons": {"out": f"{name}.example.org:27017"}} for name in "abc"}
    made = plan(running("a", "b", others="c").observe(), wanted("a", "b", "c", **out))
    assert [step.kind for step in made.steps] == [Kind.ADD_MEMBER, Kind.WAIT_FOR_MEMBER, Kind.GRANT_VOTE, Kind.CHANGE_MEMBERS]
    assert made.steps[-1].after is not None
    assert [m.horizons for m in made.steps[-1].after.members] == [{"out": f"{name}.example.org:27017"} for name in "abc"]


def test_a_new_member_without_the_horizons_of_the_others_is_refused() -> None:
    world = running("a", others="b", a={"horizons": {"out": "x:1"}})
    found = plan(world.observe(), wanted("a", "b")).refusal
    assert found is not None and (found.reason, found.expected) == (Reason.HORIZONS, "horizons out for the new member b")


def test_the_server_finishes_what_it_is_doing_before_the_next_change() -> None:
    """Recorded 04d: a voter of six is still newlyAdded; 04c: a configuration that is not at a majority."""
    member = dataclasses.replace(recorded("voter being added"), hello={"passives": ["127.0.0.26:27126"]})
    desired = from_options("rs0", [{"host": host, "priority": 3} for host in (member.config.hosts if member.config else ())])
    dead = member.peers[-1]
    syncing = dataclasses.replace(dead, healthy=True, state="STARTUP2")
    sound = dataclasses.replace(syncing, state="SECONDARY")
    # Only one that is about to become a voter is worth waiting for.
    for peer, kind in ((dead, Kind.CHANGE_MEMBERS), (syncing, Kind.CHANGE_MEMBERS), (sound, Kind.WAIT_FOR_CONFIG)):
        seen = observe("rs0", [dataclasses.replace(member, peers=(*member.peers[:-1], peer))])
        assert plan(seen, desired).steps[0].kind is kind
    primary = dataclasses.replace(recorded("primary"), commitment=False)
    made = plan(
        observe("rs0", [primary]),
        from_options("rs0", [{"host": h, "priority": 3} for h in (primary.config.hosts if primary.config else ())]),
    )
    assert [step.kind for step in made.steps] == [Kind.WAIT_FOR_CONFIG, Kind.CHANGE_MEMBERS]


def test_nothing_to_do_waits_for_nothing() -> None:
    primary = dataclasses.replace(recorded("primary"), commitment=False)
    made = plan(observe("rs0", [primary]), from_options("rs0", [{"host": h} for h in (primary.config.hosts if primary.config else ())]))
    assert made.steps == () and made.refusal is None


def test_a_candidate_that_is_too_stale_is_named() -> None:
    world = running("a", "b", b={"votes": 0, "priority": 0})
    members = [
        dataclasses.replace(m, state="RECOVERING", status={"members": [{"self": True, "infoMessage": "too stale to catch up"}]})
        if m.host == "b:27017"
        else m
        for m in world.observe().members
    ]
    found = plan(observe("rs0", members), wanted("a", "b")).refusal
    assert found is not None and found.reason is Reason.NOT_SYNCING and found.hint.startswith("empty its volume")


def test_members_that_only_the_primary_reaches_are_judged_by_its_view() -> None:
    world = running("a", "b", "c", a={"priority": 2})
    found: Observation = world.observe(unseen=["c:27017"])
    assert [step.sentence for step in plan(found, wanted("a", "b", a={"priority": 2})).steps] == ["remove c:27017"]


def test_without_another_that_may_be_primary_nobody_steps_down() -> None:
    world = running("a", "b", "c", b={"priority": 0}, c={"priority": 0.5}, down="c")
    found = plan(world.observe(), wanted("a", "b", "c", a={"priority": 0}, b={"priority": 0}, c={"priority": 0.5})).refusal
    assert found is not None and (found.reason, found.transient) == (Reason.NO_OTHER_PRIMARY, True)
    assert found.expected == "another member that may become primary before a steps down" and "c does not answer" in found.seen


def test_shrinking_ignores_what_is_yet_to_come() -> None:
    world = running("a", "b", "c", others="d", down="d")
    desired = wanted("a", "b", "d", a={"priority": 7})
    assert sentences(world, desired, phase="shrink") == ["remove c:27017"]
    assert sentences(world, wanted("a", "b", "c", "d"), phase="shrink") == []
    assert sentences(World.fresh(["a:27017"]), desired, phase="shrink") == []


def test_shrinking_does_not_take_everybody_away() -> None:
    found = plan(running("a", "b", others="d").observe(), wanted("d"), phase="shrink").refusal
    assert found is not None and found.reason is Reason.NO_OTHER_PRIMARY and "phase: all" in found.hint


def test_the_end_of_a_plan_can_be_foreseen() -> None:
    world, desired = running("a", "b", "c", others="de"), wanted("a", "b", "d", "e")
    made = plan(world.observe(), desired)
    assert plan(foresee(world.observe(), made.steps), desired).steps == ()


def test_a_number_below_others_is_explained() -> None:
    config = {"_id": "rs0", "version": 3, "members": [{"_id": 255, "host": "a:27017"}], "settings": {"replicaSetId": SET_ID}}
    first = plan(World.running(config, ["b:27017"]).observe(), wanted("a", "b")).steps[0]
    assert first.sentence == "add b (b:27017) as member 0 (the lowest free number: 255 is in use) without a vote"
