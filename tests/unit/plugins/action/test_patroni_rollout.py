# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task patroni_rollout: options in, results out, on recordings of a StatefulSet with the strategy OnDelete."""

from __future__ import annotations

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.stackgate.k3s.plugins.action import patroni_rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import observation, upkeep
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Observation
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.gates.conftest import RecordedCluster
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import NAMES, Recorded

MEMBERS = [{"name": name, "pod": f"store-{number}"} for number, name in enumerate(NAMES)]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What Patroni says."""
    recorded = Recorded()
    monkeypatch.setattr(upkeep.Live, "observe", lambda _self: recorded.observe())
    return recorded


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Call the action as ansible does: run(recording, check=False, **options)."""

    def task(recording: str, check: bool = False, **options: Any) -> dict[str, Any]:
        cluster = RecordedCluster(recording)
        keys = ("superuser-username", "superuser-password", "rest-username", "rest-password")
        cluster.secrets["postgresql-members"] = {key: base64.b64encode(b"x").decode() for key in keys}
        made = object.__new__(patroni_rollout.ActionModule)
        made._task = SimpleNamespace(check_mode=check, diff=False)
        made.connection_options = {}
        monkeypatch.setattr(made, "cluster", lambda: cluster)
        monkeypatch.setattr(made, "say", lambda text: None)
        spec, connection = documented_spec("patroni_rollout")
        given = {"namespace": cluster.namespace, "scope": "postgresql", "members": MEMBERS, "credentials_secret": "postgresql-members"}
        validated = ArgumentSpecValidator(spec).validate({**given, **options})
        assert not validated.error_messages, validated.error_messages
        options = {key: value for key, value in validated.validated_parameters.items() if key not in connection}
        result: dict[str, Any] = made.execute(options, {"inventory_hostname": "shop"})
        return {**result, "calls": cluster.calls}

    return task


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("check", [True, False])
def test_nothing_to_do(run: Callable[..., dict[str, Any]], check: bool) -> None:
    result = run("stateful_on_delete_ready", check=check)
    assert result == {"changed": False, "plan": [], "restarted": [], "calls": ["Pod", "StatefulSet/store"]}


@pytest.mark.usefixtures("said")
def test_check_mode_names_the_order(run: Callable[..., dict[str, Any]]) -> None:
    result = run("stateful_on_delete_updating", check=True)
    why = "revision 56cbf9b5df -> 77764688ff"
    assert (result["changed"], result["restarted"]) == (True, [])
    assert result["plan"] == [
        f"restart postgresql-1 (replica): {why}",
        f"restart postgresql-2 (synchronous replica): {why}",
        "postgresql-0 hands over to postgresql-2",
        f"restart postgresql-0 (leader): {why}",
    ]


def test_check_mode_names_servers_that_wait_for_a_restart(run: Callable[..., dict[str, Any]], said: Recorded) -> None:
    said.status["postgresql-1"]["pending_restart_reason"] = {"work_mem": {"old_value": "1", "new_value": "2"}}
    result = run("stateful_on_delete_ready", check=True)
    assert result["plan"] == ["restart postgresql-1 (replica): parameters work_mem: 1 -> 2"]


@pytest.mark.usefixtures("said")
def test_a_template_that_a_check_would_change(run: Callable[..., dict[str, Any]]) -> None:
    assert len(run("stateful_on_delete_ready", check=True, changing=["store"])["plan"]) == 4
    assert len(run("stateful_on_delete_ready", check=True, restart=True)["plan"]) == 4


def test_only_down_asks_no_member(run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep.Live, "observe", lambda _self: pytest.fail("a member was asked"))
    assert run("stateful_on_delete_updating", only_down=True)["plan"] == []


def test_a_namespace_with_nothing_in_it(run: Callable[..., dict[str, Any]]) -> None:
    elsewhere = [{**member, "pod": f"none-{member['pod']}"} for member in MEMBERS]
    assert run("stateful_on_delete_ready", check=True, members=elsewhere, restart=True, credentials_secret="none")["changed"] is False


def test_a_failure_tells_what_was_done_before(run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tuple(observation.MemberObservation(name, error="refused") for name in NAMES)
    listed = observation.listed_of(Recorded().cluster or {})
    monkeypatch.setattr(upkeep.Live, "observe", lambda _self: Observation("postgresql", silent, listed))
    with pytest.raises(StackgateError, match="0/3 answer") as failed:
        run("stateful_on_delete_updating", timeout=0.1)
    assert failed.value.details == {"changed": False, "restarted": [], "plan": [], "condition": "answers"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": [{"name": "a", "host": "a.example"}]}, "a without pod"),
        ({"members": [{"name": "a"}]}, "a has neither"),
        ({"namespace": ""}, "the option namespace is not given"),
        ({"members": [MEMBERS[0], MEMBERS[0]]}, "postgresql-0 is there twice"),
    ],
)
def test_options_that_do_not_go_together(run: Callable[..., dict[str, Any]], options: dict[str, Any], words: str) -> None:
    with pytest.raises(StackgateError, match=words):
        run("stateful_on_delete_ready", **options)
