# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is found and whatever is wanted: every step is legal by the server's own rules, the steps end, they lead there, and a second
run finds nothing to do. Also when each step is followed by an interruption, another's reconfiguration, or a member going down.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet, from_options
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.planner import SHRINK, plan
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Plan, Reason
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb import server_rules
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.world import SET_ID, World

# The same examples on every machine and in every run.
PROFILE = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
HOSTS = [f"h{number}:27017" for number in range(9)]
RUN_LIMIT = 150


@st.composite
def member_options(draw: st.DrawFn, host: str, *, names: bool) -> dict[str, Any]:
    kind = draw(st.sampled_from(["data", "data", "data", "data", "zero", "hidden", "delayed", "nonvoter", "arbiter", "noindex"]))
    more: dict[str, Any] = {
        "data": {"priority": draw(st.sampled_from([1, 1, 2, 0.5, 10]))},
        "zero": {"priority": 0},
        "hidden": {"hidden": True, "votes": draw(st.integers(0, 1))},
        "delayed": {"secondary_delay_s": 60, "hidden": draw(st.booleans())},
        "nonvoter": {"votes": 0},
        "arbiter": {"arbiter": True},
        "noindex": {"build_indexes": False},
    }[kind]
    if kind != "arbiter" and draw(st.booleans()):
        more["tags"] = {"zone": draw(st.sampled_from("xyz"))}
    more["horizons"] = {"out": f"{draw(st.sampled_from('pq'))}-{host}"} if names else {}
    return {"name": host.partition(":")[0], "host": host, **more}


@st.composite
def options(draw: st.DrawFn, among: Sequence[str] = HOSTS) -> list[dict[str, Any]]:
    """Members that a server would accept as a whole set."""
    hosts = draw(st.lists(st.sampled_from(among), min_size=1, unique=True))
    names = draw(st.integers(0, 5)) == 0
    members = [draw(member_options(host, names=names)) for host in hosts]
    plain = [
        m for m in members if not m.keys() & {"hidden", "secondary_delay_s", "arbiter", "build_indexes", "votes"} and m.get("priority")
    ]
    chosen = plain[0] if plain else members[0]
    if not plain:
        for key in chosen.keys() - {"name", "host", "horizons"}:
            del chosen[key]
    voting = [m for m in members if m.get("votes", 1) and m is not chosen]
    for member in voting[6:]:
        for key in member.keys() - {"name", "host", "horizons"}:
            del member[key]
        member["votes"] = 0
    return members


def document(members: list[dict[str, Any]], delay: str) -> dict[str, Any]:
    """The configuration of a set that somebody made of these members long ago, with ids as they came and fields of his own."""
    desired = from_options("rs0", members)
    found = [{**m.document(3 * i + 1, delay), "votes": m.votes, "novel": f"of {m.host}"} for i, m in enumerate(desired.members)]
    return {
        "_id": "rs0",
        "version": 7,
        "term": 1,
        "novel": {"kept": True},
        "members": found,
        "settings": {"electionTimeoutMillis": 10000, "replicaSetId": SET_ID, "novel": 1},
    }


def reached(world: World, desired: DesiredSet) -> None:
    """The configuration in force is what is wanted, field by field, read without the project's own classes."""
    found = {member["host"]: member for member in world.config["members"]}
    assert set(found) == set(desired.hosts)
    for wanted in desired.members:
        member = found[wanted.host]
        assert server_rules.votes(member) == wanted.votes
        assert server_rules.priority(member) == wanted.priority
        assert server_rules.arbiter(member) == wanted.arbiter
        assert member.get("hidden", False) == wanted.hidden
        assert server_rules.delay(member) == wanted.secondary_delay_s
        assert wanted.build_indexes is None or member.get("buildIndexes", True) == wanted.build_indexes
        assert wanted.tags is None or member.get("tags", {}) == dict(wanted.tags)
        assert wanted.horizons is None or member.get("horizons", {}) == dict(wanted.horizons)
    for key, value in desired.settings.items():
        assert world.config["settings"][key] == value


def carry_out(world: World, desired: DesiredSet, phase: str = "all", between: Any = lambda world: world.settle()) -> list[Plan]:
    """The executor's loop: plan, take the first step, look again."""
    plans = []
    for _round in range(RUN_LIMIT):
        made = plan(world.observe(), desired, phase=phase)
        plans.append(made)
        if made.refusal is not None:
            assert made.refusal.transient, made.refusal
        elif not made.steps:
            return plans
        else:
            world.do(made.steps[0])
        between(world)
    raise AssertionError("it does not end: " + "; ".join(p.steps[0].sentence for p in plans[-8:] if p.steps))


VERSIONS = st.sampled_from(
    [((3, 6, 23), (3, 6)), ((4, 2, 25), (4, 2)), ((4, 4, 29), (4, 4)), ((5, 0, 7), (4, 4)), ((5, 0, 7), (5, 0)), ((7, 0, 2), (7, 0))]
)
SETTINGS = st.sampled_from([{}, {}, {"electionTimeoutMillis": 2000}, {"heartbeatIntervalMillis": 500, "chainingAllowed": False}])


def delay_name(fcv: tuple[int, int]) -> str:
    return "secondaryDelaySecs" if fcv >= (5, 0) else "slaveDelay"


@PROFILE
@given(options(), options(), SETTINGS, VERSIONS)
def test_from_any_set_to_any_other(before: Any, after: Any, wanted: Any, versions: Any) -> None:
    version, fcv = versions
    desired = from_options("rs0", after, wanted)
    config = document(before, delay_name(fcv))
    world = World.running(
        config, (h for h in HOSTS if h not in {m["host"] for m in before}), version=version, fcv=fcv, novel=frozenset({"novel"})
    )
    plans = carry_out(world, desired)
    reached(world, desired)
    # Prediction and reality agree on the number of commands, and on the kinds of steps.
    commands = [step.kind for step in plans[0].steps if not step.waits]
    assert [p.steps[0].kind for p in plans if p.steps and not p.steps[0].waits] == commands
    # What nobody asked about survives.
    assert world.config["novel"] == {"kept": True} and world.config["settings"]["novel"] == 1
    for member in world.config["members"]:
        kept = next((m for m in config["members"] if m["host"] == member["host"] and m["_id"] == member["_id"]), None)
        assert kept is None or member["novel"] == kept["novel"]
    assert all(len(hosts) == 1 for hosts in world.hosts_of_ids.values()), world.hosts_of_ids


@PROFILE
@given(options(), SETTINGS, VERSIONS)
def test_from_nothing_to_any_set(after: Any, wanted: Any, versions: Any) -> None:
    version, _fcv = versions
    desired = from_options("rs0", after, wanted)
    world = World.fresh(desired.hosts, version=version, fcv=(version[0], version[1]))
    carry_out(world, desired)
    reached(world, desired)


@PROFILE
@given(options(), options(), st.integers(0, 2**32))
def test_whatever_happens_between_two_steps(before: Any, after: Any, seed: int) -> None:
    """Interruptions, others' reconfigurations, elections, members that go down and come back: no illegal step, and it still gets there."""
    chance = random.Random(seed)
    desired = from_options("rs0", after)
    world = World.running(
        document(before, "secondaryDelaySecs"), (h for h in HOSTS if h not in {m["host"] for m in before}), novel=frozenset({"novel"})
    )

    def between(world: World) -> None:
        if chance.random() < 0.3:
            world.settle()
            world.bump()
        if chance.random() < 0.25:
            down = chance.choice(list(world.processes.values()))
            down.up = False
        if chance.random() < 0.5:
            for process in world.processes.values():
                process.up = process.up or chance.random() < 0.6
        if chance.random() < 0.2:
            world.settle()
            world.primary = None
        world.settle()

    carry_out(world, desired, between=between)
    for process in world.processes.values():
        process.up = True
    world.settle()
    carry_out(world, desired)
    reached(world, desired)


@PROFILE
@given(st.data())
def test_members_that_are_down(data: st.DataObject) -> None:
    """A set shrinks while some are down: no step that the others could not commit; either it gets there, or it says who is missing."""
    before = data.draw(options())
    hosts = [member["host"] for member in before]
    after = data.draw(options(hosts))
    down = data.draw(st.sets(st.sampled_from(hosts), max_size=3))
    desired = from_options("rs0", after)
    world = World.running(
        document(before, "secondaryDelaySecs"), (h for h in HOSTS if h not in {m["host"] for m in before}), novel=frozenset({"novel"})
    )
    for host in down:
        world.processes[host].up = False
    world.settle()
    # A set of which nobody answers, and that shares no member with the list, cannot be known of.
    assume(any(process.up and process.config for process in world.processes.values()))
    for _round in range(RUN_LIMIT):
        made = plan(world.observe(), desired)
        if made.refusal is not None or not made.steps:
            break
        world.do(made.steps[0])
        world.settle()
    if made.refusal is None:
        reached(world, desired)
    else:
        assert made.refusal.transient and any(host.partition(":")[0] in made.refusal.seen for host in down), made.refusal
    for host in down:
        world.processes[host].up = True
    world.settle()
    carry_out(world, desired)
    reached(world, desired)


@PROFILE
@given(options(), options())
def test_shrinking_takes_away_and_does_nothing_else(before: Any, after: Any) -> None:
    desired = from_options("rs0", after)
    config = document(before, "secondaryDelaySecs")
    world = World.running(config, novel=frozenset({"novel"}))
    first = plan(world.observe(), desired, phase=SHRINK)
    if first.refusal is not None:
        assert first.refusal.reason is Reason.NO_OTHER_PRIMARY
        assert not any(server_rules.priority(m) and m["host"] in desired.hosts for m in config["members"])
        return
    carry_out(world, desired, phase=SHRINK)
    remaining = [m for m in config["members"] if m["host"] in desired.hosts]
    assert {m["host"] for m in world.config["members"]} == {m["host"] for m in remaining}
    if len(remaining) == len(config["members"]):
        assert world.config == config


@PROFILE
@given(options())
def test_a_set_that_is_as_wanted_is_left_alone(members: Any) -> None:
    world = World.running(document(members, "secondaryDelaySecs"), novel=frozenset({"novel"}))
    assert plan(world.observe(), from_options("rs0", members)).steps == ()


def test_the_checker_sees_an_illegal_plan() -> None:
    """The world refuses what the server refuses: two voters taken away at once."""
    members = [{"host": host} for host in HOSTS[:4]]
    world = World.running(document(members, "secondaryDelaySecs"), novel=frozenset({"novel"}))
    step = plan(world.observe(), from_options("rs0", members[:3])).steps[0]
    config = {**step.command["replSetReconfig"]}
    config["members"] = config["members"][:2]
    with pytest.raises(AssertionError, match="voter"):
        world.do(type(step)(step.kind, "", step.target, step.send_to, {"replSetReconfig": config}))
