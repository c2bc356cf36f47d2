# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds of a playbook."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def timed(tasks: list[dict[str, Any]]) -> float:
    """Seconds of a playbook with these tasks. Ends the program with the playbook's output when it fails."""
    variables = {"ansible_python_interpreter": sys.executable}
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(book, file)
        file.flush()
        began = time.perf_counter()
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", file.name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds
