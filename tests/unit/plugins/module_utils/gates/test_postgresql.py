# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The condition: what it asks, when it writes, and what it makes of a verdict. What a verdict says is tested in patroni/test_health.py."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol, postgresql
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._fields import FieldErrors
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.health import Probe
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import Scene
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import (
    ASYNCHRONOUS,
    LEADER,
    NAMES,
    SYNCHRONOUS,
    Recorded,
)

MEMBERS = [{"name": name, "pod": name} for name in NAMES]
GATE = {"kind": "postgresql", "scope": "postgresql", "members": MEMBERS, "credentials_secret": "postgresql", "synchronous": True}
POOLERS = {"proxies": "AGENT", "pooler_port": 6432}


class Servers:
    """In place of Patroni and the probe: what the members say, and what was written through whom."""

    def __init__(self) -> None:
        self.said = Recorded()
        self.written: list[tuple[Any, ...]] = []
        self.probe = Probe("proxy", SYNCHRONOUS, seconds=0.01)

    def observe(self, _members: Any) -> Any:
        return self.said.observe()

    def write_and_read(self, application: Any, through: Any, reader: Any) -> Probe:
        self.written.append((application, [end.label for end in through], reader.label))
        return self.probe


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    played = Servers()
    monkeypatch.setattr(postgresql.observe, "observe", played.observe)
    monkeypatch.setattr(postgresql.probe, "write_and_read", played.write_and_read)
    return played


@pytest.fixture
def stage(scene: Callable[..., Scene]) -> Scene:
    """A cluster with a DaemonSet, and with the application's Secret."""
    made = scene("daemon_ready")
    keys = {"username": "app", "password": "s3cret", "database": "forum"}
    made.cluster.secrets["postgresql"] = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return made


def condition(stage: Scene, **more: Any) -> postgresql.Postgresql:
    fields = {**GATE, **more}
    if fields.get("proxies") == "AGENT":
        fields["proxies"] = stage.cluster.objects["DaemonSet"][0]["metadata"]["name"]
    (made,) = _protocol.parse([fields])
    assert isinstance(made, postgresql.Postgresql)
    return made


def test_a_cluster_in_order(servers: Servers, stage: Scene) -> None:
    seen = condition(stage).observe(stage.view())
    assert seen.state == "holds"
    assert seen.seen.startswith(f"leader {LEADER} on timeline 11, 2 replicas") and seen.seen.endswith(f"read back from {SYNCHRONOUS}")
    ((application, through, reader),) = servers.written
    assert (application.credentials.username, application.database) == ("app", "forum")
    assert (through, reader) == ([LEADER], ASYNCHRONOUS)
    assert "s3cret" not in repr(application) + repr(seen)


def test_the_commit_goes_through_every_pooler(servers: Servers, stage: Scene) -> None:
    assert condition(stage, **POOLERS).observe(stage.view()).state == "holds"
    ((_application, through, _reader),) = servers.written
    agents = [
        pod["metadata"]["name"] for pod in stage.cluster.objects["Pod"] if pod["metadata"]["ownerReferences"][0]["kind"] == "DaemonSet"
    ]
    assert through == agents and agents


def test_a_pooler_that_is_not_ready_is_waited_for(servers: Servers, stage: Scene) -> None:
    pod = stage.cluster.objects["Pod"][0]
    next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")["status"] = "False"
    seen = condition(stage, **POOLERS).observe(stage.view())
    assert (seen.state, servers.written) == ("waiting", [])
    assert f"{pod['metadata']['name']} on {pod['spec']['nodeName']}: not ready" in seen.seen
    assert [suspect.pod for suspect in seen.suspects] == [pod["metadata"]["name"]]


def test_a_pooler_on_a_node_that_does_not_answer(servers: Servers, stage: Scene) -> None:
    pod = stage.cluster.objects["Pod"][0]
    stage.cluster.dead.add(pod["spec"]["nodeName"])
    assert "does not answer" in condition(stage, **POOLERS).observe(stage.view()).seen


def test_poolers_that_nobody_has_made(servers: Servers, stage: Scene) -> None:
    assert "there is no DaemonSet nobody" in condition(stage, proxies="nobody").observe(stage.view()).seen


def test_it_writes_once_and_again_after_a_trouble(servers: Servers, stage: Scene) -> None:
    made = condition(stage)
    for _round in range(3):
        made.observe(stage.view())
    assert len(servers.written) == 1
    servers.said.silent[SYNCHRONOUS] = "refused"
    assert made.observe(stage.view()).state == "waiting"
    servers.said.silent.clear()
    assert made.observe(stage.view()).state == "holds"
    assert len(servers.written) == 2


def test_a_commit_that_fails_is_tried_again(servers: Servers, stage: Scene) -> None:
    made = condition(stage)
    servers.probe = Probe("proxy", write_error="query_wait_timeout")
    seen = made.observe(stage.view())
    assert (seen.state, seen.data["condition"]) == ("waiting", "write")
    assert "a commit through proxy: query_wait_timeout" in seen.seen
    servers.probe = Probe("proxy", SYNCHRONOUS)
    assert made.observe(stage.view()).state == "holds"


@pytest.mark.parametrize("more", [{"write_probe": False}, {"credentials_secret": None}])
def test_nothing_is_written_where_nobody_wants_it(servers: Servers, stage: Scene, more: dict[str, Any]) -> None:
    assert condition(stage, **more).observe(stage.view()).state == "holds"
    assert servers.written == []


def test_check_mode_does_not_write(servers: Servers, stage: Scene) -> None:
    stage.session.check_mode = True
    assert condition(stage).observe(stage.view()).state == "holds"
    assert servers.written == []


def test_a_cluster_of_one_is_read_from_its_leader(servers: Servers, stage: Scene) -> None:
    servers.said.without(ASYNCHRONOUS, SYNCHRONOUS)
    assert condition(stage, members=MEMBERS[:1]).observe(stage.view()).state == "holds"
    assert servers.written[0][1:] == ([LEADER], LEADER)


def test_a_failed_condition_is_named_with_the_pod_whose_log_explains_it(servers: Servers, stage: Scene) -> None:
    servers.said.silent[SYNCHRONOUS] = "connection refused"
    seen = condition(stage).observe(stage.view())
    assert (seen.state, seen.data["condition"]) == ("waiting", "answers")
    assert seen.seen == f"Patroni answers on every member: 2/3 answer; {SYNCHRONOUS}: connection refused"
    assert [suspect.pod for suspect in seen.suspects] == [SYNCHRONOUS]


def test_what_waiting_cannot_heal_ends_the_gate(servers: Servers, stage: Scene) -> None:
    servers.said.status[SYNCHRONOUS]["database_system_identifier"] = "1"
    made = condition(stage)
    assert made.observe(stage.view()).state == "waiting"
    for _second in range(16):
        stage.watch.seconds += 1
        seen = made.observe(stage.view())
    assert seen.state == "failed"


def test_a_secret_that_lacks_something(servers: Servers, stage: Scene) -> None:
    del stage.cluster.secrets["postgresql"]["database"]
    with pytest.raises(StackgateError, match="Secret postgresql has the keys password, username"):
        condition(stage).observe(stage.view())


def test_ports_by_name() -> None:
    pod = {"metadata": {"name": "proxy"}, "spec": {"containers": [{"ports": [{"name": "pooled", "containerPort": 6432}]}, {}]}}
    assert [postgresql._port(pod, port) for port in ("pooled", 5432, "5433")] == [6432, 5432, 5433]
    with pytest.raises(StackgateError, match="its ports: pooled"):
        postgresql._port(pod, "other")


@pytest.mark.parametrize("members", [[], [{"name": "a"}], [{"pod": "a"}], [MEMBERS[0], MEMBERS[0]]])
def test_members_that_cannot_be(stage: Scene, members: list[dict[str, Any]]) -> None:
    with pytest.raises(FieldErrors, match="members"):
        condition(stage, members=members)


def with_certificate(stage: Scene) -> None:
    stage.cluster.secrets["postgresql-tls"] = {"tls.crt": base64.b64encode(b"crt").decode(), "ca.crt": base64.b64encode(b"ca").decode()}


def test_members_and_poolers_must_have_the_certificate(servers: Servers, stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before."""
    asked: list[Any] = []
    troubles = ["postgresql-1 speaks no TLS"]

    def ask(ends: Any, wanted: Any) -> list[str]:
        asked.append(([end.label for end in ends], wanted))
        return troubles

    monkeypatch.setattr(postgresql.encryption, "troubles", ask)
    with_certificate(stage)
    gate = condition(stage, tls_secret="postgresql-tls", **POOLERS)
    seen = gate.observe(stage.view())
    assert (seen.state, seen.seen) == ("waiting", "everybody encrypts: postgresql-1 speaks no TLS")
    assert servers.written == []
    troubles.clear()
    assert gate.observe(stage.view()).state == "holds"
    labels, wanted = asked[-1]
    assert [label.partition(" ")[0] for label in labels][: len(NAMES)] == list(NAMES) and len(labels) > len(NAMES)
    assert (wanted.name, wanted.certificate, wanted.authority) == ("postgresql", "crt", "ca")
    assert "certificate of Secret postgresql-tls" in gate.expected()


def test_a_secret_without_a_certificate(servers: Servers, stage: Scene) -> None:
    seen = condition(stage, tls_secret="postgresql").observe(stage.view())
    assert seen.seen == "everybody encrypts: Secret postgresql has the keys database, password, username, not tls.crt and ca.crt"
    assert "none" in condition(stage, tls_secret="nowhere").observe(stage.view()).seen
