# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of three members of the test double, and a pod that uses it as an application does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance import Instance, delivered
from ledger_pod import Client, manifest, running, server_image


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    with delivered("mongodb") as found:
        yield found


@pytest.fixture(scope="session")
def ledger(instance: Instance) -> Iterator[Client]:
    """An application's pod. Its image is the double's, for its Python and its driver."""
    secrets = {"mongodb": "mongodb", "mongodb-admin": "mongodb-admin"}
    pod = manifest(server_image(instance), 10030, ["mongodb"], secrets, {"PYTHONPATH": "/opt/mongodb"})
    with running(instance, pod):
        yield Client(instance)
