# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that a stage gets in the timeline."""

from __future__ import annotations

from ansible_collections.stackgate.k3s.plugins.callback.timeline import Stage


def test_the_line_names_the_slowest_tasks_above_the_floor():
    stage = Stage("Data", began=10.0, ended=15.5, tasks=[(0.2, "quick"), (4.0, "slow"), (1.2, "middling")])
    assert stage.line(slowest=1, floor=1.0).split() == ["5.5", "s", "Data", "(slowest:", "slow", "4.0", "s)"]
    assert "middling" in stage.line(slowest=2, floor=1.0)
    assert "quick" not in stage.line(slowest=3, floor=1.0)


def test_a_failed_stage_says_so():
    assert "FAILED Data" in Stage("Data", began=0.0, ended=1.0, failed=True).line(slowest=0, floor=0)
