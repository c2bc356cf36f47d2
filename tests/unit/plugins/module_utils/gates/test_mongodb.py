# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The condition: what it asks, when it writes, and what it makes of a verdict. What a verdict says is tested in mongodb/test_health.py."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, mongodb
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._fields import FieldErrors
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.health import Probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, OpTime, Standing
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import Scene

MEMBERS = [{"name": f"mongodb-{n}", "pod": f"mongodb-{n}", "host": f"mongodb-{n}.members:27017", "priority": 1} for n in range(2)]
HOSTS = tuple(member["host"] for member in MEMBERS)
GATE = {"kind": "mongodb", "set": "rs0", "members": MEMBERS, "credentials_secret": "mongodb-admin"}


def in_order() -> list[MemberObservation]:
    entries = [{"_id": n, "host": host, "votes": 1, "priority": 1} for n, host in enumerate(HOSTS)]
    config = ReplicaSetConfig({"_id": "rs0", "version": 1, "term": 1, "members": entries})
    optime = OpTime(1, 1000, 1)
    return [
        MemberObservation(
            host,
            Standing.MEMBER,
            me=host,
            state=state,
            config=config,
            writable=state == "PRIMARY",
            primary=HOSTS[0],
            term=1,
            optime=optime,
            committed=optime,
        )
        for host, state in zip(HOSTS, ("PRIMARY", "SECONDARY"), strict=True)
    ]


class Servers:
    """In place of the client: what was asked for, and what the members say."""

    def __init__(self) -> None:
        self.said = in_order()
        self.reached: list[tuple[Any, ...]] = []
        self.observed = self.written = self.closed = 0
        self.probe = Probe(written_to=HOSTS[0], read_from=HOSTS[1], seconds=0.01)

    def reach(self, *given: Any) -> Servers:
        self.reached.append(given)
        return self

    def observer(self, _members: Any, set_name: str, hosts: tuple[str, ...], _timeout: float) -> Servers:
        assert (set_name, hosts) == ("rs0", HOSTS)
        return self

    def observe(self) -> Observation:
        self.observed += 1
        return Observation("rs0", tuple(self.said))

    def write_and_read(self, _members: Any, _observation: Observation, _name: str) -> Probe:
        self.written += 1
        return self.probe

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    played = Servers()
    monkeypatch.setattr(mongodb.client, "reach", played.reach)
    monkeypatch.setattr(mongodb, "Observer", played.observer)
    monkeypatch.setattr(mongodb.probe, "write_and_read", played.write_and_read)
    return played


@pytest.fixture
def stage(scene: Callable[..., Scene]) -> Scene:
    """A cluster with the admin's Secret."""
    made = scene("stateful_ready")
    made.cluster.secrets["mongodb-admin"] = {
        key: base64.b64encode(value.encode()).decode() for key, value in (("username", "admin"), ("password", "geheim"))
    }
    return made


def condition(**more: Any) -> mongodb.Mongodb:
    (made,) = _protocol.parse([{**GATE, **more}])
    assert isinstance(made, mongodb.Mongodb)
    return made


def test_a_set_in_order(servers: Servers, stage: Scene) -> None:
    seen = condition().observe(stage.view())
    assert seen.state == "holds"
    assert seen.seen.startswith(f"primary {HOSTS[0]}, 1 secondary") and seen.seen.endswith(f"read back from {HOSTS[1]}")
    assert "geheim" not in repr(servers.reached) + repr(seen)


def test_connections_are_made_once_and_closed_at_the_end(servers: Servers, stage: Scene) -> None:
    made = condition()
    for _round in range(3):
        made.observe(stage.view())
    made.close(stage.view())
    assert (len(servers.reached), servers.observed, servers.written, servers.closed) == (1, 3, 3, 1)
    hosts, credentials, namespace, _cluster = servers.reached[0]
    assert hosts == {host: member["pod"] for host, member in zip(HOSTS, MEMBERS, strict=True)}
    assert (credentials.username, credentials.password, namespace) == ("admin", "geheim", stage.cluster.namespace)
    condition().close(stage.view())  # never asked: nothing to close


def test_check_mode_does_not_write(servers: Servers, stage: Scene) -> None:
    stage.session.check_mode = True
    assert condition().observe(stage.view()).state == "holds"
    assert (servers.observed, servers.written) == (1, 0)


def test_no_write_without_the_probe_or_while_something_else_is_wrong(servers: Servers, stage: Scene) -> None:
    assert condition(write_probe=False).observe(stage.view()).state == "holds"
    servers.said[1] = dataclasses.replace(servers.said[1], state="STARTUP2")
    assert condition().observe(stage.view()).state == "waiting"
    assert servers.written == 0


def test_a_failed_condition_is_named_with_the_pod_whose_log_explains_it(servers: Servers, stage: Scene) -> None:
    servers.said[1] = MemberObservation(HOSTS[1], Standing.UNREACHABLE, error="connection refused")
    seen = condition().observe(stage.view())
    assert (seen.state, seen.data["condition"]) == ("waiting", "answers")
    assert seen.seen == f"every member answers: 1/2 answer; {HOSTS[1]}: connection refused"
    assert [suspect.pod for suspect in seen.suspects] == ["mongodb-1"]


def test_a_write_that_no_majority_acknowledges(servers: Servers, stage: Scene) -> None:
    servers.probe = Probe("64 WriteConcernFailed: waiting for replication timed out", written_to=HOSTS[0])
    seen = condition().observe(stage.view())
    assert (seen.state, seen.data["condition"]) == ("waiting", "write")
    assert "waiting for replication timed out" in seen.seen


def test_what_cannot_heal_ends_the_gate_when_it_lasts(servers: Servers, stage: Scene) -> None:
    servers.said[1] = dataclasses.replace(servers.said[1], standing=Standing.STANDALONE)
    made = condition()
    assert made.observe(stage.view()).state == "waiting"
    for _second in range(16):
        stage.watch.seconds += 1
        seen = made.observe(stage.view())
    assert seen.state == "failed"
    assert "without --replSet" in seen.seen


def test_a_missing_secret_is_waited_for(servers: Servers, stage: Scene) -> None:
    stage.cluster.secrets.clear()
    with pytest.raises(StackgateError, match="Secret mongodb-admin does not exist"):
        condition().observe(stage.view())
    stage.cluster.secrets["mongodb-admin"] = {"user": ""}
    with pytest.raises(StackgateError, match="Secret mongodb-admin has the keys user"):
        condition().observe(stage.view())
    assert condition(credentials_secret=None).observe(stage.view()).state == "holds"


def test_members_that_no_server_would_take_are_refused_at_once() -> None:
    with pytest.raises(FieldErrors, match="2 members have the host"):
        condition(members=[MEMBERS[0], {**MEMBERS[1], "host": HOSTS[0]}])
    with pytest.raises(FieldErrors, match="max_lag"):
        condition(max_lag=0)
