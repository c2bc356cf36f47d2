# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling restarts of running servers under load, with processes in place of pods."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from mongodb_servers import MongodServer
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import keyfile
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.upkeep import Upkeep, Wishes
from ansible_collections.stackgate.k3s.tests.integration.mongodb_operations.conftest import Cluster, Ledger, Processes
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb import test_upkeep


def test_every_member_restarts_the_primary_last_and_no_acknowledged_write_is_lost(cluster: Cluster) -> None:
    primary = cluster.names[cluster.servers.primary.host]
    started = {member.host: member.pid for member in cluster.servers.members}
    processes = Processes(cluster, cluster.hosts)
    with Ledger(cluster) as ledger:
        ledger.more()
        rolling = cluster.rolling(processes)
        rolling.run()
        ledger.more()
    assert processes.order[-1] == primary
    assert sorted(processes.order) == sorted(cluster.names.values())
    assert all(member.pid != started[member.host] for member in cluster.servers.members)
    assert f"{primary} hands over to another member" in rolling.done
    cluster.wait_written()
    assert ledger.lost() == []


def test_nothing_pending_restarts_nobody(cluster: Cluster) -> None:
    processes = Processes(cluster)
    cluster.rolling(processes).run()
    assert (processes.order, cluster.lines) == ([], [])


def test_a_run_that_was_killed_is_continued(cluster: Cluster) -> None:
    def die(_host: str) -> None:
        if len(processes.order) == 1:
            raise KeyboardInterrupt

    processes = Processes(cluster, cluster.hosts, die)
    with pytest.raises(KeyboardInterrupt):
        cluster.rolling(processes).run()
    processes.before = lambda _host: None
    cluster.rolling(processes).run()
    assert sorted(processes.order) == sorted(cluster.names.values()), "each once"
    cluster.wait_written()


def test_a_member_that_is_down_goes_first(cluster: Cluster) -> None:
    victim = cluster.servers.secondaries[-1]
    victim.kill()
    processes = Processes(cluster, cluster.hosts)
    cluster.rolling(processes).run()
    assert processes.order[0] == cluster.names[victim.host]
    assert len(processes.order) == 3


def test_a_step_down_waits_for_frozen_members(cluster: Cluster) -> None:
    # recorded: 05: with all others frozen the server answers 262
    def freeze_others() -> MongodServer:
        primary = cluster.servers.primary
        for member in cluster.servers.members:
            if member is not primary:
                member.command({"replSetFreeze": 100_000})
        return primary

    # Refused to one that has just been elected.
    primary: MongodServer = until("all but the primary are frozen", freeze_others, passing=(pymongo.errors.OperationFailure,))
    frozen = datetime.now(UTC).replace(tzinfo=None)  # as the server's dates are read

    def heard_since() -> list[bool]:
        """Whether the primary has had an answer of each of the others, since they were frozen."""
        members = primary.command("replSetGetStatus")["members"]
        return [member["lastHeartbeat"] > frozen for member in members if not member.get("self")]

    until("the primary has heard of the others", heard_since, holds=all)
    processes = Processes(cluster, (primary.host,))
    rolling = cluster.rolling(processes)
    say = rolling.say

    def thaw(line: str) -> None:
        say(line)
        if "stays primary for now" in line:
            for member in cluster.servers.members:
                if member is not primary:
                    member.command({"replSetFreeze": 0})

    rolling.say = thaw
    rolling.run()
    assert processes.order == [cluster.names[primary.host]]
    assert any("no electable secondary has caught up" in line for line in cluster.lines)


class Keyed(Processes):
    """Processes that read their key file when they start, as pods read it from the Secret; what Upkeep wants of pods."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.secret = test_upkeep.Cluster()
        key = cluster.servers.key_file.read_text()
        assert self.secret.secret is not None
        self.secret.secret = keyfile.written(self.secret.secret, "key", keyfile.KeyRing((key,)))
        self.numbers = itertools.count()
        self.ids = {host: f"uid-{next(self.numbers)}" for host in cluster.hosts}
        self.asked: dict[str, str] = {}

    def live(self) -> Mapping[str, str]:
        return self.ids

    def uids(self) -> list[str]:
        return list(self.ids.values())

    def made_by(self, _stateful_sets: tuple[str, ...]) -> list[str]:
        return []

    def pending(self) -> dict[str, str]:
        return {host: self.asked[uid] for host, uid in self.ids.items() if uid in self.asked}

    def replace(self, host: str) -> None:
        server = self.cluster.server(host)
        path = self.cluster.servers.write_key(f"key-{host}", *self.secret.keys)
        server.options[server.options.index("--keyFile") + 1] = str(path)
        self.order.append(host)
        server.restart()
        self.ids[host] = f"uid-{next(self.numbers)}"

    def upkeep(self, **wishes: Any) -> Upkeep:
        given = Wishes(key_secret=("mongodb-key", "key"), **wishes)
        rolling = self.cluster.rolling(self)
        return Upkeep(self.secret, "none", self, rolling, given, self.cluster.lines.append)  # type: ignore[arg-type]


def test_the_key_is_replaced_without_downtime(start: Callable[..., Cluster]) -> None:
    cluster = start(auth=True)
    (old,) = keyfile.parse(cluster.servers.key_file.read_text())
    processes = Keyed(cluster)
    with Ledger(cluster) as ledger:
        ledger.more()
        result = processes.upkeep(rotate_key=True).run()
        ledger.more()
    assert result["key_rotation"] == "steady"
    assert len(processes.order) == 9
    (new,) = processes.secret.keys
    assert new != old
    for member in cluster.servers.members:
        file = member.options[member.options.index("--keyFile") + 1]
        with open(file, encoding="utf-8") as opened:
            assert keyfile.parse(opened.read()) == (new,)
    cluster.wait_written()
    assert ledger.lost() == []


def test_the_feature_compatibility_version_is_raised_after_the_burn_in(start: Callable[..., Cluster]) -> None:
    cluster = start(auth=True)
    version = cluster.observe().members[0].version
    if version is None or version[:2] != (5, 0):
        pytest.skip("written for 5.0, which knows 4.4 and 5.0")
    processes = Keyed(cluster)
    cluster.command(cluster.servers.primary.host, {"setFeatureCompatibilityVersion": "4.4"})
    cluster.wait_in_order()
    early = processes.upkeep(feature_compatibility_version="5.0", burn_in=1e6).run()
    assert early["changed"] is False and "of a burn-in of 1000000 s" in early["feature_compatibility_version"]
    assert processes.upkeep(feature_compatibility_version="5.0").predict()["changed"] is True
    result = processes.upkeep(feature_compatibility_version="5.0").run()
    assert result["plan"] == ["raise the feature compatibility version from 4.4 to 5.0"]
    primary = cluster.observe().primary
    assert primary is not None and primary.fcv == (5, 0)
    assert processes.upkeep(feature_compatibility_version="5.0").run()["changed"] is False
