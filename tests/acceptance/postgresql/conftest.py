# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three members under Patroni, and a pod that uses them as an application does: through the pooler of its own node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from instance import PROJECT, Instance, delivered
from ledger_pod import Client, manifest, running, server_image
from postgresql_members import Members

PROGRAM = PROJECT / "tests/acceptance/postgresql/ledger.py"


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    with delivered("postgresql") as found:
        yield found


@pytest.fixture(scope="session")
def members(instance: Instance) -> Members:
    return Members(instance)


@pytest.fixture(scope="session")
def ledger_pod(instance: Instance) -> Iterator[dict[str, Any]]:
    """What an application's pod looks like. Its image is the server's, for its Python and its driver."""
    pod = manifest(server_image(instance), 10026, ["postgresql"], {"application": "postgresql"})
    # For a pod that nobody can give the program to while its node is cut off.
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "program", "mountPath": "/program", "readOnly": True})
    pod["spec"]["volumes"].append({"name": "program", "configMap": {"name": "ledger-program"}})
    program = {"metadata": {"name": "ledger-program"}, "data": {"ledger.py": PROGRAM.read_text()}}
    instance.core.create_namespaced_config_map(instance.namespace, program)
    yield pod
    instance.core.delete_namespaced_config_map("ledger-program", instance.namespace)


@pytest.fixture(scope="session")
def ledger(instance: Instance, ledger_pod: dict[str, Any]) -> Iterator[Client]:
    with running(instance, ledger_pod):
        yield Client(instance, PROGRAM)
