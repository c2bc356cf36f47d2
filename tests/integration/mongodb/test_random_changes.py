# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set wanders from one random shape to another: the servers accept every step, each shape is reached, and check mode had told the way."""

from __future__ import annotations

import random
from typing import Any

import pytest

SERVERS = 6
SHAPES = 4
LEFT_OUT = {"wait for primary", "wait for member", "wait for configuration", "step down"}


def shape(chance: random.Random, hosts: list[str], before: list[str]) -> list[dict[str, Any]]:
    """Members that a server would accept; the first may be primary, at most one is an arbiter. One of those before is among them: of a set
    of which no member is listed nobody could know.
    """
    kinds = ["data", "data", "hidden", "delayed", "quiet", "low", "arbiter"]
    chosen = chance.sample(hosts, chance.randint(1, len(hosts)))
    chosen += [chance.choice(before)] if before and not set(before) & set(chosen) else []
    members = []
    for number, host in enumerate(chosen):
        kind = chance.choice(kinds) if number else "data"
        if kind == "arbiter":
            kinds.remove(kind)
        more: dict[str, Any] = {
            "data": {"priority": chance.choice([1, 1, 2])},
            "hidden": {"hidden": True},
            "delayed": {"hidden": True, "secondary_delay_s": 5, "votes": 0},
            "quiet": {"votes": 0},
            "low": {"priority": 0, "tags": {"zone": chance.choice("xy")}},
            "arbiter": {"arbiter": True},
        }[kind]
        members.append({"name": host, "host": host, **more})
    return members


def kinds(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["kind"] for entry in entries} - LEFT_OUT


@pytest.mark.parametrize("seed", [1, 2])
def test_from_shape_to_shape(replica_set: Any, seed: int) -> None:
    rs = replica_set(SERVERS)
    chance = random.Random(seed)
    hosts = list(rs.servers.hosts)
    members: list[dict[str, Any]] = []
    for _shape in range(SHAPES):
        members = shape(chance, hosts, [member["host"] for member in members])
        planned = rs.task(members=members, check=True)
        done = rs.task(members=members)
        # An election on the way, as to a member of a higher priority, changes the order and may spare a step-down; nothing else.
        assert kinds(planned["plan"]) == kinds(done["performed"])
        again = rs.task(members=members)
        assert (again["changed"], again["plan"]) == (False, []), again["plan"]
        found = {member["host"]: member for member in again["config"]["members"]}
        assert found.keys() == {member["host"] for member in members}
        for member in members:
            there = found[member["host"]]
            assert there["votes"] == member.get("votes", 1) and there["arbiterOnly"] == member.get("arbiter", False), there
            assert there["hidden"] == member.get("hidden", False) and there["secondaryDelaySecs"] == member.get("secondary_delay_s", 0), (
                there
            )
