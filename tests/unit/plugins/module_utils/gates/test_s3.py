# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of object storage: what it asks, in which order, and what it says. Servers are stand-ins; a real one is in tests/integration."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields, _protocol, s3
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import State
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import probe, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer, Keys, Refused
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.object_storage.test_health import info

GOOD, BAD = Answer(200, {"x-minio-write-quorum": "3"}), Answer(503, {"x-minio-write-quorum": "3"})
SECRETS = {"root": ("admin", "admin secret"), "app": ("chat", "chat secret")}


class Cluster:
    """Secrets, and nothing else."""

    clock_offset = 0.0

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if kind != "Secret" or name not in SECRETS:
            return None
        return {
            "data": {
                key: base64.b64encode(value.encode()).decode()
                for key, value in zip(("access-key", "secret-key"), SECRETS[name], strict=True)
            }
        }


class Stage:
    """Servers behind an address, and what was asked of them."""

    def __init__(self) -> None:
        self.answers: list[Answer | StackgateError] = [GOOD]
        self.states: tuple[str, ...] = ("ok",) * 4
        self.healing: tuple[int, ...] = ()
        self.trips: list[tuple[str, str]] = []
        self.refusal: StackgateError | None = None
        self.check_mode = False
        self.condition: _protocol.Condition | None = None

    def look(self, again: bool = False, **fields: Any) -> _protocol.Observation:
        if not again:
            self.condition = _protocol.parse([{"kind": "s3", "url": "http://store:9000", **fields}])[0]
        assert self.condition is not None
        return self.condition.observe(View(Session(Cluster(), "shop", check_mode=self.check_mode)))  # type: ignore[arg-type]


class StandIn:
    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.label = stage, f"pod store-{number}"
        self.answer = stage.answers[number]

    def ask(self, path: str) -> Answer:
        if isinstance(self.answer, StackgateError):
            raise self.answer
        return self.answer

    def store(self, keys: Keys, region: str) -> StandInStore:
        return StandInStore(self.stage, keys)


class StandInStore:
    def __init__(self, stage: Stage, keys: Keys) -> None:
        self.stage, self.keys = stage, keys

    def info(self) -> dict[str, Any]:
        assert self.keys.access_key == "admin"
        return info(*self.stage.states, healing=self.stage.healing)

    def may_list(self, bucket: str) -> bool:
        return bucket == "files"


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()

    def servers(doors: list[Any], tls: Any, timeout: float) -> list[StandIn]:
        return [StandIn(made, number) for number in range(len(made.answers))]

    def round_trip(store: StandInStore, bucket: str) -> str:
        made.trips.append((store.keys.access_key, bucket))
        if made.refusal:
            raise made.refusal  # pylint: disable=raising-bad-type
        return f"an object went through bucket {bucket}"

    monkeypatch.setattr(reach, "servers", servers)
    monkeypatch.setattr(probe, "round_trip", round_trip)
    monkeypatch.setattr(
        s3._reach, "doors", lambda target, view: [s3._reach.Door("pod", "store", lambda _s: None, "store-0")] * len(made.answers)
    )
    return made


FULL: dict[str, Any] = {"admin": {"secret": "root"}, "drives": 4, "bucket": "files", "credentials": {"secret": "app"}}


def test_everything_holds(stage: Stage) -> None:
    seen = stage.look(**FULL)
    assert (seen.state, seen.seen) == (State.HOLDS, "4 drives online, none healing; an object went through bucket files")
    assert stage.trips == [("chat", "files")], "with the application's keys"


def test_the_object_is_written_once_and_anew_after_a_trouble(stage: Stage) -> None:
    stage.look(**FULL)
    stage.look(again=True)
    assert len(stage.trips) == 1
    stage.answers = [BAD]
    assert stage.look(again=True).state is State.WAITING
    stage.answers = [GOOD]
    stage.look(again=True)
    assert len(stage.trips) == 2


def test_the_object_goes_through_every_server(stage: Stage) -> None:
    stage.answers = [GOOD] * 3
    assert stage.look(**FULL).seen.endswith("went through bucket files, through each of 3 servers")
    assert len(stage.trips) == 3


def test_two_of_four_down(stage: Stage) -> None:
    stage.answers = [BAD, BAD]
    stage.states = ("ok", "ok", "offline", "offline")
    seen = stage.look(**FULL)
    assert seen.state is State.WAITING
    assert seen.seen.startswith("write quorum lost: 2 of 4 drives online, 3 needed (reads go on); offline: object-storage-2")
    assert stage.trips == [], "nothing is written without quorum"


def test_without_the_administrator_s_keys_the_endpoints_speak(stage: Stage) -> None:
    stage.answers = [GOOD, BAD]
    assert stage.look().seen == "pod store-1: write quorum lost: 3 drives of a set are needed"


@pytest.mark.parametrize(
    ("states", "healing", "said"),
    [
        (("ok", "ok", "ok", "offline"), (), "3 of 4 drives online; not there: object-storage-3 /data"),
        (("ok",) * 4, (1,), "1 of 4 drives healing: object-storage-1 /data"),
        (("ok",) * 3, (), "3 drives online, 4 wanted"),
    ],
)
def test_drives_that_are_not_in_order(stage: Stage, states: tuple[str, ...], healing: tuple[int, ...], said: str) -> None:
    stage.states, stage.healing = states, healing
    seen = stage.look(**FULL)
    assert (seen.state, seen.seen) == (State.WAITING, said)
    assert stage.trips == []


def test_a_server_that_does_not_answer_is_named_with_its_pod(stage: Stage) -> None:
    stage.answers = [GOOD, StackgateError("x", "pod store-1: no answer within 10 s")]
    seen = stage.look()
    assert (seen.state, seen.seen) == (State.WAITING, "pod store-1: no answer within 10 s")
    assert [suspect.pod for suspect in seen.suspects] == ["store-0"]


def test_what_the_application_is_refused_is_told_in_the_server_s_words(stage: Stage) -> None:
    stage.refusal = Refused("put an object into bucket files", "AccessDenied", "Access Denied.")
    with pytest.raises(StackgateError) as caught:  # which the gate's runner counts as waiting
        stage.look(**FULL)
    assert caught.value.seen == "pod store-0: AccessDenied: Access Denied."


def test_check_mode_looks_and_writes_nothing(stage: Stage) -> None:
    stage.check_mode = True
    assert stage.look(**FULL).seen.endswith("bucket files is there (nothing is written in check mode)")
    assert stage.trips == []
    with pytest.raises(StackgateError, match="there is no bucket other"):
        stage.look(**{**FULL, "bucket": "other"})


def test_a_secret_that_is_missing_is_named(stage: Stage) -> None:
    with pytest.raises(StackgateError, match="Secret nobody with S3 keys"):
        stage.look(**{**FULL, "credentials": {"secret": "nobody"}})


def test_another_make_of_s3_is_only_used(stage: Stage) -> None:
    stage.answers = [Answer(403, {})]
    seen = stage.look(health=False, bucket="files", credentials={"secret": "app"})
    assert (seen.state, seen.seen) == (State.HOLDS, "an object went through bucket files")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "give one of service, url"),
        ({"url": "http://a", "service": "b"}, "give one of service, url, not service and url"),
        ({"url": "http://a", "bucket": "b"}, "bucket and credentials go together"),
        ({"url": "http://a", "drives": 4}, "counting drives needs admin"),
        ({"url": "http://a", "health": False}, "nothing is left to ask"),
        ({"url": "http://a", "admin": {}}, "secret is missing"),
    ],
)
def test_mistakes_in_the_condition(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(_fields.FieldErrors, match=wrong):
        _protocol.parse([{"kind": "s3", **fields}])


def test_what_it_waits_for_in_words(stage: Stage) -> None:
    made: Callable[..., Any] = lambda **fields: _protocol.parse([{"kind": "s3", **fields}])[0]  # noqa: E731
    condition = made(service="object-storage", **FULL)
    assert condition.describe() == "s3 Service/object-storage"
    assert condition.expected() == (
        "the object storage at Service/object-storage takes writes, has its 4 drives, none of them healing, "
        "keeps an object that is put into bucket files with the keys of Secret app"
    )
