# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that go away and come back, drives that are lost: what the gate says, and that nothing acknowledged is lost."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from minio_storage import Storage
from waiting import PATIENCE, until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _protocol
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Observation, State
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import Tracker
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._runner import look as look_as_the_gate_does
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health, layout
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys

APP = Keys("app", "the application's secret")


class Secrets:
    """A cluster that has the two Secrets, and nothing else."""

    clock_offset = 0.0

    def __init__(self, root: Keys) -> None:
        self.known = {"root": root, "app": APP}

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        keys = self.known[name]
        return {
            "data": {"access-key": base64.b64encode(keys.access_key.encode()), "secret-key": base64.b64encode(keys.secret_key.encode())}
        }


def gate(storage: Storage, member: int = 0) -> Callable[[], Observation]:
    """The gate of a stage, as a role has it; call it for one look."""
    fields = {"admin": {"secret": "root"}, "drives": 4, "bucket": "files", "credentials": {"secret": "app"}}
    (condition,) = _protocol.parse([{"kind": "s3", "url": f"http://{storage.address(member)}", "request_timeout": 20, **fields}])
    session = Session(Secrets(storage.root), "here")  # type: ignore[arg-type]
    tracker = Tracker(condition, condition.describe())
    return lambda: look_as_the_gate_does(tracker, View(session))


def reaches(look: Callable[[], Observation], state: State, words: str = "") -> str:
    """Wait until a gate is in a state, in these words; what it says."""
    seen: Observation = until(f"{state}: {words}", look, holds=lambda seen: seen.state is state and words in seen.seen)
    return seen.seen


@pytest.fixture
def used(storage: Storage) -> Storage:
    """Servers with an application's bucket."""
    storage.declare([{"name": "files"}], [{"secret": "app", "buckets": ["files"]}], {"app": APP})
    return storage


def test_two_of_four_down_and_back(used: Storage) -> None:
    look = gate(used)
    assert reaches(look, State.HOLDS) == "4 drives online, none healing; an object put into bucket files, read back the same, and deleted"
    ledger: dict[str, str] = {}

    def put(member: int, name: str) -> bool:
        content = name.encode() * 20000  # above what is kept in the metadata
        used.server(member, timeout=PATIENCE).store(APP).put("files", name, content)
        ledger[name] = hashlib.sha256(content).hexdigest()
        return True

    def write(member: int, name: str) -> None:
        """As a client does, which tries again: a server may refuse while it finds out who is there."""
        until(f"server {member} accepts '{name}'", lambda: put(member, name), passing=(StackgateError,))

    write(0, "all up")
    used.kill(3)
    write(1, "one down")
    reaches(look, State.WAITING, "3 of 4 drives online; not there: ")
    until("no other may be taken down now", lambda: used.status(0, health.MAINTENANCE), holds=lambda status: status == 412)
    used.kill(2)
    lost = "write quorum lost: 2 of 4 drives online, 3 needed (reads go on); offline: "
    until("the gate says that the quorum is lost", look, holds=lambda seen: seen.seen.startswith(lost))
    with pytest.raises(StackgateError):
        put(0, "two down")
    reader = used.server(1).store(APP)
    assert all(hashlib.sha256(reader.get("files", name)).hexdigest() == known for name, known in ledger.items()), "reads go on"
    used.start(2, 3)
    reaches(look, State.HOLDS, "4 drives online, none healing")
    for member in (2, 3):
        reaches(gate(used, member), State.HOLDS)  # behind a Service the gate asks every server; here one at a time
    used.wait()
    write(3, "all back")
    for member in range(4):
        reader = used.server(member).store(APP)
        assert all(hashlib.sha256(reader.get("files", name)).hexdigest() == known for name, known in ledger.items())


def test_a_wiped_drive_is_healed_and_the_gate_waits_for_it(used: Storage) -> None:
    store = used.store(0, APP)
    for number in range(30):
        store.put("files", f"object-{number}", bytes([number]) * 300_000)
    look = gate(used)
    reaches(look, State.HOLDS)
    used.kill(3)
    used.wipe(3)
    reaches(look, State.WAITING, "not there: ")
    used.start(3)
    reaches(look, State.HOLDS, "4 drives online, none healing")
    (drive,) = used.drives_of[used.ports[3]]
    assert len(list((drive / "files").glob("object-*/xl.meta"))) == 30, "every object's share is on the new drive"


def test_what_is_told_without_quorum(used: Storage) -> None:
    used.kill(2, 3)
    drives = until("two drives are online", lambda: health.drives_of(used.store().info()), holds=lambda seen: seen.online == 2)
    assert health.trouble(drives).startswith("write quorum lost: 2 of 4 drives online, 3 needed (reads go on)")
    answers = health.ask_each(used.servers, health.CLUSTER)
    assert [isinstance(answer, StackgateError) for answer in answers] == [False, False, True, True]
    assert used.declare([{"name": "files"}], [{"secret": "app", "buckets": ["files"]}], {"app": APP}) == [], "comparing needs no quorum"


@pytest.mark.parametrize(("pods", "drives"), [(1, 4), (4, 1), (5, 1), (3, 2), (7, 1), (4, 3), (6, 3), (4, 4), (6, 4), (20, 1)])
def test_the_layout_is_the_server_s(tmp_path: Path, pods: int, drives: int) -> None:
    """One process with directories for pods and drives: the arithmetic is the same."""
    storage = Storage(tmp_path, 1, 0)
    ranges = [f"pod{{1...{pods}}}"] if pods > 1 else []
    ranges += [f"drive{{1...{drives}}}"] if drives > 1 else []
    storage.drives_of[storage.ports[0]] = [tmp_path / "/".join(ranges)]
    storage.start()
    try:
        storage.wait()
        info = storage.store().info()
    finally:
        storage.stop()
    pool = layout.Pool(pods, drives, 1)
    backend = info["backend"]
    assert (backend["totalSets"], backend["totalDrivesPerSet"], backend["standardSCParity"]) == ([pool.sets], [pool.set_size], pool.parity)
    found = health.drives_of(info)
    assert found.quorum(0, write=True) == pool.write_quorum
