# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task mongodb_rollout: options in, results out, on recordings of a StatefulSet with the strategy OnDelete."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.action import mongodb_rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import RecordedCluster

MEMBERS = [{"name": f"db-{n}", "pod": f"store-{n}", "host": f"store-{n}.store"} for n in range(3)]


class Asked(Exception):
    """A member was asked."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Call the action as ansible does: run(recording, check=False, **options)."""

    def task(recording: str, check: bool = False, **options: Any) -> dict[str, Any]:
        cluster = RecordedCluster(recording)
        cluster.secrets["mongodb-key"] = {"key": base64.b64encode(b"b2xkLWtleQ==").decode()}
        cluster.secrets["mongodb-admin"] = {key: base64.b64encode(b"x").decode() for key in ("username", "password")}
        made = object.__new__(mongodb_rollout.ActionModule)
        made._task = SimpleNamespace(check_mode=check, diff=False)
        made.connection_options = {}
        monkeypatch.setattr(made, "cluster", lambda: cluster)
        monkeypatch.setattr(made, "say", lambda text: None)
        spec, connection = documented_spec("mongodb_rollout")
        given = {"namespace": cluster.namespace, "name": "rs0", "members": MEMBERS, "credentials_secret": "mongodb-admin", **options}
        validated = ArgumentSpecValidator(spec).validate(given)
        assert not validated.error_messages, validated.error_messages
        options = {key: value for key, value in validated.validated_parameters.items() if key not in connection}
        result: dict[str, Any] = made.execute(options, {"inventory_hostname": "shop"})
        return {**result, "calls": cluster.calls}

    return task


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No member may be asked."""

    def ask(_self: Any) -> Observation:
        raise Asked

    monkeypatch.setattr(mongodb_rollout.Set, "observe", ask)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("check", [True, False])
def test_nothing_to_do_costs_two_questions_and_no_login(run: Callable[..., dict[str, Any]], check: bool) -> None:
    result = run("stateful_on_delete_ready", check=check, feature_compatibility_version="")
    assert result == {"changed": False, "plan": [], "restarted": [], "calls": ["Pod", "StatefulSet/store"]}


@pytest.mark.usefixtures("silent")
def test_a_key_that_is_not_rotating_costs_one_more(run: Callable[..., dict[str, Any]]) -> None:
    result = run("stateful_on_delete_ready", key_secret={"name": "mongodb-key"})
    assert result["calls"] == ["Secret/mongodb-key", "Pod", "StatefulSet/store"]
    assert (result["changed"], result["key_rotation"]) == (False, "steady")


@pytest.mark.usefixtures("silent")
def test_a_namespace_with_nothing_in_it(run: Callable[..., dict[str, Any]]) -> None:
    elsewhere = [{**member, "pod": f"none-{member['pod']}"} for member in MEMBERS]
    asked = {"members": elsewhere, "key_secret": {"name": "none"}, "rotate_key": True, "restart": True}
    assert run("stateful_on_delete_ready", check=True, **asked)["changed"] is False


def test_check_mode_names_the_order(run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    members = tuple(MemberObservation(f"store-{n}.store:27017", Standing.MEMBER, state="SECONDARY") for n in range(3))
    monkeypatch.setattr(mongodb_rollout.Set, "observe", lambda _self: Observation("rs0", members))
    result = run("stateful_on_delete_updating", check=True)
    assert result["changed"] is True
    assert result["plan"] == [f"restart db-{n} (SECONDARY): revision 56cbf9b5df -> 77764688ff" for n in range(3)]
    assert result["restarted"] == []


def test_a_failure_tells_what_was_done_before(run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tuple(MemberObservation(f"store-{n}.store:27017", Standing.UNREACHABLE, error="refused") for n in range(3))
    monkeypatch.setattr(mongodb_rollout.Set, "observe", lambda _self: Observation("rs0", silent))
    with pytest.raises(StackgateError, match="0/3 answer") as failed:
        run("stateful_on_delete_updating", timeout=0.1)
    assert failed.value.details == {"changed": False, "restarted": [], "plan": [], "condition": "answers"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotate_key": True}, "rotate_key comes with key_secret"),
        ({"members": [{"host": "a.example"}]}, "a.example:27017 without pod"),
        ({"namespace": ""}, "the option namespace is not given"),
        ({"members": [MEMBERS[0], MEMBERS[0]]}, "2 members have the"),
    ],
)
def test_options_that_do_not_go_together(run: Callable[..., dict[str, Any]], options: dict[str, Any], words: str) -> None:
    with pytest.raises(StackgateError, match=words):
        run("stateful_on_delete_ready", **options)
