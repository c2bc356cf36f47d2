# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adopt, initiate or refuse: each refusal names the members and the cure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import DesiredSet, from_options
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    MemberObservation,
    Observation,
    Standing,
    observe,
    observe_member,
)
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.planner import plan
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Reason, Refusal
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.recorded_members import RECORDED, recorded
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.world import SET_ID, World


def wanted(*names: str, **more: Any) -> DesiredSet:
    """Members a, b, ... at a:27017, b:27017, ..."""
    return from_options("rs0", [{"name": name, "host": f"{name}:27017", **more.get(name, {})} for name in names])


def config(*names: str, set_id: str = SET_ID, **more: Any) -> dict[str, Any]:
    members = [{"_id": number, "host": f"{name}:27017", **more.get(name, {})} for number, name in enumerate(names)]
    return {"_id": "rs0", "version": 3, "term": 1, "members": members, "settings": {"replicaSetId": set_id}}


def changed(found: Observation, host: str, **changes: Any) -> Observation:
    """The observation with one member's words replaced."""
    return observe("rs0", [dataclasses.replace(m, **changes) if m.host == f"{host}:27017" else m for m in found.members])


def refusal(found: Observation, desired: DesiredSet, **more: Any) -> Refusal:
    made = plan(found, desired, **more)
    assert made.refusal is not None, [step.sentence for step in made.steps]
    assert made.steps == ()
    return made.refusal


def test_all_uninitialised_the_first_that_may_be_primary_is_initiated() -> None:
    desired = from_options(
        "rs0",
        [
            {"name": "a", "host": "a:27017", "priority": 0},
            {"name": "b", "host": "b:27017", "tags": {"dc": "x"}},
            {"name": "c", "host": "c:27017", "secondary_delay_s": 60},
        ],
        {"electionTimeoutMillis": 2000},
    )
    first, second = plan(World.fresh(desired.hosts).observe(), desired).steps
    assert first.sentence == "initiate the replica set rs0 of a, b and c on b"
    assert (first.kind, first.send_to, first.before) == (Kind.INITIATE, "b:27017", None)
    third = {"_id": 2, "host": "c:27017", "arbiterOnly": False, "hidden": False, "priority": 0, "votes": 1, "secondaryDelaySecs": 60}
    assert first.command == {
        "replSetInitiate": {
            "_id": "rs0",
            "version": 1,
            "members": [
                {"_id": 0, "host": "a:27017", "arbiterOnly": False, "hidden": False, "priority": 0, "votes": 1},
                {"_id": 1, "host": "b:27017", "arbiterOnly": False, "hidden": False, "priority": 1, "votes": 1, "tags": {"dc": "x"}},
                third,
            ],
            "settings": {"electionTimeoutMillis": 2000},
        }
    }
    assert (second.kind, second.waits, second.command) == (Kind.WAIT_FOR_PRIMARY, True, None)


def test_one_silent_member_and_nothing_is_initiated() -> None:
    world = World.fresh(wanted("a", "b", "c").hosts)
    world.processes["c:27017"].up = False
    found = refusal(world.observe(), wanted("a", "b", "c"))
    assert (found.reason, found.transient, found.details["members"]) == (Reason.UNREACHABLE, True, ["c:27017"])
    assert found.seen == "c (c:27017) does not answer (no answer)"
    assert "must not be made twice" in found.hint
    assert str(found.error(3.25)).startswith("expected: every member answers before the set is initiated\nseen (after 3.2 s): c ")


def test_an_initiated_member_is_adopted_and_the_others_are_awaited() -> None:
    """The initiate was just sent, or a run was killed after it: nobody initiates a second time."""
    world = World.fresh(wanted("a", "b", "c").hosts)
    world.do(plan(world.observe(), wanted("a", "b", "c")).steps[0])
    made = plan(world.observe(), wanted("a", "b", "c"))
    assert [step.kind for step in made.steps] == [Kind.WAIT_FOR_PRIMARY] and made.refusal is None
    # One of three alone elects nobody, and two that are silent may have been initiated by it.
    world.processes["b:27017"].up = world.processes["c:27017"].up = False
    found = refusal(world.observe(), wanted("a", "b", "c"))
    assert (found.reason, found.details["missing"]) == (Reason.NO_MAJORITY, ["b:27017", "c:27017"])


def test_two_sets_of_one_name_are_both_named() -> None:
    world = World.running(config("a", "b"), ["c:27017"])
    other = ReplicaSetConfig(config("c", set_id="0000"))
    found = changed(world.observe(), "c", standing=Standing.MEMBER, state="PRIMARY", config=other, set_name="rs0", writable=True)
    seen = refusal(found, wanted("a", "b", "c"))
    assert seen.reason is Reason.TWO_SETS
    assert seen.seen == f"different sets of that name: set {SET_ID}: a and b; set 0000: c"
    assert seen.details["sets"] == {SET_ID: ["a:27017", "b:27017"], "0000": ["c:27017"]}


def test_two_sets_are_seen_before_anybody_may_read_a_configuration() -> None:
    peer = dataclasses.replace(recorded("primary").peers[0], message="replica set IDs do not match, ours: 1; remote node's: 2")
    member = dataclasses.replace(recorded("needs login, primary"), writable=False, peers=(peer,))
    found = plan(observe("rs0", [member]), from_options("rs0", [{"host": member.host}, {"host": peer.host}])).refusal
    assert found is not None and found.reason is Reason.TWO_SETS and "ours: 1; remote node's: 2" in found.seen


@pytest.mark.parametrize(
    ("consents", "result"),
    [
        ((), Reason.USER_DATA),
        (("discard_data:a",), Reason.USER_DATA),
        (("discard_data:b",), "a:27017"),
        (("keep_data:b",), "b:27017"),
    ],
)
def test_data_of_an_uninitialised_member_needs_a_consent(consents: tuple[str, ...], result: Any) -> None:
    found = changed(World.fresh(wanted("a", "b").hosts).observe(), "b", has_user_data=True)
    made = plan(found, wanted("a", "b"), consents)
    assert (made.refusal.reason if made.refusal else made.steps[0].send_to) == result
    if made.refusal:
        assert made.refusal.seen == "b hold data of users, and belong to no set" and "discard_data:b" in made.refusal.hint


def test_data_of_a_new_member_cannot_be_kept() -> None:
    found = changed(World.running(config("a"), ["b:27017"]).observe(), "b", has_user_data=True)
    seen = refusal(found, wanted("a", "b"), consents=("keep_data:b",))
    assert seen.reason is Reason.USER_DATA and "keep_data" not in seen.hint
    assert plan(found, wanted("a", "b"), ("discard_data:b",)).refusal is None


def test_the_data_of_two_cannot_both_be_kept() -> None:
    found = changed(changed(World.fresh(wanted("a", "b").hosts).observe(), "a", has_user_data=True), "b", has_user_data=True)
    seen = refusal(found, wanted("a", "b"), consents=("keep_data:a", "keep_data:b"))
    assert seen.expected == "one member that may become primary to keep the data of (consent keep_data)"


def test_a_member_of_another_set() -> None:
    desired = from_options("other", [{"name": "x", "host": "127.0.0.65:27165"}])
    seen = plan(observe("other", [recorded("wrong set name")]), desired).refusal
    assert seen is not None and seen.reason is Reason.WRONG_SET_NAME and seen.seen == "x (127.0.0.65:27165) belongs to the set rs0"


def test_a_standalone() -> None:
    seen = plan(observe("rs0", [recorded("standalone")]), from_options("rs0", [{"name": "x", "host": "127.0.0.23:27123"}])).refusal
    assert seen is not None and seen.reason is Reason.STANDALONE and seen.hint == "start it with --replSet rs0" and not seen.transient


def test_a_wrong_key() -> None:
    found = observe("rs0", [recorded("key: primary"), recorded("key: uninitialised member")])
    desired = from_options("rs0", [{"name": "k1", "host": "127.0.0.51:27151"}, {"name": "kd", "host": "127.0.0.54:27154"}])
    seen = plan(found, desired).refusal
    assert seen is not None and seen.reason is Reason.WRONG_KEY
    assert seen.seen == "kd (127.0.0.54:27154) has another key file than the others"


def test_a_member_that_its_set_knows_by_another_address() -> None:
    found = changed(World.running(config("a", "b")).observe(), "b", me="10.0.0.2:27017")
    seen = refusal(found, wanted("a", "b"))
    assert (seen.reason, seen.seen) == (Reason.OTHER_ADDRESS, "b (b:27017) is 10.0.0.2:27017 in its set")


def test_a_set_that_shows_its_configuration_to_users_only() -> None:
    member = recorded("needs login, primary")
    desired = from_options("rs0", [{"host": member.host}])
    seen = plan(observe("rs0", [member]), desired).refusal
    assert seen is not None and (seen.reason, seen.details) == (Reason.NEEDS_LOGIN, {"primary": member.host})
    # Before the election there is nobody to make a user on: one wait, and what is behind it cannot be foreseen.
    made = plan(observe("rs0", [dataclasses.replace(member, writable=False, state="SECONDARY")]), desired)
    assert ([step.kind for step in made.steps], made.refusal) == ([Kind.WAIT_FOR_PRIMARY], None)


def test_a_member_of_which_nothing_may_be_read() -> None:
    replies = {**RECORDED["uninitialised"]["replies"], "replSetGetStatus": {"errmsg": "not authorized", "code": 13}}
    seen = plan(observe("rs0", [observe_member("a:27017", replies)]), wanted("a")).refusal
    assert seen is not None and seen.reason is Reason.NEEDS_LOGIN and "clusterAdmin" in seen.hint


def test_all_started_without_names_need_a_restart() -> None:
    """Recorded 09e: they stay REMOVED when the names are back."""
    world = World.running(config("a", "b", "c"))
    found = world.observe()
    for host in ("a", "b", "c"):
        found = changed(found, host, standing=Standing.REMOVED, state="", writable=False, me=None)
    seen = refusal(found, wanted("a", "b", "c"))
    assert (seen.reason, seen.transient) == (Reason.STARTED_WITHOUT_NAMES, False)
    assert seen.seen.startswith("a, b and c are REMOVED although their configuration names them")
    assert "restart" in seen.hint


def test_one_of_three_that_started_without_names_is_a_warning() -> None:
    found = changed(World.running(config("a", "b", "c")).observe(), "b", standing=Standing.REMOVED, state="", me=None)
    made = plan(found, wanted("a", "b", "c"))
    assert made.steps == () and made.refusal is None
    assert made.warnings[0].startswith("b does not find itself in its configuration (REMOVED): restart its process as soon as its own name")


def test_data_that_moved_to_another_address() -> None:
    found = observe("rs0", [recorded("other address")])
    seen = plan(found, from_options("rs0", [{"name": "x", "host": "127.0.0.66:27166"}])).refusal
    assert seen is not None and seen.reason is Reason.REMOVED and "its configuration names" not in seen.seen
    assert "their configuration names 127.0.0.65:27165" in seen.seen and "addresses of their configuration" in seen.hint


def test_a_lost_majority_is_forced_only_by_consent_and_with_evidence() -> None:
    world = World.running(config("a", "b", "c"))
    for host in ("b:27017", "c:27017"):
        world.processes[host].up = False
    world.settle()
    found = observe(
        "rs0",
        [
            dataclasses.replace(m, optime=recorded("primary").optime) if m.standing is Standing.MEMBER else m
            for m in world.observe().members
        ],
    )
    seen = refusal(found, wanted("a", "b", "c"))
    assert (seen.reason, seen.transient) == (Reason.NO_MAJORITY, True)
    assert seen.expected == "2 of the 3 voting members, the majority that elects a primary"
    assert seen.details["recovery"]["best"] == "a:27017" and "forced_reconfiguration" in seen.hint
    step = plan(found, wanted("a"), ("forced_reconfiguration",)).steps[0]
    assert (step.kind, step.send_to) == (Kind.FORCE_RECONFIGURATION, "a:27017")
    assert step.command is not None and step.command["force"] is True
    assert [member["host"] for member in step.command["replSetReconfig"]["members"]] == ["a:27017"]


def test_a_set_without_any_answer() -> None:
    found = Observation("rs0", (MemberObservation("a:27017", Standing.UNREACHABLE, error="refused"),))
    assert refusal(found, wanted("a")).seen == "a (a:27017) does not answer (refused)"
