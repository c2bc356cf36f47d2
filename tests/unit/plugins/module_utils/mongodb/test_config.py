# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import Member, ReplicaSetConfig
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.recorded_members import RECORDED


def config(*members: dict[str, Any], **more: Any) -> ReplicaSetConfig:
    return ReplicaSetConfig({"_id": "rs0", "version": 3, "term": 1, "members": list(members), **more})


def test_a_recorded_configuration_is_read_and_comes_back_as_it_was() -> None:
    document = RECORDED["primary"]["replies"]["replSetGetConfig"]["config"]
    found = ReplicaSetConfig(document)
    assert (found.name, found.version, found.term, found.set_id) == ("rs0", 1, 1, "6b01802713211e279f1885af")
    assert found.hosts == ("127.0.0.21:27121", "127.0.0.22:27122", "127.0.0.23:27123")
    assert (len(found.voters), found.majority, len(found.electable), found.arbiters) == (3, 2, 3, ())
    assert found.to_document() == document
    assert found.to_document() is not document


def test_defaults_are_those_of_the_server() -> None:
    member = Member({"_id": 4, "host": "a:1"})
    assert (member.votes, member.priority, member.arbiter, member.build_indexes, member.hidden, member.delay_s) == (
        1,
        1,
        False,
        True,
        False,
        0,
    )
    assert Member({"_id": 4, "host": "a:1", "arbiterOnly": True, "priority": 1}).priority == 0


def test_unknown_fields_survive_an_edit() -> None:
    before = config({"_id": 0, "host": "a:1", "novel": {"x": 1}}, novel=[1], settings={"heartbeatIntervalMillis": 5, "novel": 7})
    after = before.successor([before.members[0].edited({"priority": 2})], {"electionTimeoutMillis": 1000})
    assert after.to_document() == {
        "_id": "rs0",
        "version": 4,
        "term": 1,
        "novel": [1],
        "members": [{"_id": 0, "host": "a:1", "novel": {"x": 1}, "priority": 2}],
        "settings": {"heartbeatIntervalMillis": 5, "novel": 7, "electionTimeoutMillis": 1000},
    }
    assert before.version == 3 and before.members[0].priority == 1


def test_the_delay_is_read_by_either_name() -> None:
    assert ReplicaSetConfig(RECORDED["feature compatibility 4.4"]["replies"]["replSetGetConfig"]["config"]).delay_field == "slaveDelay"
    assert ReplicaSetConfig(RECORDED["primary"]["replies"]["replSetGetConfig"]["config"]).delay_field == "secondaryDelaySecs"
    assert config({"_id": 0, "host": "a:1"}).delay_field is None
    assert Member({"_id": 0, "host": "a:1", "slaveDelay": 5}).delay_s == 5


@pytest.mark.parametrize(("ids", "new"), [([0, 1, 2], 3), ([0, 7], 8), ([], 0), ([0, 1, 255], 2)])
def test_a_new_host_gets_an_id_above_every_one_in_use(ids: list[int], new: int) -> None:
    assert config(*({"_id": i, "host": f"h{i}:1"} for i in ids)).new_id() == new


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [((1, 5), (1, 4), True), ((1, 5), (2, 1), False), ((2, 1), (1, 5), True), ((-1, 90000), (3, 5), True), ((4, 3), (-1, 90000), False)],
)
def test_a_configuration_is_newer_by_term_then_version_and_a_forced_one_by_version(one: tuple, other: tuple, newer: bool) -> None:
    def made(term: int, version: int) -> ReplicaSetConfig:
        return ReplicaSetConfig({"_id": "rs0", "version": version, "members": [], **({} if term == -1 else {"term": term})})

    assert made(*one).newer_than(made(*other)) is newer


@pytest.mark.parametrize(
    ("data", "arbiters", "majority"),
    [(1, 0, True), (3, 0, True), (3, 1, False), (2, 1, False), (5, 1, True), (1, 1, False)],
)
def test_the_implicit_default_write_concern(data: int, arbiters: int, majority: bool) -> None:
    members = [{"_id": i, "host": f"h{i}:1", **({"arbiterOnly": True} if i >= data else {})} for i in range(data + arbiters)]
    assert config(*members).default_write_concern_is_majority is majority
