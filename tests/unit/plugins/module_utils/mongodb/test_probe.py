# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The write and the reading back, on members that answer as recorded."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.health import Probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, OpTime, Standing

HOSTS = ("a:1", "b:1", "c:1")


def optime(increment: int) -> dict[str, Any]:
    return {"ts": SimpleNamespace(time=1000, inc=increment), "t": 1}


class Servers:
    """Members that keep one document."""

    def __init__(self, **fields: Mapping[str, Any]) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        self.stored: dict[str, Any] = {}
        self.stale_reads = 0
        self.answer: dict[str, Any] | Exception = {"ok": 1.0, "n": 1, "opTime": optime(7)}
        entries = [{"_id": n, "host": host, "votes": 1, "priority": 1, **fields.get(host[0], {})} for n, host in enumerate(HOSTS)]
        self.config = ReplicaSetConfig({"_id": "rs0", "version": 1, "members": entries})

    def __getitem__(self, host: str) -> Any:
        return SimpleNamespace(command=lambda body, database="admin", timeout=5.0: self.command(host, body, database))

    def command(self, host: str, body: Mapping[str, Any], database: str) -> dict[str, Any]:
        name = next(iter(body))
        self.asked.append((host, name, body))
        if name == "update":
            assert database == "stackgate"
            if isinstance(self.answer, Exception):
                raise self.answer
            self.stored = body["updates"][0]["u"]
            return self.answer
        if name == "find":
            self.stale_reads -= 1
            found = {"_id": "rs0", "value": "old"} if self.stale_reads >= 0 else self.stored
            return {"cursor": {"firstBatch": [found]}}
        return {"optimes": {"lastCommittedOpTime": optime(7)}}

    def observation(self, *states: str) -> Observation:
        said = [
            MemberObservation(host, Standing.MEMBER, state=state, config=self.config, writable=state == "PRIMARY")
            for host, state in zip(HOSTS, states, strict=False)
        ]
        return Observation("rs0", tuple(said))

    def probe(self, *states: str) -> Probe:
        return probe.write_and_read(self, self.observation(*states), "rs0")  # type: ignore[arg-type]


def test_a_majority_acknowledges_and_a_secondary_has_it() -> None:
    servers = Servers()
    found = servers.probe("PRIMARY", "SECONDARY", "SECONDARY")
    assert (found.write_error, found.read_error, found.written_to, found.read_from) == ("", "", "a:1", "b:1")
    assert found.optime == OpTime(1, 1000, 7) == found.committed
    update, find = servers.asked[0][2], servers.asked[1][2]
    assert update["writeConcern"] == {"w": "majority", "j": True, "wtimeout": 5000}
    assert find["readConcern"] == {"level": "majority"} and find["filter"] == {"_id": "rs0"}


def test_every_write_has_its_own_value_in_the_same_document() -> None:
    servers = Servers()
    values = set()
    for _round in range(3):
        servers.probe("PRIMARY", "SECONDARY")
        values.add(servers.stored["value"])
    assert len(values) == 3 and servers.stored["_id"] == "rs0"


def test_a_secondary_that_learns_of_the_commit_a_moment_later() -> None:
    servers = Servers()
    servers.stale_reads = 3
    assert servers.probe("PRIMARY", "SECONDARY").read_error == ""


def test_a_secondary_that_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "READ_TIMEOUT", 0.1)
    servers = Servers()
    servers.stale_reads = 1000
    assert servers.probe("PRIMARY", "SECONDARY").read_error == "an older value after 0.1 s"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        # recorded: 06c: ok 1 all the same
        (
            {"ok": 1.0, "writeConcernError": {"code": 64, "codeName": "WriteConcernFailed", "errmsg": "waiting for replication timed out"}},
            "64 WriteConcernFailed: waiting for replication timed out",
        ),
        ({"ok": 1.0, "writeErrors": [{"index": 0, "code": 14, "errmsg": "wrong type"}]}, "14: wrong type"),
        (StackgateError("a:1 accepts update", "10107 NotWritablePrimary: not primary"), "10107 NotWritablePrimary: not primary"),
    ],
)
def test_a_write_that_did_not_come_about(answer: Any, told: str) -> None:
    servers = Servers()
    servers.answer = answer
    found = servers.probe("PRIMARY", "SECONDARY")
    assert (found.write_error, found.written_to) == (told, "a:1")


@pytest.mark.parametrize(
    ("states", "fields", "reader"),
    [
        (("PRIMARY",), {}, "a:1"),
        (("SECONDARY", "PRIMARY", "ARBITER"), {}, "a:1"),
        (("PRIMARY", "SECONDARY", "SECONDARY"), {"b": {"hidden": True}}, "c:1"),
        (("PRIMARY", "SECONDARY", "SECONDARY"), {"b": {"secondaryDelaySecs": 60}}, "c:1"),
        (("PRIMARY", "STARTUP2", "ARBITER"), {}, "a:1"),
    ],
)
def test_who_is_read_from(states: tuple[str, ...], fields: dict[str, Any], reader: str) -> None:
    assert Servers(**fields).probe(*states).read_from == reader


def test_without_a_primary_nothing_is_sent() -> None:
    servers = Servers()
    assert servers.probe("SECONDARY", "SECONDARY").write_error == "there is no primary"
    assert servers.asked == []
