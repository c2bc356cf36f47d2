# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys from Secrets, and which server is taken."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer, Keys

QUORUM = {"x-minio-write-quorum": "3"}


class Cluster:
    clock_offset = 0.0

    def __init__(self, **data: str) -> None:
        self.data = {name.replace("_", "-"): base64.b64encode(value.encode()).decode() for name, value in data.items()}

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return {"metadata": {"name": name}, "data": self.data} if self.data else None


def test_keys_are_read_by_the_names_that_are_given() -> None:
    cluster = Cluster(user="chat", password="word\n")
    assert reach.keys(cluster, "shop", "app", "user", "password") == Keys("chat", "word")  # type: ignore[arg-type]
    assert reach.keys(Cluster(), "shop", "app", "user", "password") is None  # type: ignore[arg-type]


def test_a_secret_without_the_keys_is_told_by_the_names_that_it_has() -> None:
    with pytest.raises(StackgateError) as caught:
        reach.keys(Cluster(user="x"), "shop", "app", "access-key", "secret-key")  # type: ignore[arg-type]
    assert caught.value.seen == "it lacks access-key and secret-key; it has user"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (Answer(200, QUORUM), True),
        (Answer(503, QUORUM), False),
        (Answer(503, {"x-minio-server-status": "offline"}), False),
        (Answer(404, {}), True),  # another make of S3: it has no such endpoint
        (Answer(403, {}), True),
        (Answer(502, {}), False),
    ],
)
def test_which_answers_let_writes_begin(answer: Answer, wanted: bool) -> None:
    assert reach.writable(answer) is wanted


class Server:
    def __init__(self, label: str, answer: Answer | StackgateError) -> None:
        self.label, self.answer = label, answer

    def ask(self, path: str) -> Answer:
        if isinstance(self.answer, StackgateError):
            raise self.answer
        return self.answer


@pytest.fixture
def entrance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An entrance whose servers are in the list given; None in it: no way in."""
    rounds: list[list[Server] | None] = []

    def doors(target: Any, view: Any) -> list[Any]:
        if rounds[0] is None:
            raise _reach.NoDoor(waiting("Service store has no ready endpoint"))
        return []

    monkeypatch.setattr(_reach, "doors", doors)
    monkeypatch.setattr(reach, "servers", lambda _found, _tls: rounds.pop(0) if len(rounds) > 1 else rounds[0])
    monkeypatch.setattr(reach.time, "sleep", lambda _seconds: rounds.pop(0) if len(rounds) > 1 and rounds[0] is None else None)
    made = reach.Entrance(Cluster(x="y"), "shop", _reach.Target(service="store"), None)  # type: ignore[arg-type]
    made.rounds = rounds  # type: ignore[attr-defined]
    return made


SILENT = StackgateError("x", "store-1: no answer within 15 s")


def test_the_first_server_with_quorum_is_taken(entrance: Any) -> None:
    entrance.rounds.append([Server("store-0", SILENT), Server("store-1", Answer(503, QUORUM)), Server("store-2", Answer(200, QUORUM))])
    assert entrance.look().label == "store-2"


def test_without_quorum_only_a_reader_is_served(entrance: Any) -> None:
    entrance.rounds.append([Server("store-0", Answer(503, QUORUM)), Server("store-1", SILENT)])
    assert entrance.look(need_quorum=False).label == "store-0"
    with pytest.raises(StackgateError) as caught:
        entrance.look()
    assert caught.value.seen == "store-0: write quorum lost: 3 drives of a set are needed; store-1: no answer within 15 s"


def test_it_waits_until_the_servers_take_writes_and_says_so(entrance: Any) -> None:
    entrance.rounds += [None, [Server("store-0", Answer(503, QUORUM))], [Server("store-0", Answer(200, QUORUM))]]
    clock = iter(range(0, 100, 6))
    lines: list[str] = []
    assert entrance.wait(60, lines.append, clock=lambda: float(next(clock))).label == "store-0"
    assert lines == ["waiting for object storage for 6 s: Service store has no ready endpoint"]


def test_it_does_not_wait_for_ever(entrance: Any) -> None:
    entrance.rounds.append([Server("store-0", Answer(503, QUORUM))])
    clock = iter(range(0, 1000, 30))
    with pytest.raises(StackgateError) as caught:
        entrance.wait(60, lambda _line: None, clock=lambda: float(next(clock)))
    assert caught.value.waited == 60.0
    assert caught.value.expected == "the object storage takes writes"


def test_one_way_must_be_given() -> None:
    options = {"scheme": "http", "tls_verify": True, "port": None}
    with pytest.raises(StackgateError, match="give one of service, url"):
        reach.target({**options, "service": None, "url": None})
    target, tls = reach.target({**options, "service": None, "url": "https://s3.example.org"})
    assert (target.url, tls is not None) == ("https://s3.example.org", True)
