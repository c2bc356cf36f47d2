# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All templates rendered once, for all tests of this directory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

SETS = ("defaults", "single", "everything", "wesago", "object_storage_test")


@pytest.fixture(scope="session")
def rendered() -> dict[str, dict[str, Any]]:
    """What render.py prints, by set."""
    done = subprocess.run([sys.executable, str(HERE / "render.py")], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return printed


@pytest.fixture(scope="session")
def stacks(rendered: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The sets as the rules take them."""
    from rules import Stack

    return {
        name: Stack(
            found["objects"], found["secrets"], ("app-tls", "store-tls", "console-tls", "database-tls"), found["gates"], found["upstreams"]
        )
        for name, found in rendered.items()
    }
