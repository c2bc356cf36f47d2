# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two of three members lost: evidence, consent, the survivor going on, and the others taken in again one by one."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from waiting import PATIENCE, until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import desired, recovery
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.execute import Execution, Outcome, Request
from ansible_collections.stackgate.k3s.tests.integration.mongodb_operations.conftest import Cluster


def run(
    cluster: Cluster, hosts: Collection[str], consents: Collection[str] = (), timeout: float = PATIENCE, check: bool = False
) -> Outcome:
    """What the task does with these members wanted."""
    wanted = desired.from_options("rs0", [{"name": cluster.names[host], "host": host} for host in hosts])
    execution = Execution(cluster.members, cluster.observer, Request(wanted, frozenset(consents), timeout=timeout), cluster.lines.append)
    return execution.predict() if check else execution.run()


def lose_two(cluster: Cluster) -> str:
    """Kill two members, the primary among them; the survivor, once it has noticed."""
    with cluster.servers.primary.client(w="majority") as connection:
        connection.ledger.entries.insert_one({"_id": "acknowledged"})
    primary, survivor = cluster.servers.primary, cluster.servers.secondaries[-1]
    for member in cluster.servers.members:
        if member is not survivor:
            member.kill()
    assert primary is not survivor
    until("the survivor has noticed", lambda: recovery.assess(cluster.observe()) is not None)
    return survivor.host


def test_the_evidence_is_told_and_nothing_is_forced_without_consent(cluster: Cluster) -> None:
    survivor = lose_two(cluster)
    lost = [host for host in cluster.hosts if host != survivor]
    with pytest.raises(StackgateError) as refused:
        run(cluster, cluster.hosts, timeout=1.0)
    found = refused.value.details["recovery"]
    assert found["best"] == survivor and found["members"] == [survivor]
    assert sorted(found["missing"]) == sorted(lost)
    assert recovery.CONSENT in refused.value.hint
    report = refused.value.details["report"]
    assert "may be lost: every write after" in report and all(host in report for host in cluster.hosts)
    config = cluster.observe().config
    assert config is not None and config.hosts == cluster.hosts, "nothing was changed"


def test_with_consent_the_survivor_goes_on_and_the_others_come_back(cluster: Cluster) -> None:
    survivor = lose_two(cluster)
    planned = run(cluster, [survivor], [recovery.CONSENT], check=True)
    assert [entry.kind for entry in planned.plan] == ["force reconfiguration"]
    done = run(cluster, [survivor], [recovery.CONSENT])
    assert [entry.kind for entry in done.performed] == ["force reconfiguration"]
    with cluster.server(survivor).client() as connection:
        assert connection.ledger.entries.find_one({"_id": "acknowledged"}) is not None
        connection.ledger.entries.insert_one({"_id": "afterwards"})

    # With old data and the old configuration, and with an empty volume.
    returning = [host for host in cluster.hosts if host != survivor]
    cluster.server(returning[1]).wipe()
    for host in returning:
        cluster.server(host).start()
    again = run(cluster, cluster.hosts)
    assert "force reconfiguration" not in [entry.kind for entry in again.performed]
    cluster.wait_written()
    for host in cluster.hosts:
        with cluster.server(host).client() as connection:
            found = {entry["_id"] for entry in connection.ledger.entries.find()}
            assert found == {"acknowledged", "afterwards"}
    assert run(cluster, cluster.hosts).performed == []
    config = cluster.observe().config
    assert config is not None
    assert [member.votes for member in config.members] == [1, 1, 1]


def test_the_consent_alone_forces_nothing(cluster: Cluster) -> None:
    """A majority is there: the consent, left in a file, does no harm."""
    cluster.servers.secondaries[0].kill()
    before = cluster.observe().config
    assert run(cluster, cluster.hosts, [recovery.CONSENT]).performed == []
    after = cluster.observe().config
    assert before is not None and after is not None and after.version == before.version
