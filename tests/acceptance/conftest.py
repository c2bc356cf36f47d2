# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the acceptance tests share: the instance, named by STACKGATE_* variables of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance import PROJECT, Instance


@pytest.fixture(scope="session")
def instance() -> Instance:
    found = Instance.from_environment()
    assert found.kubeconfig.exists(), f"no kubeconfig at {found.kubeconfig}: `make up` first, or set STACKGATE_KUBECONFIG"
    return found


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots go."""
    directory = PROJECT / "tests/output"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
