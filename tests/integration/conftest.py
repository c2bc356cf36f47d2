# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests do not run beside each other: the heaviest, and those that share servers, which each process would start anew."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

# By directory or file: the group. What has none runs wherever there is room.
GROUPS = {
    "drill": "redis",
    "redis": "redis",
    "redis_proxy": "redis",
    "redis_member": "redis_member",
    "object_storage": "object_storage",
    "postgresql": "postgresql",
    "mongodb_double/test_wire.py": "wire",
    "mongodb_operations/test_health.py": "health",
}


def group(nodeid: str) -> str:
    """What a test runs with, in the order of the files; by itself when it is in no group."""
    path = PurePosixPath(nodeid.partition("::")[0].removeprefix("tests/integration/"))
    return GROUPS.get(str(path)) or GROUPS.get(path.parts[0]) or nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A group is run by one process; those with the most tests first. `--dist loadgroup` of pytest-xdist 3.8 does nothing with pytest 9."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Grouped(config, log)
