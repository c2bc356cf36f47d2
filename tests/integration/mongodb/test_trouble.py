# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong: each is named, nothing is made worse, and the next run goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from interruption import killed
from waiting import PATIENCE, until


def test_a_member_that_does_not_answer_is_named_with_how_long_it_was_waited_for(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.server("m2").kill()
    error = rs.refused(timeout=3)
    assert "m2" in error.seen and "refused" in error.seen and error.waited > 2.5
    assert rs.states() == {"m0": "uninitialised", "m1": "uninitialised", "m2": "unreachable"}
    assert any("m2" in line and "refused" in line for line in rs.said)
    rs.server("m2").start()
    assert rs.task()["changed"]


def test_a_silent_member_too(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.server("m1").freeze()
    try:
        error = rs.refused(timeout=3, answer_timeout=1)
    finally:
        rs.server("m1").thaw()
    assert "m1" in error.seen and "no answer in time" in error.seen


def test_two_sets_of_the_same_name_are_both_named(replica_set: Any) -> None:
    rs = replica_set(4)
    everybody = dict(rs.members)
    ids = []
    for names in (("m0", "m1"), ("m2", "m3")):
        rs.members = {name: everybody[name] for name in names}
        ids.append(rs.task()["set_id"])
    rs.members = everybody
    error = rs.refused(timeout=5)
    assert all(one in error.seen for one in (*ids, "m0", "m1", "m2", "m3")), error.seen
    assert len(rs.info()["sets"]) == 2


def test_another_key_file(replica_set: Any) -> None:
    rs = replica_set(3, auth=True)
    rs.task()
    stranger = rs.servers.add(start=False)
    key = rs.servers.write_key("other", "anotherkey0123456789")
    stranger.options = [str(key) if option == str(rs.servers.key_file) else option for option in stranger.options]
    stranger.start()
    (name,) = rs.take(stranger)
    error = rs.refused(timeout=PATIENCE)
    assert name in error.seen and "key file" in f"{error.seen} {error.hint}"
    del rs.members[name]
    rs.task()
    assert not rs.task()["changed"] and set(rs.configured()) == {"m0", "m1", "m2"}


def test_another_key_file_before_there_is_a_set(replica_set: Any) -> None:
    rs = replica_set(2, auth=True)
    stranger = rs.servers.add(start=False)
    key = rs.servers.write_key("other", "anotherkey0123456789")
    stranger.options = [str(key) if option == str(rs.servers.key_file) else option for option in stranger.options]
    stranger.start()
    rs.take(stranger)
    error = rs.refused(timeout=5)
    assert "key file" in f"{error.seen} {error.hint} {error.expected}"


def test_a_standalone_and_a_member_of_another_name(replica_set: Any) -> None:
    rs = replica_set(2)
    (name,) = rs.take(rs.servers.add(name=None))
    assert name in rs.refused(timeout=5).seen
    del rs.members[name]
    (name,) = rs.take(rs.servers.add(name="other"))
    error = rs.refused(timeout=5)
    assert name in error.seen or "other" in error.seen, error.seen
    assert set(rs.states().values()) & {"PRIMARY", "SECONDARY"} == set()


def test_a_primary_that_is_killed_during_a_reconfiguration(replica_set: Any, points: Any) -> None:
    rs = replica_set(3)
    rs.task()
    (name,) = rs.add(1)
    victims: list[str] = []

    def strike(point: str) -> None:
        if point.startswith("before") and not victims:
            victims.append(f"m{rs.servers.members.index(rs.servers.primary)}")
            threading.Timer(0.01, rs.server(victims[0]).kill).start()

    points(strike)
    rs.task()
    assert rs.configured()[name]["votes"] == 1 and rs.info()["primary"] != victims[0]
    rs.server(victims[0]).start()
    rs.task()
    rs.reach(["PRIMARY", *["SECONDARY"] * 3])
    assert not rs.task()["changed"]


def test_killed_between_any_two_steps_the_next_run_goes_on(replica_set: Any, points: Any) -> None:
    """Bootstrap with users, then growth, then a replacement; killed at the first point, the second, and so on."""
    rs = replica_set(3, auth=True)
    users = [{"name": "shop", "database": "shop", "roles": ["readWrite"], "password": "shop-password"}]

    def run(at: Any) -> None:
        points(at)
        rs.task(users=users)

    kills = 0
    for change in (lambda: None, lambda: rs.add(1), lambda: (rs.members.pop("m1"), rs.add(1))):
        change()
        number = 1
        while killed(run, number):
            kills += 1
            # Before the first command nothing has changed: go further each time until one run comes to its end.
            number = 2 if number == 1 else 1 if kills % 3 else 2
    assert kills >= 8
    points(lambda point: None)
    assert not rs.task(users=users)["changed"]
    assert set(rs.configured()) == {"m0", "m2", "m3", "m4"} and len(rs.info()["sets"]) == 1


def test_two_runs_at_the_same_moment_make_one_set(replica_set: Any) -> None:
    rs = replica_set(3)
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(rs.task())
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _one in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert len(rs.info()["sets"]) == 1 and not rs.task()["changed"]


def test_a_lost_majority_is_recovered_only_with_consent(replica_set: Any) -> None:
    rs = replica_set(3)
    made = rs.task()
    lost = [name for name in rs.members if name != made["primary"]]
    for name in lost:
        rs.server(name).kill()
    until("there is no primary", lambda: rs.info()["primary"], holds=lambda primary: not primary)
    error = rs.refused(timeout=5)
    assert "majority" in error.expected and all(name in error.seen for name in lost)
    assert "forced_reconfiguration" in error.hint and error.details["performed"] == []
    rs.members = {made["primary"]: rs.members[made["primary"]]}
    result = rs.task(consents=["forced_reconfiguration"])
    assert result["performed"][0]["kind"] == "force reconfiguration"
    assert result["primary"] == made["primary"] and result["set_id"] == made["set_id"]
    assert not rs.task()["changed"]


@pytest.mark.parametrize("name", ["m0", "m2"])
def test_a_member_that_was_taken_out_comes_back(replica_set: Any, name: str) -> None:
    rs = replica_set(3)
    rs.task()
    kept = rs.members.pop(name)
    rs.task()
    rs.members[name] = kept
    rs.task()
    assert len(rs.configured()) == 3 and not rs.task()["changed"]
