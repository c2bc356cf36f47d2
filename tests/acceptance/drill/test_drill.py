# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small drills by the playbook: what is broken, what is not, and what it costs. docs/drills.md has the whole table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drilled import Drilled, result
from instance import CACHE, PROJECT
from waiting import until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

# Seconds without an accepted write: what is promised for each fault, and as much again for a machine that has other things to do.
LONGEST = {
    ("redis", "pod"): 6.0,
    ("redis", "process"): 6.0,
    ("redis", "switchover"): 1.0,
    # Where two seconds do not suffice to hand the lock back, it may have to run out.
    ("postgresql", "pod"): 12.0,
    ("postgresql", "process"): 10.0,
    ("postgresql", "switchover"): 2.0,
}


def test_check_mode_tells_what_would_be_broken_and_breaks_nothing(drilled: Drilled) -> None:
    before = drilled.pods()
    run = drilled.drill("--check", "-e", "drill_faults=process,all_pods")
    assert run.status == 0, run.failed
    killed, deleted = result(run)["plan"]
    assert "kill the server's process of" in killed
    assert all(pod in deleted for pod in before)
    assert drilled.pods() == before


def test_nothing_is_broken_unless_somebody_says_yes(drilled: Drilled) -> None:
    before = drilled.pods()
    run = drilled.drill("-e", "drill_faults=all_pods")  # nobody is at the keyboard
    assert run.status != 0
    assert "nothing was broken" in run.failed[0]
    assert drilled.pods() == before


@pytest.mark.covers("WE-L04", "WE-L05", "WE-L12")
def test_the_leader_goes_in_three_ways(drilled: Drilled, record_property: Callable[[str, object], None]) -> None:
    run = drilled.drill("-e", "drill_confirmed=true", "-e", "drill_faults=switchover,process,pod")
    assert run.status == 0, run.failed
    found = result(run)
    print("\n".join(found["table"]))
    assert [one["fault"] for one in found["runs"]] == ["switchover", "process", "pod"]
    assert found["lost"] == 0
    for one in found["runs"]:
        assert one["recovered"], one
        for series in one["series"]:
            record_property(f"{one['store']} {one['fault']} {series['series']} (seconds)", series["seconds"])
            assert series["acknowledged"] > 200
            assert series["ghosts"] == 0
            assert series["seconds"] < 2 * LONGEST[(one["store"], one["fault"])], one


def test_a_drill_that_is_interrupted_repairs_its_node(drilled: Drilled, tmp_path: Path) -> None:
    """With commands that only take notes: the machinery is what is tried."""
    log = tmp_path / "log"
    note = ["sh", "-c", f'echo "$0" >> {log}']
    commands = {"off": [*note, "off {node}"], "on": [*note, "on {node}"]}
    words = ["playbooks/drill.yml", *drilled.given, "--tags", drilled.store, "-e", "drill_confirmed=true", "-e", "drill_faults=node"]
    environment = dict(os.environ, ANSIBLE_CONFIG=str(PROJECT / "ansible.cfg"), STACKGATE_CACHE=str(CACHE))
    running = subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible-playbook")), *words, "-e", f"{{'drill_node_commands': {commands}}}"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until("the drill switches a node off", log.exists, 240)
        os.killpg(running.pid, signal.SIGINT)
        running.wait(60)
        until("the node is switched on again", lambda: len(log.read_text().splitlines()) == 2, 30)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
    off, on = log.read_text().splitlines()
    assert (off.split()[0], on.split()[0]) == ("off", "on")
    assert off.split()[1] == on.split()[1]
