# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double answers as a real server was recorded; a real one, if there is one, does so, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from replay import recording
from replay.player import Player
from replay.scenarios import APART, SCENARIOS
from replay.stage import Stage, can_change_names, own_network, speeds


def test_every_recording_is_played() -> None:
    assert {*SCENARIOS, *APART} == set(recording.names())


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scenario(name: str, record_property: Callable[[str, object], None]) -> None:
    scenario = SCENARIOS[name]
    if scenario.names and not can_change_names():
        pytest.skip("root is needed for servers with an /etc/hosts of their own")
    differences: list[str] = []
    for speed in speeds():
        record_property("speed", speed)
        recorded = recording.load(name, own_network(), canonical=scenario.canonical)
        stage = Stage(recorded, own_network(), speed)
        try:
            differences = Player(recorded, scenario, stage).play()
        finally:
            stage.close()
        if not differences:
            return
    pytest.fail("\n".join(differences))
