# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double answers as a real server was recorded; a real one, if there is one, does so, too."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from mongodb_servers import real_mongod
from replay import recording
from replay.player import Player
from replay.scenarios import APART, SCENARIOS
from replay.stage import Stage, can_change_names

SPEED = float(os.environ.get("STACKGATE_DOUBLE_SPEED", "4"))
# What differs is played again at these speeds before it counts: the recorded times are milliseconds, and a busy machine has hiccups.
SLOWER = (2.0, 1.0)


def test_every_recording_is_played() -> None:
    assert {*SCENARIOS, *APART} == set(recording.names())


@pytest.fixture
def network() -> Iterator[str]:
    """A loopback network of this process, so that two runs do not meet."""
    number = os.getpid()
    yield f"127.{64 + number // 200 % 100}.{1 + number % 200}."


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scenario(name: str, network: str) -> None:
    scenario = SCENARIOS[name]
    if scenario.names and not can_change_names():
        pytest.skip("root is needed for servers with an /etc/hosts of their own")
    differences: list[str] = []
    for speed in (1.0,) * 2 if real_mongod() else (SPEED, *SLOWER):
        recorded = recording.load(name, network, canonical=scenario.canonical)
        stage = Stage(recorded, network, speed)
        try:
            differences = Player(recorded, scenario, stage).play()
        finally:
            stage.close()
        if not differences:
            return
    pytest.fail("\n".join(differences))
