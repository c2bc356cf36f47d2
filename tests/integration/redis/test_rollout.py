# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling restart of real servers and sentinels while an application writes."""

from __future__ import annotations

from redis_servers import RedisProcess
from redis_writer import RedisLedger
from waiting import PATIENCE

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health, observe, rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switchover

from .conftest import Stage, called


class Processes:
    """Processes in the place of pods: all are to be replaced once."""

    def __init__(self, stage: Stage) -> None:
        self.all = {called(process): process for process in stage.set.everyone}
        self.left = set(self.all)

    def pending(self) -> dict[str, str]:
        return {name: "a new revision" for name in self.all if name in self.left}

    def down(self, name: str) -> bool:
        return not self.all[name].running

    def trouble(self) -> StackgateError | None:
        return None

    def replace(self, name: str) -> None:
        process: RedisProcess = self.all[name]
        if process.running:
            process.terminate()
        process.start()
        self.left.remove(name)


def test_all_restart_in_order_and_no_write_is_lost(here: Stage) -> None:
    processes = Processes(here)
    here.set.sentinels[2].kill()  # a member that is down is repaired first
    master, replicas = called(here.set.master()), [called(process) for process in here.set.replicas()]
    with here.fleet() as fleet, RedisLedger(here.set) as ledger:
        ledger.more(20)
        observer = observe.Observer(fleet)
        rolling = rollout.Rollout(observer.observe, Switchover(fleet).run, processes, health.Bounds(), here.said.append, PATIENCE)
        foreseen = rollout.plan(processes.pending(), observer.observe())
        rolling.run()
        ledger.more(20)
    sentinels = [called(process) for process in here.set.sentinels]
    assert rolling.restarted == [*sentinels[::-1], *replicas[::-1], master]
    assert rolling.done[-2:] == [f"{master} hands over to another server", f"restart {master} (replica): a new revision"]
    assert foreseen[-2:] == [f"{master} hands over to another server", f"restart {master} (master): a new revision"]
    assert ledger.lost() == []
    here.whole()
