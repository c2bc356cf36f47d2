# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One embedded cluster of two nodes for the tests of this directory; root only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import embedded


@pytest.fixture(scope="session")
def machine_before() -> dict[str, set[str]]:
    """What the kernel knew before any test started a cluster."""
    return embedded.kernel()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, machine_before: dict[str, set[str]]) -> Iterator[embedded.Embedded]:
    """The cluster, running; it is removed in the end whatever the tests did."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = embedded.Embedded(tmp_path_factory.mktemp("embedded"))
    try:
        made.play()
        yield made
    finally:
        made.play(state="absent")
