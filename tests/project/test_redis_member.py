# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that starts and probes a member of Redis, and decides who is master, has tests of its own, in its own language."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "images" / "redis_member"


@pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go")
@pytest.mark.parametrize("command", ["vet", "test"])
def test_the_program(command: str) -> None:
    done = subprocess.run(["go", command, "."], cwd=PROGRAM, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
