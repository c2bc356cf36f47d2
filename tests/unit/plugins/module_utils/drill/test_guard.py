# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead man's switch, with real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import guard
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


def appears(path: Path, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists():
            return True
        time.sleep(0.02)
    return False


def test_it_repairs_when_it_is_asked(tmp_path: Path) -> None:
    mark = tmp_path / "repaired by it"
    made = guard.Guard(["touch", str(mark)])
    assert not appears(mark, 0.2)
    made.repair(10)
    assert mark.exists()


def test_it_says_why_it_cannot() -> None:
    made = guard.Guard(["sh", "-c", "echo node2 has no plug; exit 3"])
    with pytest.raises(StackgateError, match="has not ended\nnode2 has no plug"):
        made.repair(0.5)
    os.killpg(made._process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_repairs_when_its_maker_and_all_of_his_group_are_killed(tmp_path: Path, number: signal.Signals) -> None:
    """So does Ansible with its workers at Ctrl-C."""
    mark, there = tmp_path / "mark", tmp_path / "there"
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            made = guard.Guard(["touch", str(mark)])
            there.touch()
            time.sleep(60)
            made.repair(1)
        finally:
            os._exit(1)
    assert appears(there, 10)
    assert not mark.exists()
    os.killpg(child, number)
    os.waitpid(child, 0)
    assert appears(mark, 10)


def test_a_command_that_breaks_and_fails() -> None:
    guard.run(["true"], 5)
    with pytest.raises(StackgateError, match="exit status 2\nno such node"):
        guard.run(["sh", "-c", "echo no such node >&2; exit 2"], 5)
    with pytest.raises(StackgateError, match="drill_node_commands"):
        guard.run(["/nowhere/make"], 5)
    with pytest.raises(StackgateError, match="timed out"):
        guard.run(["sleep", "5"], 0.1)
