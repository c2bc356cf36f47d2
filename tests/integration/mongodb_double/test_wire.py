# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames as recorded in 13: handshakes over OP_QUERY and OP_MSG, awaitable and exhaust hello, errors, a step-down and a SIGTERM."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Mapping
from typing import Any

import bson
import pytest
from replay import compare, recording
from replay.actions import fresh
from replay.stage import Stage, own_network, speeds
from waiting import PATIENCE

NAME = "13-wire-level"
HEADER = struct.Struct("<iiii")
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
# The request id that the recording used throughout.
REQUEST = 7
FLAGS = {"exhaustAllowed": 1 << 16, "moreToCome": 1 << 1, "unknown required bit 2": 1 << 2}
# Steps that a new connection was opened for.
CONNECTIONS = {1, 10, 12, 21, 28, 29, 30, 43, 50, 52}
LEFT_OUT = {
    37: "the double offers no compression: snappy and zstd are not in Python's library, and no test needs it",
    38: "its reply repeats what 37 agreed on",
}
KIND_1 = [{"_id": 0}, {"_id": 1}]
COUNTER = compare.re.compile(r"counter: \d+")


class Wire:
    """A connection that speaks frames. Dates and identities are normalised, the counters of topologyVersion made relative."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=PATIENCE)

    def send(self, kind: str, document: Mapping[str, Any]) -> None:
        form, _blank, detail = kind.partition(" ")
        if form == "OP_QUERY":
            payload = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + bson.encode(document)
            opcode = OP_QUERY
        else:
            payload = struct.pack("<I", FLAGS.get(detail, 0)) + b"\0"
            if detail == "kind 1 section":
                section = b"documents\0" + b"".join(bson.encode(item) for item in KIND_1)
                payload += (
                    bson.encode({"insert": document["insert"], "$db": "test"}) + b"\1" + struct.pack("<i", 4 + len(section)) + section
                )
            else:
                payload += bson.encode(document)
            opcode = OP_MSG
        self._socket.sendall(HEADER.pack(HEADER.size + len(payload), REQUEST, 0, opcode) + payload)

    def receive(self, timeout: float) -> dict[str, Any]:
        """A frame as the recording writes it, with its request id as `id`."""
        self._socket.settimeout(timeout)
        try:
            head = self._exactly(HEADER.size)
        except TimeoutError:
            return {"nothing": True}
        except EOFError:
            return {"closed_by_server": True}
        length, identity, response_to, opcode = HEADER.unpack(head)
        payload = self._exactly(length - HEADER.size)
        frame: dict[str, Any] = {"id": identity, "opCode": opcode, "responseTo": response_to}
        if opcode == OP_REPLY:
            flags, cursor, start, count = struct.unpack_from("<iqii", payload)
            frame |= {"op": "OP_REPLY", "responseFlags": flags, "cursorId": cursor, "startingFrom": start, "numberReturned": count}
            document = payload[20:]
        else:
            frame |= {"op": "OP_MSG", "flagBits": struct.unpack_from("<I", payload)[0], "sectionKind": payload[4]}
            document = payload[5:]
        return {**frame, "doc": bson.decode(document, bson.CodecOptions(tz_aware=True))}

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self._socket.recv(size - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise EOFError
            data += more
        return data


@pytest.fixture(scope="module")
def differences() -> dict[int, list[str]]:
    """The whole recording played: what differs, by step."""
    found: dict[int, list[str]] = {}
    for speed in speeds():
        recorded = recording.load(NAME, own_network())
        stage = Stage(recorded, own_network(), speed)
        try:
            found = _play(recorded, stage)
        finally:
            stage.close()
        if not any(found.values()):
            break
    return found


def _play(recorded: recording.Recording, stage: Stage) -> dict[int, list[str]]:
    fresh("y1", "y2", "y3")(stage)
    wire: Wire | None = None
    found: dict[int, list[str]] = {}
    # What topologyVersion the recorded and our server had last.
    known: tuple[Any, Any] = (None, None)
    for step in recorded.steps:
        assert isinstance(step, recording.Command)
        if step.step == 12:
            stage.initiate([{"_id": member, "host": stage.host(f"y{member + 1}")} for member in range(3)])
        if step.step in (50, 52):
            _quiet(stage)
        if step.step == 50:
            # So that y2 becomes primary, as recorded.
            stage.tell("y3", {"replSetFreeze": 300})
        if step.step in CONNECTIONS:
            if wire is not None:
                wire.close()
            server = stage.servers[step.member]
            wire = Wire(server.address, server.port)
        if step.step in LEFT_OUT:
            continue
        assert wire is not None
        document = _adapted(step.command["doc"], step.command["sent"], step.note, known)
        disturb = {51: _step_down, 53: _terminate}.get(step.step)
        if disturb is not None:
            threading.Thread(target=disturb, args=(stage,), daemon=True).start()
        began = time.monotonic()
        wire.send(step.command["sent"], document)
        found[step.step] = []
        replies: Any = step.reply
        previous = REQUEST
        for number, expected in enumerate(replies):
            wait = 2.0 / stage.speed if "nothing_within_s" in expected else PATIENCE
            seen = wire.receive(wait)
            took = (time.monotonic() - began) * stage.speed
            began = time.monotonic()
            found[step.step] += [f"reply {number}: {line}" for line in _frame_differences(expected, seen, previous, took)]
            previous = seen.get("id", 0)
            if "topologyVersion" in expected.get("doc", {}) and "topologyVersion" in seen.get("doc", {}) and step.member == "y1":
                known = expected["doc"]["topologyVersion"], seen["doc"]["topologyVersion"]
    return found


def _frame_differences(expected: Mapping[str, Any], seen: Mapping[str, Any], previous: int, took: float) -> list[str]:
    if "closed_by_server" in expected or "nothing_within_s" in expected:
        wanted = "closed_by_server" if "closed_by_server" in expected else "nothing"
        return [] if wanted in seen else [f"{seen}, recorded {dict(expected)}"]
    if "doc" not in seen:
        return [f"{dict(seen)}, recorded {dict(expected)}"]
    frame = {
        key: expected[key] for key in ("opCode", "op", "flagBits", "sectionKind", "responseFlags", "numberReturned") if key in expected
    }
    found = [f"{key}: {seen.get(key)}, recorded {value}" for key, value in frame.items() if seen.get(key) != value]
    if seen["responseTo"] != previous:
        found.append(f"responseTo {seen['responseTo']}, not {previous}")
    documents = [compare.normalise(document) for document in (expected["doc"], seen["doc"])]
    for document in documents:
        if "errmsg" in document:
            document["errmsg"] = COUNTER.sub("counter: N", document["errmsg"])
    found += compare.differences(*documents)
    after = expected["after_ms"] / 1000
    if after > 0.9 and not after * 0.5 <= took <= after * 1.6 + 1.5:
        found.append(f"after {took:.1f} s, recorded {after:.1f} s")
    return found


def _adapted(document: Mapping[str, Any], sent: str, note: str, known: tuple[Any, Any]) -> dict[str, Any]:
    """The document with our server's topologyVersion, as far from the newest as the recorded one was, and with $db."""
    adapted = dict(document)
    if "topologyVersion" in adapted and known[0] is not None:
        offset = adapted["topologyVersion"]["counter"] - known[0]["counter"]
        adapted["topologyVersion"] = {**known[1], "counter": bson.Int64(known[1]["counter"] + offset)}
    # The recording shows $db where it mattered; without it, but answered, it was admin.
    if sent.startswith("OP_MSG") and "$db" not in adapted and "no $db" not in note:
        adapted["$db"] = "admin"
    return adapted


def _quiet(stage: Stage) -> None:
    """Long enough for the set to be at rest: nothing changes hello of itself."""
    stage.sleep(3)


def _step_down(stage: Stage) -> None:
    stage.sleep(1)
    stage.ask("y1", {"replSetStepDown": 15, "secondaryCatchUpPeriodSecs": 10, "force": True})


def _terminate(stage: Stage) -> None:
    stage.sleep(1)
    stage.servers["y1"].signal(signal.SIGTERM)


STEPS = [step for step in recording.load(NAME).steps if step.step not in LEFT_OUT]


@pytest.mark.parametrize("step", [step.step for step in STEPS])
def test_frames(step: int, differences: dict[int, list[str]]) -> None:
    assert not differences[step], "\n".join(differences[step])


def test_rubbish_closes_the_connection() -> None:
    """A length that no message has, and an opcode that no server knows."""
    stage = Stage(recording.load(NAME, own_network()), own_network(), 1.0)
    try:
        fresh("y1")(stage)
        server = stage.servers["y1"]
        for frame in (HEADER.pack(5, 1, 0, OP_MSG), HEADER.pack(2**30, 1, 0, OP_MSG), HEADER.pack(16, 1, 0, 4711)):
            wire = Wire(server.address, server.port)
            wire._socket.sendall(frame)
            assert wire.receive(PATIENCE) == {"closed_by_server": True}
            wire.close()
        assert server.running
    finally:
        stage.close()
