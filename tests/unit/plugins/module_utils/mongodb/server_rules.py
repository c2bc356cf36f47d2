# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules by which a server accepts or refuses a configuration, written from the server's own checks and from what a real 5.0.7 answered.

It knows nothing of the planner, works on plain documents, and is itself tested against every recorded initiate and reconfig
(test_server_rules.py). `stricter` holds what the project demands beyond the server: see there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]

TOP_LEVEL = {"_id", "version", "term", "members", "settings", "protocolVersion", "writeConcernMajorityJournalDefault", "configsvr"}
OF_A_MEMBER = {
    *("_id", "host", "arbiterOnly", "buildIndexes", "hidden", "priority", "tags", "votes", "horizons"),
    *("secondaryDelaySecs", "slaveDelay"),
}
POSITIVE = ("heartbeatIntervalMillis", "heartbeatTimeoutSecs", "electionTimeoutMillis")


@dataclass(frozen=True)
class Server:
    """What the server that gets the command knows.

    host: itself. alive: the members that answer its heartbeats. replicating: those of them that take its configuration and its writes.
    novel: fields that a newer server knows.
    """

    host: str
    set_name: str = "rs0"
    version: tuple[int, ...] = (5, 0, 7)
    fcv: tuple[int, int] = (5, 0)
    alive: frozenset[str] = frozenset()
    default_write_concern_set: bool = False
    novel: frozenset[str] = field(default=frozenset())


def votes(member: Document) -> int:
    """A new voter that holds data is `newlyAdded` at first, and counts as none."""
    return 0 if member.get("newlyAdded") else int(member.get("votes", 1))


def arbiter(member: Document) -> bool:
    return bool(member.get("arbiterOnly", False))


def priority(member: Document) -> float:
    given = member.get("priority", 1)
    return 0.0 if arbiter(member) else float(given)


def delay(member: Document) -> int:
    return int(member.get("secondaryDelaySecs", member.get("slaveDelay", 0)))


def voters(config: Document) -> list[Document]:
    return [member for member in config["members"] if votes(member)]


def majority(config: Document) -> int:
    return len(voters(config)) // 2 + 1


def writable_voters(config: Document) -> int:
    return sum(not arbiter(member) for member in voters(config))


def implicit_majority(config: Document) -> bool:
    """Whether the implicit default write concern is majority: not when arbiters leave too few writable voters."""
    return not any(arbiter(member) for member in config["members"]) or writable_voters(config) > majority(config)


def initiate(new: Document, server: Server) -> list[str]:
    """Why the server refuses to initiate this configuration; empty when it does not."""
    if broken := list(_parse(new, server)):
        return broken
    found = list(_validate(new, server))
    if new["_id"] != server.set_name:
        found.append("differs from the command line's set name")
    if new.get("version", 1) != 1:
        found.append("the version is not 1")
    if "replicaSetId" in (new.get("settings") or {}):
        found.append("a replicaSetId is given")
    own = next((member for member in new["members"] if member["host"] == server.host), None)
    if own is None:
        found.append("no host maps to this node")
    elif not priority(own):
        found.append("this node is not electable")
    found += [f"{member['host']} does not answer" for member in new["members"] if member["host"] not in server.alive]
    return found


def reconfigure(old: Document, new: Document, server: Server) -> list[str]:
    """Why the primary refuses to go from the old configuration to the new one; empty when it does not."""
    if broken := list(_parse(new, server)):
        return broken
    found = [*_validate(new, server), *_against(old, new, server)]
    own = next((member for member in new["members"] if member["host"] == server.host), None)
    if own is None:
        found.append("no host maps to this node")
    elif not priority(own):
        found.append("this node is not electable")
    for what, config in (("old", old), ("new", new)):
        answering = sum(member["host"] in server.alive for member in voters(config))
        if answering < majority(config):
            found.append(f"{answering} voters of the {what} configuration answer, {majority(config)} are needed")
    if not any(priority(member) and member["host"] in server.alive for member in new["members"]):
        found.append("no electable member of the new configuration answers")
    return found


def stricter(old: Document, new: Document) -> list[str]:
    """What the project does not do although a server accepts it: two voters at once (a swap, two new ones), and an `_id` that goes to
    another host, with which the server hands on a vote.
    """
    before, after = ({member["_id"] for member in voters(config)} for config in (old, new))
    found = []
    if len(before ^ after) > 1:
        found.append(f"{len(before ^ after)} voters change at once")
    hosts = {member["_id"]: member["host"] for member in old["members"]}
    found += [
        f"_id {member['_id']} of {hosts[member['_id']]} goes to {member['host']}"
        for member in new["members"]
        if hosts.get(member["_id"], member["host"]) != member["host"]
    ]
    return found


def _parse(config: Document, server: Server) -> Iterator[str]:
    if not isinstance(config.get("_id"), str) or not isinstance(config.get("members"), list):
        yield "_id or members is missing or of a wrong type"
        return
    yield from (f"{key} is an unknown field" for key in config.keys() - TOP_LEVEL - server.novel)
    if config.get("protocolVersion", 1) < 1:
        yield "protocolVersion is below 1"
    settings = config.get("settings") or {}
    yield from (f"{key} must be above 0" for key in POSITIVE if settings.get(key, 1) <= 0)
    for member in config["members"]:
        yield from _parse_member(member, server)


def _parse_member(member: Document, server: Server) -> Iterator[str]:
    if "_id" not in member or "host" not in member:
        yield "a member without _id or host"
        return
    name, separator, port = str(member["host"]).rpartition(":")
    if " " in member["host"] or (separator and (not name or not port.isdigit())):
        yield f"{member['host']} is no host"
    yield from (f"{key} is an unknown field of a member" for key in member.keys() - OF_A_MEMBER - server.novel)
    if not 0 <= member["_id"] <= 255:
        yield f"_id {member['_id']} is out of range"
    if not 0 <= float(member.get("priority", 1)) <= 1000:
        yield f"priority {member['priority']} is out of range"
    if votes(member) not in (0, 1):
        yield f"{votes(member)} votes"
    if not 0 <= delay(member) <= 31_622_400:
        yield f"a delay of {delay(member)} s"
    if arbiter(member):
        if float(member.get("priority", 1)) not in (0, 1):
            yield "an arbiter with a priority"
        if not votes(member):
            yield "an arbiter without a vote"
        if member.get("tags"):
            yield "an arbiter with tags"
    never = (not votes(member), member.get("hidden", False), delay(member) > 0, not member.get("buildIndexes", True))
    if priority(member) and any(never):
        yield f"{member['host']}: priority must be 0"


def _validate(config: Document, server: Server) -> Iterator[str]:
    members = config["members"]
    if not 1 <= len(members) <= 50:
        yield f"{len(members)} members"
    if not 1 <= len(voters(config)) <= 7:
        yield f"{len(voters(config))} voting members"
    for key in ("_id", "host"):
        yield from (f"two members with the {key} {value}" for value, times in _counted(member[key] for member in members) if times > 1)
    if not any(priority(member) for member in members):
        yield "no electable member"
    local = sum(member["host"].startswith(("localhost:", "127.", "[::1]")) for member in members)
    if 0 < local < len(members):
        yield f"{local} of {len(members)} hosts are localhost"
    if len({frozenset(member.get("horizons") or ()) for member in members}) > 1:
        yield "members with different horizons"
    endpoints = (endpoint for member in members for endpoint in (member.get("horizons") or {}).values())
    yield from (f"two horizons at {endpoint}" for endpoint, times in _counted(endpoints) if times > 1)
    if any("horizons" in member and not member["horizons"] for member in members):
        yield "empty horizons"
    wrong = "slaveDelay" if server.fcv >= (5, 0) else "secondaryDelaySecs"
    yield from (f"{member['host']} has {wrong} at FCV {server.fcv}" for member in members if wrong in member)


def _against(old: Document, new: Document, server: Server) -> Iterator[str]:
    if new["_id"] != old["_id"]:
        yield "another set name"
    if not isinstance(new.get("version"), int) or new["version"] <= old["version"] or new["version"] > 2**31 - 1:
        yield f"version {new.get('version')} after {old['version']}"
    if (new.get("settings") or {}).get("replicaSetId") != (old.get("settings") or {}).get("replicaSetId"):
        yield "another replica set ID"
    before = {member["host"]: member for member in old["members"]}
    for member in new["members"]:
        same = before.get(member["host"])
        if same is None:
            continue
        if same["_id"] != member["_id"]:
            yield f"{member['host']} has another _id"
        if arbiter(same) != arbiter(member) or same.get("buildIndexes", True) != member.get("buildIndexes", True):
            yield f"arbiterOnly or buildIndexes of {member['host']} changes"
    if server.version >= (5,):
        if implicit_majority(old) != implicit_majority(new) and not server.default_write_concern_set:
            yield "the implicit default write concern would change"
        is_psa = len(voters(new)) == 3 and sum(arbiter(member) for member in voters(new)) == 1
        if writable_voters(old) < majority(old) and is_psa and sum(priority(member) > 0 for member in new["members"]) > 1:
            yield "a PSA configuration with an electable secondary after one with too few writable voters"
    if server.version >= (4, 4):
        # New voters that hold data become `newlyAdded`.
        known = {member["_id"] for member in old["members"]}
        counted = {member["_id"] for member in voters(new) if member["_id"] in known or arbiter(member)}
        if len(counted ^ {member["_id"] for member in voters(old)}) > 1:
            yield "more than one voter is added or removed"


def _counted(values: Iterable[Any]) -> Iterable[tuple[Any, int]]:
    return Counter(values).items()
