# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double by itself: elections, replication, reconfiguration, rollback, on a fast clock."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from double_members import Document, Member, members

MAJORITY = {"w": "majority", "wtimeout": 600_000}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 600))


async def write(member: Member, identity: Any, concern: Document | None = None) -> Document:
    return await member.run({"insert": "ledger", "documents": [{"_id": identity}], "writeConcern": concern or MAJORITY}, "test")


async def ledger(member: Member) -> set[Any]:
    return {document["_id"] for document in member.node.documents("test.ledger")}


def test_three_become_a_set_whose_primary_is_the_one_that_was_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            assert await rs.primary() is rs[0]
            await rs.all_in("PRIMARY", "SECONDARY")
            reply = await write(rs[0], 1)
            assert reply["n"] == 1
            assert "writeConcernError" not in reply
            await rs.until("all have it", lambda: all(member.node.documents("test.ledger") for member in rs.members))
            error = await rs[1].refusal({"insert": "ledger", "documents": [{"_id": 2}]}, "test")
            assert (error.code, error.errmsg) == (10107, "not primary")

    run(test)


def test_a_killed_primary_is_followed_and_comes_back_as_a_secondary(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await write(rs[0], "before")
            began = rs[0].clock.monotonic()
            await rs[0].kill()
            primary = await rs.primary()
            assert rs[0].clock.monotonic() - began > 8, "nobody may run before the election timeout"
            await write(primary, "after")
            await rs[0].start()
            await rs.until("it has both writes", lambda: _ids(rs[0]) == {"before", "after"})
            assert rs[0].node.topology.state.name == "SECONDARY"

    run(test)


def test_a_stepped_down_primary_hands_over_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await write(rs[0], 1)
            applied, views = rs[0].node.store.applied.optime, rs[0].node.topology.views
            await rs.until("it knows that the others have all", lambda: all(view.applied.optime >= applied for view in views.values()))
            await rs[0].run({"replSetStepDown": 300, "secondaryCatchUpPeriodSecs": 60})
            primary = await rs.primary()
            assert primary is not rs[0]
            candidate = primary.node.topology.metrics.candidate
            assert candidate is not None
            assert candidate["lastElectionReason"] == "stepUpRequestSkipDryRun"
            assert (await rs[0].refusal({"replSetStepDown": 30})).code == 10107

    run(test)


def test_nobody_to_follow_keeps_the_primary(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            for member in rs.members[1:]:
                await member.run({"replSetFreeze": 10_000})
            views = rs[0].node.topology.views
            await rs.until("it knows that the others are frozen", lambda: not any(view.electable for view in views.values()))
            error = await rs[0].refusal({"replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 2})
            assert error.code == 262
            assert rs[0].writable

    run(test)


def test_without_a_majority_the_primary_steps_down_and_writes_time_out(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            for member in rs.members[1:]:
                await member.kill()
            reply = await write(rs[0], 1, {"w": "majority", "wtimeout": 1000})
            assert reply["writeConcernError"]["code"] == 64
            await rs.until("it steps down", lambda: not rs[0].writable)
            assert (await rs[0].refusal({"insert": "ledger", "documents": [{"_id": 2}]}, "test")).code == 10107
            config = (await rs[0].run({"replSetGetConfig": 1}))["config"]
            await rs[0].run({"replSetReconfig": {**config, "members": config["members"][:1]}, "force": True})
            assert await rs.primary() is rs[0]
            forced = (await rs[0].run({"replSetGetConfig": 1}))["config"]
            assert forced["version"] > 10_000
            assert "term" not in forced

    run(test)


def test_a_higher_priority_takes_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await rs.reconfig(lambda config: config["members"][2].update(priority=5))
            await rs.until("it takes over", lambda: rs[2].writable)
            await rs.until("the other one steps down", lambda: not rs[0].writable)

    run(test)


def test_a_new_voter_counts_when_it_has_its_data(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(4, tmp_path, initiate=3) as rs:
            await rs.all_in("PRIMARY", "SECONDARY", "STARTUP")
            for number in range(50):
                await write(rs[0], number)
            await rs[3].node.control({"order": "hold_initial_sync", "hold": True})
            await rs.reconfig(lambda config: config["members"].append({"_id": 3, "host": rs[3].host}))
            config = rs[0].node.topology.config
            assert config is not None
            assert config.member(3).newly_added
            assert "newlyAdded" not in (await rs[0].run({"replSetGetConfig": 1}))["config"]["members"][3]
            assert (await rs[0].run({"hello": 1}))["passives"] == [rs[3].host]
            await rs.until("it synchronises", lambda: rs[3].node.topology.state.name == "STARTUP2")
            await asyncio.sleep(rs[0].clock.real(6))
            assert len(rs[0].node.topology.config.voters) == 3
            await rs[3].node.control({"order": "hold_initial_sync", "hold": False})
            await rs.until("it votes", lambda: len(rs[0].node.topology.config.voters) == 4)
            assert rs[0].node.topology.config.version == config.version + 1
            assert await ledger(rs[3]) == set(range(50))

    run(test)


def test_a_wiped_member_copies_everything_and_rejoins(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await write(rs[0], 1)
            await rs[2].kill()
            (tmp_path / "m2" / "journal.bson").unlink()
            await rs[2].start()
            assert (await rs[2].refusal({"replSetGetStatus": 1})).code == 94
            await rs.until("it is a secondary", lambda: rs[2].node.topology.state.name == "SECONDARY")
            assert await ledger(rs[2]) == {1}

    run(test)


def test_one_voter_at_a_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(5, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            config = (await rs[0].run({"replSetGetConfig": 1}))["config"]
            two_less = {**config, "version": 2, "members": config["members"][:3]}
            error = await rs[0].refusal({"replSetReconfig": two_less})
            assert error.code == 103
            assert "at most 1 voting member" in error.errmsg
            stale = {**config, "version": 1}
            assert "must be greater than old" in (await rs[0].refusal({"replSetReconfig": stale})).errmsg
            removed = {**config, "version": 2, "members": config["members"][1:]}
            assert (await rs[0].refusal({"replSetReconfig": removed})).code == 74
            passive = [{**config["members"][0], "priority": 0}, *config["members"][1:]]
            assert (await rs[0].refusal({"replSetReconfig": {**config, "version": 2, "members": passive}})).code == 104
            arbiter = [
                *config["members"][:4],
                {**config["members"][4], "arbiterOnly": True, "priority": 0, "_id": 9, "host": "127.0.0.1:1"},
            ]
            assert (await rs[0].refusal({"replSetReconfig": {**config, "version": 2, "members": arbiter}})).code in (103,)
            await rs.reconfig(lambda config: config["members"].pop())
            await rs.until("it knows", lambda: rs[4].node.topology.state.name == "REMOVED")
            assert (await rs[4].refusal({"replSetGetStatus": 1})).code == 93

    run(test)


def test_a_write_that_nobody_else_had_is_rolled_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path, speed=10) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await write(rs[0], "kept")
            others = [member.host for member in rs.members[1:]]
            await rs[0].node.control({"order": "partition", "hosts": others})
            for member in rs.members[1:]:
                await member.node.control({"order": "partition", "hosts": [rs[0].host]})
            await write(rs[0], "lost", {"w": 1})
            await rs.until("the others have a primary", lambda: any(member.writable for member in rs.members[1:]))
            primary = next(member for member in rs.members[1:] if member.writable)
            await write(primary, "new")
            for member in rs.members:
                await member.node.control({"order": "heal"})
            await rs.until("its own write is gone", lambda: _ids(rs[0]) == {"kept", "new"})
            assert rs[0].node.store.rollback_id == 2
            assert not rs[0].writable

    run(test)


def test_who_lacks_a_majority_write_is_not_elected(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await rs[2].run({"fsync": 1, "lock": True})
            await write(rs[0], 1)
            await rs[1].run({"replSetFreeze": 10_000})
            await rs[0].kill()
            with pytest.raises(AssertionError, match="it is elected"):
                await rs.until("it is elected", lambda: rs[2].node.topology.state.name == "PRIMARY", rs[2].clock.real(30))
            await rs[1].run({"replSetFreeze": 0})
            assert await rs.primary() is rs[1]

    run(test)


def test_a_majority_read_sees_only_what_a_majority_has(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            await write(rs[0], 1)
            for member in rs.members[1:]:
                await member.run({"fsync": 1, "lock": True})
            await write(rs[0], 2, {"w": 1})
            find = {"find": "ledger", "readConcern": {"level": "majority"}}
            assert [doc["_id"] for doc in (await rs[0].run(find, "test"))["cursor"]["firstBatch"]] == [1]
            assert len((await rs[0].run({"find": "ledger"}, "test"))["cursor"]["firstBatch"]) == 2
            for member in rs.members[1:]:
                await member.run({"fsyncUnlock": 1})
            store, topology = rs[0].node.store, rs[0].node.topology
            await rs.until("a majority has both", lambda: len(store.documents("test.ledger", topology.majority_read)) == 2)

    run(test)


def test_a_retried_write_is_done_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with members(3, tmp_path) as rs:
            await rs.all_in("PRIMARY", "SECONDARY")
            body = {"insert": "ledger", "documents": [{"_id": 1}], "lsid": {"id": b"a" * 16}, "txnNumber": 1, "writeConcern": MAJORITY}
            assert (await rs[0].run(body, "test"))["n"] == 1
            await rs[0].kill()
            primary = await rs.primary()
            again = await primary.run(body, "test")
            assert again["n"] == 1
            assert "writeErrors" not in again

    run(test)


@pytest.mark.parametrize("seed", range(3))
def test_no_majority_write_is_lost_however_often_members_are_killed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def test() -> None:
        async with members(3, tmp_path, speed=15) as rs:
            acknowledged: set[int] = set()
            stopped = asyncio.Event()

            async def writer() -> None:
                number = 0
                while not stopped.is_set():
                    primary = next((member for member in rs.members if member.writable), None)
                    number += 1
                    try:
                        assert primary is not None
                        reply = await asyncio.wait_for(write(primary, number), 1)  # one that is killed never answers
                        if reply["n"] == 1 and "writeConcernError" not in reply:
                            acknowledged.add(number)
                    except Exception:
                        await asyncio.sleep(0.01)

            writing = asyncio.create_task(writer())
            for _round in range(5):
                enough = len(acknowledged) + 5
                await rs.until("more writes are acknowledged", lambda enough=enough: len(acknowledged) >= enough)
                victim = chance.choice([member for member in rs.members if member.writable] or rs.members)
                await victim.kill()
                await asyncio.sleep(chance.random() * 0.9)
                await victim.start()
            stopped.set()
            await writing
            await rs.all_in("PRIMARY", "SECONDARY")
            await rs.primary()
            await rs.until("all have every write", lambda: all(acknowledged <= _ids(member) for member in rs.members))

    run(test)


def _ids(member: Member) -> set[int]:
    return {document["_id"] for document in member.node.documents("test.ledger")}
