# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of the molecule scenarios redis and postgresql: those that are there, or some that are made, and taken down again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drilled import Drilled
from instance import delivered


@pytest.fixture(scope="session", params=["redis", "postgresql"])
def drilled(request: pytest.FixtureRequest) -> Iterator[Drilled]:
    with delivered(request.param) as instance:
        yield Drilled(request.param, instance)
