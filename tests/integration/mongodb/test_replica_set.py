# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set is made and changed; each test ends with a second run that has nothing to do."""

from __future__ import annotations

from typing import Any

import pytest
from waiting import until


def settled(rs: Any, **options: Any) -> None:
    """Nothing is left to do."""
    again = rs.task(**options)
    assert (again["changed"], again["plan"], again["performed"]) == (False, [], [])


def kinds(result: dict[str, Any]) -> list[str]:
    return [entry["kind"] for entry in result["performed"]]


def test_three_members_are_made_a_set(replica_set: Any) -> None:
    rs = replica_set(3)
    result = rs.task()
    assert kinds(result) == ["initiate"] and result["primary"] in rs.members
    rs.reach(["PRIMARY", "SECONDARY", "SECONDARY"])
    assert {member["set_id"] for member in rs.info()["members"]} == {result["set_id"]}
    settled(rs)


@pytest.mark.parametrize("count", [1, 2])
def test_smaller_sets(replica_set: Any, count: int) -> None:
    rs = replica_set(count)
    assert kinds(rs.task()) == ["initiate"]
    settled(rs)


def test_check_mode_tells_what_the_run_then_does(replica_set: Any) -> None:
    rs = replica_set(3)
    planned = rs.task(check=True, diff=True)
    assert planned["changed"] and planned["performed"] == [] and set(rs.states().values()) == {"uninitialised"}
    assert planned["diff"][0]["before"] == {} and len(planned["diff"][0]["after"]["members"]) == 3
    done = rs.task()
    rs.add(1)
    waits = {"wait for primary", "wait for member", "wait for configuration"}
    assert [entry for entry in planned["plan"] if entry["kind"] not in waits] == done["performed"]
    planned = rs.task(check=True, diff=True)
    done = rs.task(diff=True)
    assert [entry for entry in planned["plan"] if entry["kind"] not in waits] == done["performed"]
    assert [difference["after"]["members"] for difference in planned["diff"]] != []
    assert rs.task(check=True)["plan"] == []


def test_from_three_to_five_and_back(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task()
    names = rs.add(2)
    grown = rs.task()
    assert kinds(grown).count("add member") == 2 and kinds(grown).count("grant vote") == 2
    assert len(rs.configured()) == 5 and all(member["votes"] == 1 for member in rs.configured().values())
    rs.reach(["PRIMARY", *["SECONDARY"] * 4])
    settled(rs)
    for name in names:
        del rs.members[name]
    assert rs.task(check=True, phase="grow")["plan"] == []
    shrunk = rs.task(phase="shrink")
    assert kinds(shrunk).count("remove member") == 2 and set(rs.configured()) == {"m0", "m1", "m2"}
    settled(rs, phase="shrink")
    settled(rs, phase="grow")


def test_shrinking_when_the_primary_is_to_go(replica_set: Any) -> None:
    rs = replica_set(3)
    primary = rs.task()["primary"]
    del rs.members[primary]
    result = rs.task(phase="shrink")
    assert kinds(result)[0] == "step down" and primary not in rs.configured()
    assert rs.info()["primary"] in rs.members
    settled(rs)


def test_shrinking_before_there_is_a_set_does_nothing(replica_set: Any) -> None:
    rs = replica_set(2)
    settled(rs, phase="shrink")
    assert set(rs.states().values()) == {"uninitialised"}


def test_priorities_move_the_primary(replica_set: Any) -> None:
    rs = replica_set(3)
    first = rs.task()["primary"]
    chosen = next(name for name in rs.members if name != first)
    rs.members[chosen]["priority"] = 5
    result = rs.task()
    assert kinds(result) == ["change members"]
    until(f"{chosen} is primary", lambda: rs.info()["primary"], holds=lambda primary: primary == chosen)
    settled(rs)


def test_a_hidden_delayed_member(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task()
    (name,) = rs.add(1, hidden=True, secondary_delay_s=3600, votes=0)
    rs.task()
    found = rs.configured()[name]
    delay = found.get("secondaryDelaySecs", found.get("slaveDelay"))
    assert (found["hidden"], delay, found["votes"], found["priority"]) == (True, 3600, 0, 0)
    settled(rs)
    rs.members[name].update(hidden=False, secondary_delay_s=0, votes=1, priority=1)
    rs.task()
    assert rs.configured()[name]["votes"] == 1 and not rs.configured()[name]["hidden"]
    settled(rs)


def test_an_arbiter_comes_and_goes(replica_set: Any) -> None:
    rs = replica_set(2)
    rs.task()
    (name,) = rs.add(1, arbiter=True)
    result = rs.task()
    assert kinds(result) == ["set default write concern", "add arbiter"] and result["warnings"]
    assert rs.states()[name] == "ARBITER"
    settled(rs)
    del rs.members[name]
    rs.task()
    assert len(rs.configured()) == 2
    settled(rs)


def test_a_set_that_begins_with_an_arbiter(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.members["m2"]["arbiter"] = True
    rs.task()
    rs.reach(["ARBITER", "PRIMARY", "SECONDARY"])
    settled(rs)


def test_a_host_is_replaced_and_its_number_is_not_used_again(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task()
    numbers = {member["_id"] for member in rs.configured().values()}
    (name,) = rs.add(1)
    del rs.members["m2"]
    result = rs.task()
    assert kinds(result).index("add member") < kinds(result).index("remove member")
    assert set(rs.configured()) == {"m0", "m1", name} and rs.configured()[name]["_id"] not in numbers
    settled(rs)


def test_a_dead_host_is_replaced(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task()
    rs.server("m2").kill()
    (name,) = rs.add(1)
    del rs.members["m2"]
    rs.task()
    assert set(rs.configured()) == {"m0", "m1", name}
    settled(rs)


def test_a_wiped_disk_is_filled_again_by_the_set(replica_set: Any) -> None:
    rs = replica_set(3)
    made = rs.task()
    with rs.servers.primary.client() as client:
        client.shop.orders.insert_one({"_id": 1})
    lost = next(name for name in rs.members if name != made["primary"])
    rs.server(lost).kill()
    rs.server(lost).wipe()
    rs.server(lost).start()
    result = rs.task()
    assert result["performed"] == [] and rs.info()["set_id"] == made["set_id"]
    rs.reach(["PRIMARY", "SECONDARY", "SECONDARY"])
    with rs.server(lost).client() as client:
        assert client.shop.orders.find_one({"_id": 1})
    settled(rs)


def test_settings_and_tags_are_changed_and_all_else_is_kept(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task(settings={"heartbeatTimeoutSecs": 7})
    rs.members["m1"]["tags"] = {"zone": "a"}
    rs.task(settings={"electionTimeoutMillis": 9000})
    settings = rs.info()["config"]["settings"]
    assert (settings["electionTimeoutMillis"], settings["heartbeatTimeoutSecs"]) == (9000, 7)
    del rs.members["m1"]["tags"]
    settled(rs)
    assert rs.configured()["m1"]["tags"] == {"zone": "a"}


def test_what_somebody_else_has_changed_is_put_right(replica_set: Any) -> None:
    rs = replica_set(3)
    rs.task()
    primary = rs.servers.primary
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["members"][1]["priority"] = 0.5
    primary.command({"replSetReconfig": config})
    assert kinds(rs.task()) == ["change members"]
    settled(rs)
