# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All pods killed at the same moment: one master each time, and nothing that was acknowledged is lost."""

from __future__ import annotations

import random

from redis_servers import RedisSet
from redis_writer import RedisLedger

from .conftest import settled

TIMES = 10


def test_all_are_killed_at_the_same_moment_ten_times(redis_set: RedisSet) -> None:
    chance = random.Random(6)
    with RedisLedger(redis_set) as ledger:
        for _time in range(TIMES):
            ledger.more(500)
            redis_set.kill()
            everyone = redis_set.everyone
            chance.shuffle(everyone)
            for process in everyone:
                process.start()
            redis_set.wait()
            assert ledger.lost() == []
    redis_set.until(
        "one is master, the others are replicas",
        lambda: sorted(str(member.info().get("role")) for member in redis_set.members),
        holds=lambda roles: roles == ["master", "slave", "slave"],
    )
    assert len(ledger.acknowledged) >= 500 * TIMES


def test_all_servers_are_killed_while_the_sentinels_begin_a_failover(quick_set: RedisSet) -> None:
    """Sentinels that chose a replica just before it died would promote it when it is back; the master has the newer data."""
    master = quick_set.wait()
    settled(quick_set)
    with RedisLedger(quick_set) as ledger:
        ledger.more()
        quick_set.kill(*quick_set.members)
        quick_set.until(
            "a failover begins",
            lambda: [quick_set.sentinel_master(one).get("flags", "") for one in quick_set.sentinels],
            holds=lambda seen: any("failover_in_progress" in flags for flags in seen),
        )
        quick_set.start()
        assert quick_set.wait() is master
        assert ledger.lost() == []
