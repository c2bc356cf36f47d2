# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key rotation, restarts on demand and the feature compatibility version, on the played set of test_rollout."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import keyfile
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import CommandFailed
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.upkeep import Upkeep, Wishes
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.test_rollout import HOSTS, NAMES, Set

OLD = "b2xkLWtleQ=="


class Cluster:
    """The Secret with the key file, with the server's compare-and-swap."""

    def __init__(self) -> None:
        self.secret: dict[str, Any] | None = {
            "metadata": {"name": "mongodb-key", "resourceVersion": "1"},
            "data": {"key": base64.b64encode(OLD.encode()).decode()},
        }
        self.conflicts = 0

    def get(self, _version: str, _kind: str, _name: str, _namespace: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.secret)

    def replace(self, body: Mapping[str, Any]) -> None:
        assert self.secret is not None
        version = int(self.secret["metadata"]["resourceVersion"])
        if self.conflicts:
            self.conflicts -= 1
            self.secret["metadata"]["resourceVersion"] = str(version + 1)
            raise ApiError("PUT", 409, {"reason": "Conflict", "message": "the object has been modified"})
        assert body["metadata"]["resourceVersion"] == str(version)
        self.secret = copy.deepcopy(dict(body))
        self.secret["metadata"]["resourceVersion"] = str(version + 1)

    @property
    def keys(self) -> tuple[str, ...]:
        assert self.secret is not None
        return keyfile.parse(base64.b64decode(self.secret["data"]["key"]).decode())


class Stage(Set):
    """The played set in pods: each has read the key file that there was when it started."""

    def __init__(self, pending: tuple[str, ...] = ()) -> None:
        super().__init__(pending=pending, absence=1)
        self.cluster = Cluster()
        self.numbers = itertools.count(len(HOSTS))
        self.pods = {host: f"uid-{n}" for n, host in enumerate(HOSTS)}
        self.files = dict.fromkeys(HOSTS, self.cluster.keys)
        self.asked: dict[str, str] = {}
        self.version, self.uptime = (5, 0, 7), 1000
        self.fcv, self.fcv_target = (5, 0), None
        self.dies_after = -1

    # -- pods ----------------------------------------------------------------------------------------------------

    def live(self) -> dict[str, str]:
        return dict(self.pods)

    def uids(self) -> list[str]:
        return list(self.pods.values())

    def made_by(self, stateful_sets: tuple[str, ...]) -> list[str]:
        return self.uids() if "mongodb" in stateful_sets else []

    def pending(self) -> dict[str, str]:
        return {host: self.why.get(host) or self.asked[uid] for host, uid in self.pods.items() if host in self.why or uid in self.asked}

    def replace(self, host: str) -> None:
        self.dies_after -= 1
        if self.dies_after == 0:
            raise KeyboardInterrupt
        self.why.setdefault(host, "")
        super().replace(host)
        self.pods[host] = f"uid-{next(self.numbers)}"
        self.files[host] = self.cluster.keys
        for caller, called in itertools.permutations(HOSTS, 2):
            assert self.files[caller][0] in self.files[called], "two members do not understand each other"

    # -- members -------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        said = super().observe()
        told = {"version": self.version, "fcv": self.fcv, "fcv_target": self.fcv_target, "uptime_s": self.uptime}
        return dataclasses.replace(said, members=tuple(dataclasses.replace(m, **told) for m in said.members))  # type: ignore[arg-type]

    def command(self, host: str, body: Mapping[str, Any], timeout: float) -> Mapping[str, Any]:
        if "setFeatureCompatibilityVersion" not in body:
            return super().command(host, body, timeout)
        assert host == self.primary
        self.events.append(f"raised to {body['setFeatureCompatibilityVersion']}")
        if self.refusals:
            raise CommandFailed(host, body, self.refusals.pop(0))
        self.fcv = tuple(map(int, body["setFeatureCompatibilityVersion"].split(".")))  # type: ignore[assignment]
        return {"ok": 1.0}

    def upkeep(self, **wishes: Any) -> Upkeep:
        given = Wishes(**{"key_secret": ("mongodb-key", "key"), **wishes})
        return Upkeep(self.cluster, "ns", self, self.rolling(), given, self.lines.append)  # type: ignore[arg-type]

    @property
    def restarts(self) -> list[str]:
        return [event.partition(" ")[0] for event in self.events if event.endswith("restarts")]


# -- nothing to do, and restarts ---------------------------------------------------------------------------------


def test_nothing_to_do_changes_nothing_and_asks_no_member() -> None:
    stage = Stage()
    stage.observe = lambda: pytest.fail("a member was asked")  # type: ignore[assignment]
    for result in (stage.upkeep().run(), stage.upkeep().predict()):
        assert result == {"changed": False, "plan": [], "restarted": [], "key_rotation": "steady"}


def test_a_check_tells_the_restarts_of_a_template_that_is_yet_to_change() -> None:
    stage = Stage()
    told = stage.upkeep(changing=("mongodb",)).predict()
    assert told["changed"]
    assert [sentence.partition(" (")[0] for sentence in told["plan"] if sentence.startswith("restart")] == [
        f"restart mongodb-{n}" for n in (1, 2, 0)
    ]
    assert Stage().upkeep(changing=("other",)).predict()["changed"] is False
    assert Stage().upkeep(changing=("mongodb",)).run()["changed"] is False, "the pods' revisions tell"


def test_only_down_replaces_old_pods_that_do_not_run_and_asks_nobody() -> None:
    stage = Stage(pending=HOSTS[:2])
    stage.observe = lambda: pytest.fail("a member was asked")  # type: ignore[assignment]
    stage.down = lambda host: host == HOSTS[1]  # type: ignore[method-assign]
    told = stage.upkeep(only_down=True).predict()
    done = stage.upkeep(only_down=True).run()
    assert done["restarted"] == ["mongodb-1"] == stage.restarts
    assert told["plan"] == done["plan"]
    assert stage.upkeep(only_down=True).run()["changed"] is False


def test_restart_restarts_everybody_once() -> None:
    stage = Stage()
    predicted = stage.upkeep(restart=True).predict()
    result = stage.upkeep(restart=True).run()
    assert stage.restarts == ["mongodb-1", "mongodb-2", "mongodb-0"] == result["restarted"]
    assert predicted["changed"] and predicted["plan"][0] == "restart mongodb-1 (SECONDARY): asked for" == result["plan"][0]


def test_a_namespace_without_pods_needs_no_secret() -> None:
    stage = Stage()
    stage.pods, stage.cluster.secret = {}, None
    assert stage.upkeep(rotate_key=True, restart=True, feature_compatibility_version="").predict()["changed"] is False
    stage.pods = {HOSTS[0]: "uid"}
    with pytest.raises(StackgateError, match="there is no Secret mongodb-key"):
        stage.upkeep().run()


# -- key ---------------------------------------------------------------------------------------------------------


def test_a_key_rotation_restarts_each_member_three_times() -> None:
    stage = Stage()
    result = stage.upkeep(rotate_key=True).run()
    assert sorted(stage.restarts) == sorted(list(NAMES.values()) * 3)
    (key,) = stage.cluster.keys
    assert key != OLD
    assert stage.files == dict.fromkeys(HOSTS, (key,))
    assert result["key_rotation"] == "steady" and result["changed"]
    phases = [line for line in result["plan"] if line.startswith("key rotation")]
    assert [line[:27] for line in phases] == [f"key rotation, phase {n} of 3: e"[:27] for n in (1, 2, 3)]
    assert not any(key in line or OLD in line for line in [*stage.lines, *result["plan"]])


def test_a_rotation_together_with_a_new_revision_restarts_no_member_once_more() -> None:
    stage = Stage(pending=HOSTS)
    stage.upkeep(rotate_key=True).run()
    assert len(stage.restarts) == 9


def test_the_prediction_of_a_rotation_writes_nothing() -> None:
    stage = Stage()
    before = copy.deepcopy(stage.cluster.secret)
    predicted = stage.upkeep(rotate_key=True).predict()
    assert stage.cluster.secret == before and stage.events == []
    assert len([line for line in predicted["plan"] if line.startswith("restart")]) == 9
    assert len([line for line in predicted["plan"] if line.startswith("key rotation")]) == 3


@pytest.mark.parametrize("after", range(1, 10))
def test_a_rotation_that_was_killed_is_finished_by_the_next_run(after: int) -> None:
    stage = Stage()
    stage.dies_after = after
    with contextlib.suppress(KeyboardInterrupt):
        stage.upkeep(rotate_key=True).run()
    assert stage.upkeep().predict()["changed"]
    stage.dies_after = -1
    stage.upkeep().run()  # not asked for again
    (key,) = stage.cluster.keys
    assert stage.files == dict.fromkeys(HOSTS, (key,)) and key != OLD
    assert len(stage.restarts) == 9
    assert stage.upkeep().run()["changed"] is False


def test_a_rotation_asked_for_again_is_finished_and_not_begun_anew() -> None:
    stage = Stage()
    stage.dies_after = 5
    with contextlib.suppress(KeyboardInterrupt):
        stage.upkeep(rotate_key=True).run()
    stage.dies_after = -1
    stage.upkeep(rotate_key=True).run()
    assert len(stage.restarts) == 9


def test_somebody_else_writes_the_secret() -> None:
    stage = Stage()
    stage.cluster.conflicts = 2  # another field of it: tried again
    stage.upkeep(rotate_key=True).run()
    assert len(stage.cluster.keys) == 1
    stage.cluster.conflicts = 99
    with pytest.raises(StackgateError, match="it changed 5 times in a row"):
        stage.upkeep(rotate_key=True).run()


def test_somebody_else_changes_the_keys_meanwhile() -> None:
    stage = Stage()
    foreign = base64.b64encode(b"Zm9yZWlnbi1rZXk=").decode()
    replace = stage.replace

    def meddle(host: str) -> None:
        replace(host)
        if len(stage.restarts) == 3 and stage.cluster.secret is not None:
            stage.cluster.secret["data"]["key"] = foreign
            stage.cluster.secret["metadata"].pop("annotations")

    stage.replace = meddle  # type: ignore[method-assign]
    with pytest.raises(StackgateError, match="its keys or its phase have changed"):
        stage.upkeep(rotate_key=True).run()
    assert stage.cluster.secret is not None and stage.cluster.secret["data"]["key"] == foreign, "nobody's key is overwritten"


# -- feature compatibility version -------------------------------------------------------------------------------


def test_the_version_is_raised_after_the_burn_in() -> None:
    stage = Stage()
    stage.version, stage.uptime = (6, 0, 1), 100
    early = stage.upkeep(feature_compatibility_version="6.0", burn_in=600).run()
    assert early["changed"] is False and "of a burn-in of 600 s" in early["feature_compatibility_version"]
    stage.uptime = 601
    predicted = stage.upkeep(feature_compatibility_version="6.0", burn_in=600).predict()
    assert predicted["plan"] == ["raise the feature compatibility version from 5.0 to 6.0"] and stage.fcv == (5, 0)
    result = stage.upkeep(feature_compatibility_version="6.0", burn_in=600).run()
    assert (result["plan"], result["changed"], stage.fcv) == (predicted["plan"], True, (6, 0))
    again = stage.upkeep(feature_compatibility_version="6.0", burn_in=600).run()
    assert (again["changed"], again["feature_compatibility_version"]) == (False, "the feature compatibility version is 6.0")


def test_the_version_is_tried_again_when_the_primary_moves() -> None:
    stage = Stage()
    stage.version = (6, 0, 1)
    stage.refusals = [{"code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"}]
    stage.upkeep(feature_compatibility_version="6.0").run()
    assert stage.events == ["raised to 6.0", "raised to 6.0"]


def test_the_version_is_refused_while_a_member_runs_the_old_release() -> None:
    stage = Stage()
    with pytest.raises(StackgateError, match=r"mongodb-0 runs 5\.0\.7"):
        stage.upkeep(feature_compatibility_version="6.0").run()
    assert stage.events == []
