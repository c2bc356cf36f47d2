# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write as an application makes it: acknowledged by a majority that has it in its journal, and read back from another member.

One small document is replaced again and again, so that nothing grows.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.health import Probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation, OpTime

DATABASE, COLLECTION = "stackgate", "gate"
# Seconds in which a majority must acknowledge.
WRITE_TIMEOUT = 5.0
# Seconds in which the member that is read from learns that a majority has the write: with its next fetch from its source.
READ_TIMEOUT = 2.0
READ_INTERVAL = 0.02


def write_and_read(members: Members, observation: Observation, name: str) -> Probe:
    """Write to the primary and read from a secondary, or from the primary when it is alone. name: the document's _id.

    Never raises StackgateError: what goes wrong is the result.
    """
    primary = observation.primary
    if primary is None:
        return Probe(write_error="there is no primary")
    value = secrets.token_hex(8)
    begun = time.monotonic()
    try:
        reply = members[primary.host].command(_update(name, value), DATABASE, WRITE_TIMEOUT + 1)
    except StackgateError as error:
        return Probe(error.seen, written_to=primary.host)
    if refusal := _refusal(reply):
        return Probe(refusal, written_to=primary.host)
    seconds = time.monotonic() - begun
    reader = _reader(observation, primary.host)
    try:
        read_error = _read(members, reader, name, value)
        status = members[primary.host].command({"replSetGetStatus": 1})
    except StackgateError as error:
        return Probe(read_error=error.seen, written_to=primary.host, read_from=reader)
    committed = OpTime.read((status.get("optimes") or {}).get("lastCommittedOpTime"))
    return Probe("", read_error, primary.host, reader, seconds, OpTime.read(reply.get("opTime")), committed)


def _update(name: str, value: str) -> dict[str, Any]:
    return {
        "update": COLLECTION,
        "updates": [{"q": {"_id": name}, "u": {"_id": name, "value": value}, "upsert": True}],
        "writeConcern": {"w": "majority", "j": True, "wtimeout": int(WRITE_TIMEOUT * 1000)},
    }


def _refusal(reply: dict[str, Any]) -> str:
    """Why a write that the server answered with ok did not come about; a majority that is too slow is code 64 (recorded: 06c)."""
    for error in reply.get("writeErrors") or ():
        return f"{error.get('code')}: {error.get('errmsg')}"
    concern = reply.get("writeConcernError")
    return f"{concern.get('code')} {concern.get('codeName', '')}: {concern.get('errmsg')}" if concern else ""


def _reader(observation: Observation, primary: str) -> str:
    """A secondary that serves reads; the primary when there is none."""
    config = observation.config
    serving = [
        member.host
        for member in observation.members
        if member.state == "SECONDARY"
        and (entry := config.member(member.host) if config else None)
        and not entry.hidden
        and not entry.delay_s
    ]
    return serving[0] if serving else primary


def _read(members: Members, host: str, name: str, value: str) -> str:
    """What is wrong with reading the value; empty when nothing is."""
    body = {
        "find": COLLECTION,
        "filter": {"_id": name},
        "limit": 1,
        "singleBatch": True,
        "readConcern": {"level": "majority"},
        "$readPreference": {"mode": "secondaryPreferred"},
    }
    until = time.monotonic() + READ_TIMEOUT
    while True:
        found = members[host].command(body, DATABASE)["cursor"]["firstBatch"]
        if found and found[0].get("value") == value:
            return ""
        if time.monotonic() >= until:
            return f"{'an older value' if found else 'nothing'} after {READ_TIMEOUT:g} s"
        time.sleep(READ_INTERVAL)
