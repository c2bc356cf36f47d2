# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers and sentinels, started by redis-member as in pods."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_programs import redis_member, redis_server
from redis_servers import LOOK_S, RedisProcess, RedisSet


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """What is started here."""
    if not redis_server() or not redis_member():
        pytest.skip("there is no redis-server ($STACKGATE_REDIS_SERVER, PATH, apt-get), or no Go")


@pytest.fixture
def make_set(tmp_path: Path) -> Iterator[Callable[..., RedisSet]]:
    """Make a set that is not started; all of them end with the test."""
    made: list[RedisSet] = []

    def make(**options: Any) -> RedisSet:
        made.append(RedisSet(tmp_path / f"set-{len(made)}", program=redis_member(), **options))
        return made[-1]

    yield make
    for redis_set in made:
        redis_set.close()


@pytest.fixture
def redis_set(make_set: Callable[..., RedisSet]) -> RedisSet:
    """Three servers and three sentinels that run and are whole. The sentinels fail over when they are told to."""
    made = make_set(patient=True)
    made.start()
    made.wait()
    return made


@pytest.fixture(scope="module")
def kept_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSet]:
    """The same for all tests of a file that change nothing."""
    with RedisSet(tmp_path_factory.mktemp("kept") / "set", program=redis_member(), patient=True) as made:
        made.start()
        made.wait()
        yield made


@pytest.fixture
def quick_set(make_set: Callable[..., RedisSet]) -> RedisSet:
    """The same; the sentinels notice a dead master soon, and members wait for missing ones for 4 s only."""
    made = make_set(options=["-patience", "4s"])
    made.start()
    made.wait()
    return made


def evidence(process: RedisProcess) -> dict[str, Any]:
    """What a member tells the others; empty when it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{process.address}:{process.port + 1}/evidence", timeout=LOOK_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except OSError:
        return {}


def decided(process: RedisProcess, words: str) -> None:
    """Wait until a member says that it has decided so."""
    process.owner.until(
        f"{process.name} says: {words}", lambda: evidence(process).get("decision", ""), holds=lambda decision: words in decision
    )


def settled(redis_set: RedisSet) -> None:
    """Until every member has written down that it has the master's data, and may be promoted."""

    def holds() -> bool:
        told = [evidence(member) for member in redis_set.members if member.running]
        return (
            all(one and one["promotable"] and one["set"] and not one["unsettled"] for one in told)
            and len({one["set"] for one in told}) == 1
        )

    redis_set.until("all are settled", holds)
