# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test suite shares: the marker `covers`, which ties a test to the ids of tests/acceptance/requirements.yml.

The ids travel as a test's property into the JUnit report of the run, and `make coverage` reads them there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parent / "acceptance" / "requirements.yml"


def known_ids() -> set[str]:
    """The ids of tests/acceptance/requirements.yml. One `ID: text` per line: no YAML parser needed, and none is imported."""
    return set(re.findall(r"^([A-Z0-9]+-[FL]\d\d):", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*ids): the ids of tests/acceptance/requirements.yml that this test proves when it passes")
    config.addinivalue_line("markers", "deploys: runs ansible-playbook against the instance (minutes, changes it and puts it back)")
    config.addinivalue_line("markers", "disrupts: breaks something on purpose (a node, a pod) and repairs it")
    config.addinivalue_line("markers", "browser: looks at pages in headless Chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ids = known_ids()
    for item in items:
        named = {str(argument) for mark in item.iter_markers("covers") for argument in mark.args}
        if unknown := named - ids:
            raise pytest.UsageError(f"{item.nodeid}: covers ids that {REQUIREMENTS.name} does not have: {', '.join(sorted(unknown))}")
        if named:
            item.user_properties.append(("covers", " ".join(sorted(named))))
