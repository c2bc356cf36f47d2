# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks mongodb_replica_set and mongodb_replica_set_info: options in, results out."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from bson import Int64, ObjectId

from ansible_collections.stackgate.k3s.plugins.action import mongodb_replica_set, mongodb_replica_set_info
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.execute import Entry, Execution, Outcome, Request
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec

MEMBERS = [
    {"name": "db-0", "pod": "mongodb-0", "host": "mongodb-0.mongodb.shop.svc"},
    {"pod": "mongodb-1", "host": "mongodb-1.mongodb.shop.svc:27018", "hidden": True},
]
CONFIG = ReplicaSetConfig(
    {
        "_id": "rs0",
        "version": 3,
        "term": 2,
        "members": [{"_id": 0, "host": "mongodb-0.mongodb.shop.svc:27017", "secondaryDelaySecs": Int64(0)}],
        "settings": {"replicaSetId": ObjectId("6920521e8a4f3c0b5d2e7f11")},
    }
)
OBSERVED = Observation(
    "rs0",
    (
        MemberObservation(
            "mongodb-0.mongodb.shop.svc:27017", Standing.MEMBER, state="PRIMARY", writable=True, config=CONFIG, set_name="rs0"
        ),
        MemberObservation("mongodb-1.mongodb.shop.svc:27018", Standing.UNREACHABLE, error="connection refused"),
    ),
)


class FakeCluster:
    """A cluster with Secrets."""

    secrets = {
        "mongodb-admin": {"username": "root", "password": "adminpw"},
        "shop-db": {"password": "shoppw", "other": "otherpw"},
    }

    def get(self, _api_version: str, _kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        found = self.secrets.get(name) if namespace == "shop" else None
        return found and {"data": {key: base64.b64encode(value.encode()).decode() for key, value in found.items()}}


def make(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with options as ansible does; `calls` has what the executor was asked for."""
    made = object.__new__(module.ActionModule)
    made._task = SimpleNamespace(check_mode=False, diff=False)
    made.connection_options = {}
    monkeypatch.setattr(made, "cluster", FakeCluster)
    monkeypatch.setattr(made, "say", lambda text: None)

    def call(**options: Any) -> dict[str, Any]:
        spec, connection = documented_spec(made.name)
        given = {"namespace": "shop", "name": "rs0", "members": MEMBERS, **options}
        validated = ArgumentSpecValidator(spec).validate(given)
        assert not validated.error_messages, validated.error_messages
        return made.execute({k: v for k, v in validated.validated_parameters.items() if k not in connection}, {})  # type: ignore[no-any-return]

    call.task = made._task  # type: ignore[attr-defined]
    return call


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the executor is asked for; it finds one step to do."""
    seen: list[Request] = []
    entries = [
        Entry("change members", "set the priority of db-0 to 2", CONFIG, CONFIG.successor(CONFIG.members)),
        Entry("wait for primary", "wait", waits=True),
        Entry("user", "create user shop@shop"),
    ]

    def outcome(execution: Execution, performed: list[Entry]) -> Outcome:
        seen.append(execution._request)
        execution.outcome = Outcome(OBSERVED, entries, performed, ["beware"])
        return execution.outcome

    monkeypatch.setattr(Execution, "run", lambda self: outcome(self, [entries[0], entries[2]]))
    monkeypatch.setattr(Execution, "predict", lambda self: outcome(self, []))
    return seen


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch, requests: list[Request]) -> Any:
    return make(mongodb_replica_set, monkeypatch)


def test_what_is_asked_for(change: Any, requests: list[Request]) -> None:
    users = [
        {"name": "shop", "database": "shop", "roles": ["readWrite"], "password_secret": "shop-db"},
        {"name": "probe", "roles": [{"role": "read", "db": "local"}], "password_secret": "shop-db", "password_key": "other"},
    ]
    change(credentials_secret="mongodb-admin", users=users, update_password="always", phase="shrink", timeout=7, consents=["x"])
    request = requests[0]
    assert [member.name for member in request.desired.members] == ["db-0", "mongodb-1.mongodb.shop.svc:27018"]
    assert request.desired.members[1].priority == 0
    assert request.admin and (request.admin.credentials.username, request.admin.credentials.password) == ("root", "adminpw")
    assert [(str(user), user.credentials.password, set(user.roles), user.reset) for user in request.users] == [
        ("shop@shop", "shoppw", {("readWrite", "shop")}, True),
        ("probe@admin", "otherpw", {("read", "local")}, True),
    ]
    assert (request.shrink, request.timeout, request.consents) == (True, 7, {"x"})


def test_a_result_has_the_plan_what_was_done_and_the_members(change: Any) -> None:
    result = change()
    assert result["changed"] and [entry["kind"] for entry in result["plan"]] == ["change members", "wait for primary", "user"]
    assert [entry["sentence"] for entry in result["performed"]] == ["set the priority of db-0 to 2", "create user shop@shop"]
    assert (result["set_id"], result["primary"], result["warnings"]) == ("6920521e8a4f3c0b5d2e7f11", "db-0", ["beware"])
    assert [(m["name"], m["standing"], m["state"], m["error"]) for m in result["members"]] == [
        ("db-0", "member", "PRIMARY", ""),
        ("mongodb-1.mongodb.shop.svc:27018", "unreachable", "", "connection refused"),
    ]
    assert result["config"]["settings"] == {"replicaSetId": "6920521e8a4f3c0b5d2e7f11"} and "diff" not in result


def test_check_mode_tells_the_plan(change: Any) -> None:
    change.task.check_mode = change.task.diff = True
    result = change()
    assert result["changed"] and result["performed"] == [] and len(result["plan"]) == 3
    first, second = result["diff"]
    assert (first["before"]["version"], first["after"]["version"]) == (3, 4) and "priority" in first["after_header"]
    assert second["after"] == "create user shop@shop\n"


def test_a_wait_is_no_change(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change.task.check_mode = True
    monkeypatch.setattr(Execution, "predict", lambda self: Outcome(OBSERVED, [Entry("wait for primary", "wait", waits=True)]))
    assert change()["changed"] is False and len(change()["plan"]) == 1


def test_check_mode_takes_missing_secrets_for_those_to_be_made(change: Any, requests: list[Request]) -> None:
    change.task.check_mode = True
    change(credentials_secret="later", users=[{"name": "shop", "password_secret": "later-too"}])
    assert requests[0].admin and str(requests[0].admin) == "(username of Secret later)@admin" and len(requests[0].users) == 1


def test_an_error_keeps_what_was_done_until_then(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(execution: Execution) -> Outcome:
        execution.outcome = Outcome(OBSERVED, performed=[Entry("add member", "add db-3")])
        raise StackgateError("a", "b", details={"reason": "unreachable"})

    monkeypatch.setattr(Execution, "run", fail)
    with pytest.raises(StackgateError) as caught:
        change()
    assert caught.value.details["changed"] and caught.value.details["reason"] == "unreachable"
    assert caught.value.details["performed"] == [{"kind": "add member", "sentence": "add db-3"}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"credentials_secret": "none"}, "Secret none is in namespace shop"),
        ({"credentials_secret": "shop-db"}, "Secret shop-db has the key username"),
        ({"namespace": None}, "namespace says where"),
        ({"users": [{"name": "a"}, {"name": "b", "password": "x", "password_secret": "y"}]}, "a, b"),
        ({"members": [{"host": "a:1", "votes": 0}]}, "no member may become primary"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(change: Any, requests: list[Request], options: dict[str, Any], words: str) -> None:
    with pytest.raises(StackgateError, match=words):
        change(**options)
    assert requests == []


def test_no_password_in_a_result(change: Any) -> None:
    change.task.diff = True
    result = change(credentials_secret="mongodb-admin", users=[{"name": "shop", "password_secret": "shop-db"}])
    assert "adminpw" not in str(result) and "shoppw" not in str(result)


def test_info(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_replica_set_info.Observer, "observe", lambda self: OBSERVED)
    result = make(mongodb_replica_set_info, monkeypatch)()
    assert result["changed"] is False and result["sets"] == {"6920521e8a4f3c0b5d2e7f11": ["db-0"]}
    assert result["members"][0]["name"] == "db-0"


def test_members_by_address_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_replica_set_info.Observer, "observe", lambda self: OBSERVED)
    call = make(mongodb_replica_set_info, monkeypatch)
    monkeypatch.setattr(mongodb_replica_set_info.ActionModule, "cluster", lambda self: 1 / 0)
    assert call(namespace=None, members=[{"host": "a:1"}], login_user="root", login_password="x")["primary"]
