# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate says of running servers: in order, and what is named when something is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mongodb_servers import ReplicaSetServers
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client, health, probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.tests.integration.mongodb_operations.conftest import Cluster


def orders(cluster: Cluster) -> None:
    """Skip where the servers take no orders."""
    if cluster.servers.members[0].real:
        pytest.skip("a real server takes no orders such as a partition")


def test_a_set_in_order_takes_a_write_again_and_again(shared: Cluster) -> None:
    for _round in range(3):
        verdict = shared.wait_written()
    assert "2 secondaries" in verdict.seen and "read back from" in verdict.seen
    with shared.servers.primary.client() as connection:
        assert connection.stackgate.gate.count_documents({}) == 1, "the probe does not grow"


def test_with_a_login(start: Callable[..., Cluster]) -> None:
    cluster = start(auth=True)
    cluster.wait_written()
    stranger = client.reach(dict.fromkeys(cluster.hosts, ""), client.Credentials("root", "wrong"))
    verdict = health.judge(Observer(stranger, "rs0", cluster.hosts).observe(), health.Bounds(), cluster.hosts)
    stranger.close()
    assert verdict.condition == "belongs" and "credentials" in verdict.hint


def test_servers_that_are_no_set_yet() -> None:
    with ReplicaSetServers(2, speed=10) as servers:
        members = client.reach(dict.fromkeys(servers.hosts, ""), None)
        verdict = health.judge(Observer(members, "rs0", servers.hosts).observe(), health.Bounds(), servers.hosts)
        members.close()
    assert (verdict.condition, "has no configuration yet" in verdict.seen) == ("belongs", True)


def test_a_killed_member(shared: Cluster) -> None:
    victim = shared.servers.secondaries[0]
    victim.kill()
    assert shared.failing("answers").hosts == (victim.host,)


def test_a_member_started_for_another_set(cluster: Cluster) -> None:
    victim = cluster.servers.secondaries[0]
    victim.options = ["--replSet" if option == "--replSet" else "other" if option == "rs0" else option for option in victim.options]
    victim.restart()
    verdict = cluster.failing("belongs")
    assert victim.host in verdict.seen
    assert verdict.hint


def test_a_member_that_was_removed(cluster: Cluster) -> None:
    primary, victim = cluster.servers.primary, cluster.servers.secondaries[0]
    config = primary.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["members"] = [member for member in config["members"] if member["host"] != victim.host]
    primary.command({"replSetReconfig": config})
    verdict = cluster.failing("belongs")
    assert f"{victim.host} is REMOVED" in verdict.seen and "does not list it" in verdict.seen
    assert "mongodb_replica_set" in verdict.hint


def test_a_secondary_in_maintenance(shared: Cluster) -> None:
    victim = shared.servers.secondaries[0]
    victim.command({"replSetMaintenance": True})
    verdict = shared.failing("states")
    assert f"{victim.host} is RECOVERING, not SECONDARY" in verdict.seen
    victim.command({"replSetMaintenance": False})


def test_members_that_do_not_reach_each_other(shared: Cluster) -> None:
    orders(shared)
    shared.servers.partition(*([member] for member in shared.servers.members))
    verdict = shared.failing("primary")
    assert "no primary" in verdict.seen


def test_two_members_that_do_not_reach_each_other(shared: Cluster) -> None:
    """Each answers us; which of the two is named depends on who is elected meanwhile."""
    orders(shared)
    primary, other = shared.servers.primary, shared.servers.secondaries[0]
    primary.order({"order": "partition", "hosts": [other.host]})
    verdict = shared.failing("states", "primary")
    assert primary.host in verdict.seen or other.host in verdict.seen


def test_a_write_without_a_majority(shared: Cluster) -> None:
    # In the seconds before the primary steps down it still takes writes, and no majority acknowledges them (recorded: 06c).
    seen = shared.observe()
    for member in shared.servers.secondaries:
        member.freeze()
    found = probe.write_and_read(shared.members, seen, "rs0")
    for member in shared.servers.members:
        member.thaw()
    verdict = health.judge(seen, health.Bounds(), shared.hosts, found)
    assert verdict.condition == "write", verdict


def test_the_kind_of_condition_end_to_end(shared: Cluster) -> None:
    """The condition itself, with members that are connected to directly, as a gate runs it."""

    class View:
        namespace = "none"
        cluster = None
        session: Any = type("Session", (), {"check_mode": False, "lasting": lambda _self, _key: 0.0})()

        def pod(self, _name: str) -> None:
            return None

    (condition,) = _protocol.parse([{"kind": "mongodb", "set": "rs0", "members": [{"host": host} for host in shared.hosts]}])
    view: Any = View()
    until("it holds", lambda: condition.observe(view), holds=lambda seen: seen.state == "holds")
    shared.servers.secondaries[0].kill()
    seen = until("it does not hold", lambda: condition.observe(view), holds=lambda seen: seen.state == "waiting")
    condition.close(view)
    assert seen.data["condition"] == "answers"
