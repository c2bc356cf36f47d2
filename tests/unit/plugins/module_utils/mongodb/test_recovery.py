# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forced reconfiguration is proposed only when a majority is gone, with its evidence, and from the member with the newest data."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import recovery
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    MemberObservation,
    Observation,
    OpTime,
    PeerView,
    Standing,
)

HOSTS = ("a:1", "b:1", "c:1", "d:1", "e:1")


def configuration(*members: dict[str, Any]) -> ReplicaSetConfig:
    entries = [{"_id": n, "host": HOSTS[n], "votes": 1, "priority": 1.0, "mark": n, **more} for n, more in enumerate(members)]
    return ReplicaSetConfig({"_id": "rs0", "version": 7, "term": 3, "members": entries, "settings": {"replicaSetId": "id"}})


def alive(host: str, config: ReplicaSetConfig, seconds: int = 1000, term: int = 3, **more: Any) -> MemberObservation:
    peers = tuple(PeerView(other, "DOWN", False, True, "refused", 7, 3, None, None) for other in config.hosts if other != host)
    optime = OpTime(term, seconds, 1)
    date = datetime.fromtimestamp(seconds, UTC)
    said = {"state": "SECONDARY", "set_name": "rs0", "config": config, "optime": optime, "optime_date": date, "committed": optime}
    return MemberObservation(host, Standing.MEMBER, **{**said, "peers": peers, **more})


def dead(host: str) -> MemberObservation:
    return MemberObservation(host, Standing.UNREACHABLE, error="connection refused")


def assess(*members: MemberObservation) -> recovery.Recovery | None:
    return recovery.assess(Observation("rs0", members))


THREE = configuration({}, {}, {})
FIVE = configuration({}, {}, {}, {}, {})


def test_one_of_three_is_left() -> None:
    found = assess(alive("a:1", THREE), dead("b:1"), dead("c:1"))
    assert found is not None
    assert found.best.host == "a:1"
    assert found.missing == {"b:1": "connection refused", "c:1": "connection refused"}
    # Every other field of the document is kept.
    assert found.config.to_document() == {**THREE.to_document(), "version": 8, "members": [dict(THREE.members[0].document)]}


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        ({"seconds": 1000, "term": 3}, {"seconds": 1007, "term": 3}, "b:1"),
        ({"seconds": 1000, "term": 4}, {"seconds": 2000, "term": 3}, "a:1"),  # a newer term wins over a later time
        ({}, {}, "a:1"),
    ],
)
def test_the_newest_data_win(first: dict[str, Any], second: dict[str, Any], best: str) -> None:
    found = assess(alive("a:1", FIVE, **first), alive("b:1", FIVE, **second), dead("c:1"), dead("d:1"), dead("e:1"))
    assert found is not None
    assert found.best.host == best
    assert found.config.hosts == ("a:1", "b:1")
    assert [survivor.host for survivor in found.survivors] == (["a:1", "b:1"] if best == "a:1" else ["b:1", "a:1"])


def test_the_evidence_tells_how_far_each_is() -> None:
    found = assess(alive("a:1", FIVE, 1000), alive("b:1", FIVE, 1007), dead("c:1"), dead("d:1"), dead("e:1"))
    assert found is not None
    report = found.report()
    assert "b:1 (SECONDARY): last write 1970-01-01T00:16:47Z (term 3, increment 1); a:1 (SECONDARY)" in report
    assert "7 s behind" in report
    assert "may be lost: every write after 1970-01-01T00:16:47Z (term 3, increment 1) that only c:1 or d:1 or e:1 had" in report
    assert found.data()["survivors"][1]["behind"] == 7
    assert found.data()["best"] == "b:1"


def test_what_is_known_of_a_missing_member_is_told() -> None:
    # recorded: 06c: optime zero, lastAppliedWallTime kept
    status = {"members": [{"name": "b:1", "lastAppliedWallTime": datetime.fromtimestamp(1030, UTC), "optime": {}}]}
    found = assess(alive("a:1", THREE, status=status), dead("b:1"), dead("c:1"))
    assert found is not None
    assert any("b:1 is known to have had writes up to 1970-01-01T00:17:10Z, 30 s more" in sentence for sentence in found.lost)


def test_no_recovery_while_there_is_a_majority() -> None:
    assert assess(alive("a:1", THREE), alive("b:1", THREE), dead("c:1")) is None
    assert assess(alive("a:1", THREE, writable=True, state="PRIMARY"), dead("b:1"), dead("c:1")) is None


def test_no_recovery_while_a_survivor_knows_of_a_primary() -> None:
    assert assess(alive("a:1", THREE, primary="b:1"), dead("b:1"), dead("c:1")) is None


def test_a_member_that_another_one_reaches_is_not_lost() -> None:
    seen = PeerView("b:1", "SECONDARY", True, True, "", 7, 3, None, None)
    assert assess(alive("a:1", THREE, peers=(seen,)), dead("b:1"), dead("c:1")) is None


@pytest.mark.parametrize("standing", [Standing.REMOVED, Standing.WRONG_KEY, Standing.UNINITIALISED, Standing.STANDALONE])
def test_a_voter_that_answers_can_be_cured_without_force(standing: Standing) -> None:
    assert assess(alive("a:1", THREE), MemberObservation("b:1", standing), dead("c:1")) is None


def test_nobody_left_with_data() -> None:
    arbitrated = configuration({}, {}, {"arbiterOnly": True, "priority": 0})
    arbiter = dataclasses.replace(alive("c:1", arbitrated), state="ARBITER", optime=None)
    assert assess(dead("a:1"), dead("b:1"), arbiter) is None
    syncing = alive("a:1", THREE, state="STARTUP2")
    assert assess(syncing, dead("b:1"), dead("c:1")) is None
    assert assess(dead("a:1"), dead("b:1"), dead("c:1")) is None


def test_the_only_survivor_becomes_able_to_be_primary() -> None:
    hidden = {"hidden": True, "priority": 0, "votes": 0, "secondaryDelaySecs": 3600, "tags": {"use": "backup"}}
    config = configuration({}, {}, {}, hidden)
    found = assess(dead("a:1"), dead("b:1"), dead("c:1"), alive("d:1", config))
    assert found is not None
    (member,) = found.config.members
    assert (member.electable, member.votes, member.hidden, member.delay_s, member.tags) == (True, 1, False, 0, {"use": "backup"})
    assert member.id == 3


def test_an_electable_survivor_spares_the_hidden_one() -> None:
    config = configuration({}, {}, {}, {"hidden": True, "priority": 0}, {})
    found = assess(alive("a:1", config, 1000), dead("b:1"), dead("c:1"), alive("d:1", config, 1009), dead("e:1"))
    assert found is not None
    assert found.best.host == "d:1"
    assert [member.hidden for member in found.config.members] == [False, True]


def test_two_sets_are_no_matter_of_force() -> None:
    other = ReplicaSetConfig({**THREE.document, "settings": {"replicaSetId": "another"}})
    assert assess(alive("a:1", THREE), dead("b:1"), dead("c:1"), alive("x:1", other)) is None
