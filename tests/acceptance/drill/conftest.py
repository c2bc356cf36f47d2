# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of the molecule scenarios redis and postgresql: those that are there, or some that are made, and taken down again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drilled import Drilled
from instance import CACHE, PROJECT, Instance, run_playbook


@pytest.fixture(scope="session", params=["redis", "postgresql"])
def drilled(request: pytest.FixtureRequest) -> Iterator[Drilled]:
    store, name = request.param, f"store-{request.param}"
    inventories = (PROJECT / "inventories/local", PROJECT / f"molecule/{store}/inventory")
    found = Drilled(store, Instance(name, inventories, CACHE / "kubeconfig", name, "k3s"))
    assert found.instance.kubeconfig.exists(), f"no kubeconfig at {found.instance.kubeconfig}: `make cluster` first"
    try:
        there = bool(found.pods())
    except Exception:  # no rights in a namespace that is not there yet
        there = False
    if not there:
        made = run_playbook([f"molecule/{store}/converge.yml", *found.given])
        assert made.status == 0, made.failed
    yield found
    if not there:
        run_playbook([f"molecule/{store}/cleanup.yml", *found.given, "-e", f"confirm={name}"])
