# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of plans is checked itself: against every initiate and reconfig that a real 5.0.7 accepted or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb import server_rules
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.server_rules import Server

RECORDED = json.loads((Path(__file__).parent / "recorded" / "configurations.json").read_text(encoding="utf-8"))
# Who ran beside the one that got the initiate, recorded 03b: g was fresh and answered; the others were silent, foreign or nothing.
ANSWERED = {"127.0.0.24:27124", "127.0.0.27:27127"}


def hosts(*configs: Any) -> frozenset[str]:
    return frozenset(
        str(member.get("host"))
        for config in configs
        if isinstance(config, dict) and isinstance(config.get("members"), list)
        for member in config["members"]
    )


@pytest.mark.parametrize("entry", RECORDED["reconfigs"], ids=lambda entry: f"{entry['from']}: {entry['note'][:60]}")
def test_a_recorded_reconfig(entry: dict[str, Any]) -> None:
    # Recorded 04k: the second member was dead.
    alive = hosts(entry["old"], entry["new"]) - ({"127.0.0.82:27182"} if entry["from"].startswith("04k") else set())
    server = Server(entry["primary"], alive=alive, default_write_concern_set=entry["default_write_concern_set"])
    assert bool(server_rules.reconfigure(entry["old"], entry["new"], server)) is (entry["code"] is not None)


@pytest.mark.parametrize("entry", RECORDED["initiates"], ids=lambda entry: f"{entry['from']}: {entry['note'][:60]}")
def test_a_recorded_initiate(entry: dict[str, Any]) -> None:
    name = "rs1" if entry["on"] == "127.0.0.25:27125" else "rs0"
    found = server_rules.initiate(entry["new"], Server(entry["on"], set_name=name, alive=frozenset({*ANSWERED, entry["on"]})))
    assert bool(found) is (entry["code"] is not None), found


def test_what_the_project_does_not_do_although_a_server_accepts_it() -> None:
    def config(**members: int) -> dict[str, Any]:
        return {"members": [{"_id": number, "host": host} for host, number in members.items()]}

    assert server_rules.stricter(config(a=0, b=1), config(a=0, b=1, c=2)) == []
    assert server_rules.stricter(config(a=0), config(a=0, b=1, c=2)) == ["2 voters change at once"]
    assert server_rules.stricter(config(a=0, b=1), config(a=0, c=2)) == ["2 voters change at once"]
    assert server_rules.stricter(config(a=0, b=1), config(a=0, c=1)) == ["_id 1 of b goes to c"]
