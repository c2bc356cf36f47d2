# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A coordinated switchover of real servers: that no write is lost, and what is left when it breaks off."""

from __future__ import annotations

import os
from typing import Any

import pytest
from redis_writer import RedisLedger

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import switchover

from .conftest import Stage, called


def test_writes_go_on_and_none_is_lost(here: Stage) -> None:
    with RedisLedger(here.set) as ledger, here.fleet() as fleet:
        ledger.more()
        for _time in range(3):
            before = here.set.leader()
            switched = switchover.switchover(fleet, say=here.said.append)
            ledger.more(20)
            assert switched.old == called(before) != switched.new == called(here.set.leader())
            here.whole()
        chosen = called(here.set.replicas()[-1])
        assert switchover.switchover(fleet, candidate=chosen).new == chosen
        here.whole()
        ledger.more(20)
    assert ledger.lost() == []
    # The old masters were opened again, and may be promoted again.
    assert [server.priority for server in here.observe().servers] == [100] * 3


def test_a_sentinel_that_starts_again_at_that_moment_is_waited_for(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is to choose ends after it was asked for its view."""
    sentinel, before = here.set.sentinels[0], here.set.leader()
    ready, killed = switchover.Switchover._ready, []

    def ends_meanwhile(self: switchover.Switchover, old: Any) -> None:
        ready(self, old)
        if not killed:
            killed.append(sentinel.name)
            sentinel.kill()

    def starts_again(line: str) -> None:
        here.said.append(line)
        if not sentinel.running:
            sentinel.start()

    monkeypatch.setattr(switchover.Switchover, "_ready", ends_meanwhile)
    with here.fleet() as fleet:
        switched = switchover.switchover(fleet, say=starts_again)
    assert killed and switched.old == called(before)
    assert any(line.startswith("not yet: ") for line in here.said)
    here.whole()


def test_without_a_replica_to_promote_nothing_is_changed(here: Stage) -> None:
    before, master = here.observe(), here.set.leader()
    replicas = here.set.replicas()

    def prioritise(priority: int) -> None:
        for replica in replicas:
            replica.ask("CONFIG", "SET", "replica-priority", priority)
        here.set.until(
            f"the sentinels know the priority {priority}",
            lambda: {known.priority for one in here.observe().sentinels for known in one.replicas},
            holds=lambda seen: seen == {priority},
        )

    prioritise(0)
    try:
        master.ask("CONFIG", "RESETSTAT")
        with here.fleet() as fleet, RedisLedger(here.set) as ledger:
            with pytest.raises(StackgateError, match="knows none"):
                switchover.switchover(fleet, timeout=2)
            ledger.more(20)
        assert "cmdstat_client|pause" not in master.info("commandstats"), "no write had to wait"
        after = here.observe()
        assert (after.agreed, after.epoch) == (before.agreed, before.epoch)
    finally:
        prioritise(100)


@pytest.mark.parametrize("last", ["_caught_up", "_promoted"])
def test_who_is_killed_in_the_middle_leaves_a_set_that_heals(here: Stage, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setattr(switchover, "PAUSE", 2.0)

    def die(*_arguments: Any) -> None:
        os._exit(1)

    with RedisLedger(here.set) as ledger:
        ledger.more(20)
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(switchover.Switchover, last, die)
            with here.fleet() as fleet:
                switchover.switchover(fleet)
            os._exit(0)
        assert os.waitpid(child, 0)[1] != 0
        ledger.more(20)
        here.whole()
        ledger.more(20)
        with here.fleet() as fleet:
            switched = switchover.switchover(fleet)
        assert switched.new == called(here.set.leader())
        ledger.more(20)
    assert ledger.lost() == []
