# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import Member
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import delay_field, from_options


def mistakes(*members: dict[str, Any], name: str = "rs0", settings: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(StackgateError) as caught:
        from_options(name, members, settings)
    return caught.value.details["mistakes"]


def test_what_is_not_given_takes_the_only_value_that_a_server_accepts() -> None:
    found = from_options(
        "rs0",
        [
            {"host": "a", "priority": None},
            {"name": "b", "host": "b:1", "hidden": True},
            {"name": "c", "host": "c:1", "secondary_delay_s": 3600},
            {"name": "d", "host": "d:1", "votes": 0},
            {"name": "e", "host": "e:1", "arbiter": True},
        ],
    )
    assert [(m.name, m.host, m.priority, m.votes) for m in found.members] == [
        ("a:27017", "a:27017", 1, 1),
        ("b", "b:1", 0, 1),
        ("c", "c:1", 0, 1),
        ("d", "d:1", 0, 0),
        ("e", "e:1", 0, 1),
    ]


def test_all_mistakes_are_named_at_once() -> None:
    found = mistakes(
        {"name": "a", "host": "a:1", "priority": 2000},
        {"name": "a", "host": "a:1", "votes": 2},
        {"name": "h", "host": "h:x", "hidden": True, "priority": 1},
        settings={"novel": 1, "electionTimeoutMillis": 0, "chainingAllowed": 1},
    )
    assert found == [
        "2 members have the name a",
        "2 members have the host a:1",
        "a: priority 2000: 0 to 1000",
        "a: votes 2: a member has 0 or 1",
        "h: 'h:x' is no name:port",
        "h: priority 1, yet hidden: that needs priority 0",
        "setting novel: known are chainingAllowed, heartbeatIntervalMillis, heartbeatTimeoutSecs, electionTimeoutMillis, "
        "catchUpTimeoutMillis, catchUpTakeoverDelayMillis, getLastErrorModes",
        "setting electionTimeoutMillis: 0 is too small",
        "setting chainingAllowed: 1 is no bool",
    ]


@pytest.mark.parametrize(
    ("members", "mistake"),
    [
        ([], "0 members: a set has 1 to 50"),
        ([{"host": f"h{i}"} for i in range(51)], "51 members: a set has 1 to 50"),
        ([{"host": f"h{i}"} for i in range(8)], "8 voting members: a set has 1 to 7; the others need votes: 0"),
        ([{"host": "a", "priority": 0}], "no member may become primary: one that holds data needs a priority above 0"),
        ([{"host": "localhost"}, {"host": "b"}], "either all hosts are on loopback or none is; on loopback: localhost:27017"),
        ([{"host": "a"}, {"host": "b", "arbiter": True, "votes": 0}], "b:27017: an arbiter without a vote has no purpose: it must vote"),
        ([{"host": "a"}, {"host": "b", "arbiter": True, "tags": {"x": "y"}}], "b:27017: an arbiter has no tags"),
        ([{"host": "a", "horizons": {"out": "o:1"}}, {"host": "b"}], "all members need the same horizons (a:27017: out; b:27017: none)"),
        (
            [{"host": "a", "horizons": {"out": "o:1"}}, {"host": "b", "horizons": {"out": "o:1"}}],
            "2 members have the horizon's address o:1",
        ),
    ],
)
def test_the_rules_of_the_server(members: list[dict[str, Any]], mistake: str) -> None:
    assert mistake in mistakes(*members)


def test_a_member_without_a_host_is_named() -> None:
    with pytest.raises(StackgateError, match="members without one"):
        from_options("rs0", [{"name": "a"}])


def test_hosts_all_on_loopback_and_good_settings_are_accepted() -> None:
    found = from_options(
        "rs0", [{"host": "127.0.0.1:1"}, {"host": "127.0.0.2:1"}], {"electionTimeoutMillis": 2000, "catchUpTimeoutMillis": -1}
    )
    assert found.hosts == ("127.0.0.1:1", "127.0.0.2:1")
    assert found.member("127.0.0.2:1") is found.members[1] and found.member("x") is None


@pytest.mark.parametrize(
    ("fcv", "version", "name"),
    [
        ((4, 4), (5, 0, 7), "slaveDelay"),
        ((5, 0), (5, 0, 7), "secondaryDelaySecs"),
        (None, (4, 4, 1), "slaveDelay"),
        (None, (5, 0, 7), "secondaryDelaySecs"),
        (None, None, "secondaryDelaySecs"),
    ],
)
def test_the_delay_is_named_by_the_feature_compatibility_version(fcv: Any, version: Any, name: str) -> None:
    assert delay_field(fcv, version) == name


def test_the_document_of_a_new_member() -> None:
    plain, delayed = from_options(
        "rs0", [{"host": "a:1"}, {"host": "b:1", "secondary_delay_s": 60, "tags": {"dc": "x"}, "build_indexes": False}]
    ).members
    assert plain.document(3, "slaveDelay") == {"_id": 3, "host": "a:1", "arbiterOnly": False, "hidden": False, "priority": 1, "votes": 1}
    found = delayed.document(4, "slaveDelay")
    assert (found["_id"], found["buildIndexes"], found["slaveDelay"], found["tags"], found["priority"]) == (4, False, 60, {"dc": "x"}, 0)


def test_differences_to_an_existing_member_are_by_meaning() -> None:
    member = Member({"_id": 0, "host": "a:1", "priority": 1.0, "secondaryDelaySecs": 0, "tags": {"by": "hand"}})
    same, other = from_options("rs0", [{"host": "a:1"}, {"host": "b:1", "secondary_delay_s": 60, "hidden": True, "tags": {}}]).members
    assert same.differences(member, "secondaryDelaySecs") == {}
    assert other.differences(member, "secondaryDelaySecs") == {"priority": 0, "hidden": True, "secondaryDelaySecs": 60, "tags": {}}


@pytest.mark.parametrize(
    ("wanted", "anew"),
    [
        ({"priority": 0}, False),
        ({"priority": 1}, True),  # a member without indexes has priority 0
        ({"arbiter": True}, True),
        ({"build_indexes": True}, True),
        ({"build_indexes": False}, False),
    ],
)
def test_what_can_only_be_added_anew(wanted: dict[str, Any], anew: bool) -> None:
    member = Member({"_id": 0, "host": "b:1", "priority": 0, "buildIndexes": False})
    desired = from_options("rs0", [{"host": "a:1"}, {"host": "b:1", **wanted}]).members[1]
    assert desired.needs_adding_anew(member) is anew
