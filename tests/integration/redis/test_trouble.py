# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong is named: by the conditions, and by the tasks that wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis_servers import DOWN_AFTER_MS, FAILOVER_TIMEOUT_MS

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import probe
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials, Endpoint, Refused
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import direct_dial

from .conftest import Stage, called


def test_troubles_of_one_set_are_named_and_pass(here: Stage) -> None:
    master = here.set.master()
    replica, other = here.set.replicas()
    epoch = here.observe().epoch
    # A password that the members do not have.
    here.secrets.changed["admin"] = "another"
    assert here.failing("password", "WRONGPASS").fatal
    with pytest.raises(StackgateError, match="every member takes the administrator's password"):
        here.sentinel()
    here.secrets.changed.clear()

    # Servers that do not answer.
    replica.freeze()
    assert [one["trouble"] for one in here.info()["servers"] if one["name"] == called(replica)] == ["not reachable"]
    assert here.failing("answers", called(replica)).members == (called(replica),)
    with pytest.raises(StackgateError, match=f"{called(replica)} answers: no answer in time"):
        here.sentinel(timeout=1, answer_timeout=0.3)
    replica.thaw()
    here.whole()

    # A replica whose link is down, and one that nobody may promote.
    other.ask("CONFIG", "SET", "masterauth", "wrong")
    master.ask("CLIENT", "KILL", "TYPE", "replica")
    here.failing("replicas", f"{called(other)}: its link to {called(master)} is down")
    other.ask("CONFIG", "SET", "masterauth", here.set.password("replication"))
    here.whole()
    other.ask("CONFIG", "SET", "replica-priority", 0)
    assert "may not be promoted yet" in here.set.until("its priority is told", here.verdict, holds=lambda seen: not seen.holds).seen
    other.ask("CONFIG", "SET", "replica-priority", 100)

    # TILT: the sentinel's clock stands still for more than two seconds.
    tilted = here.set.sentinels[0]
    tilted.ask("SENTINEL", "DEBUG", "TILT-PERIOD", 600_000)  # it is in TILT until it is told otherwise
    tilted.freeze()
    time.sleep(2.5)
    here.failing("answers")
    tilted.thaw()
    here.failing("tilt")
    with pytest.raises(StackgateError, match="at rest: TILT"):
        here.sentinel(timeout=0.3)
    tilted.ask("SENTINEL", "DEBUG", "TILT-PERIOD", 1)
    here.whole()

    # The master dies: the failover is waited for, and the dead one.
    here.know("down-after-milliseconds", DOWN_AFTER_MS)
    here.know("failover-timeout", FAILOVER_TIMEOUT_MS)
    master.kill()
    here.set.until("another master", lambda: here.observe().agreed, holds=lambda agreed: agreed not in ("", called(master)))
    here.set.until("the dead one is named", here.verdict, holds=lambda verdict: called(master) in verdict.seen)
    here.know("down-after-milliseconds", here.set.down_after_ms)
    here.know("failover-timeout", here.set.failover_timeout_ms)
    master.start()
    here.whole()
    assert here.observe().epoch > epoch
    assert not here.sentinel()["changed"]


def test_the_write_of_the_gate(stage: Callable[..., Stage]) -> None:
    here = stage(2, 0)
    master, replica = here.set.members

    def way(process: object, user: str = "app") -> Endpoint:
        name = called(process)  # type: ignore[arg-type]
        return Endpoint(name, direct_dial(name), Credentials(user, here.set.password(user)), name)

    # The replica's word that it is near, which the master waits for, comes once a second.
    here.set.until("the master takes writes", lambda: master.info().get("min_slaves_good_slaves") == 1)
    said = probe.write_and_read([way(master), way(master), way(replica)], 1)
    assert "acknowledged by 1 replica, read back through each of 3" in said
    with pytest.raises(Refused, match="READONLY"):
        probe.write_and_read([way(replica)], 0)
    # A way that leads elsewhere.
    for server in (master, replica):
        server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    replica.ask("REPLICAOF", "NO", "ONE")
    replica.ask("SET", probe.KEY, "older")
    with pytest.raises(StackgateError, match="an older value"):
        probe.write_and_read([way(master), way(replica)], 0)
    # Nobody to acknowledge it; as it is configured the server itself refuses then.
    with pytest.raises(StackgateError, match="0 did within"):
        probe.write_and_read([way(master)], 1)
    master.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    with pytest.raises(Refused, match="NOREPLICAS"):
        probe.write_and_read([way(master)], 1)
