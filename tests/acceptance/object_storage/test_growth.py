# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second pool: more capacity without a moment's loss of what is there. It cannot be taken back, so the instance is made anew after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from instance import Instance
from object_ledger import Account, Ledger, Storage, acknowledged, lost, until

pytestmark = [pytest.mark.deploys, pytest.mark.disrupts]

GROWN: dict[str, Any] = {"object_storage_further_pools": [{"replicas": 4, "storage_size": "1Gi"}]}


def test_a_second_pool_adds_capacity_and_keeps_everything(instance: Instance, storage: Storage, ledger: Ledger, tmp_path: Path) -> None:
    time.sleep(5)
    try:
        began = time.time()
        run = instance.play("--tags", "object_storage", override=GROWN, directory=tmp_path)
        assert run.status == 0, run.failed
        ended = time.time()
        pause = Account.of("get", ledger.lines(began, ended), began, ended)
        print(f"a second pool took {run.seconds:.0f} s; get: {pause}")
        assert len(storage.ready()) == 8
        commands = {tuple(pod["spec"]["containers"][0]["args"]) for pod in storage.pods()}
        assert len(commands) == 1, "all servers are started with the same words"
        again = instance.play("--tags", "object_storage", override=GROWN, directory=tmp_path)
        assert (again.status, again.changed) == (0, [])
        time.sleep(5)
        wanted = acknowledged(ledger.lines())
        assert lost(storage.store("object-storage"), "app", wanted) == []
        assert lost(storage.store("object-storage", "object-storage-2-3"), "app", wanted) == []
    finally:
        ledger.stop()
        gone = instance.play("-e", f"confirm={instance.name}", "-e", "destroy_volumes=true", playbook="playbooks/destroy.yml")
        # Its namespace may still be on its way out.
        until("the instance is made anew", lambda: instance.play().status == 0, 180)
    assert gone.status == 0, gone.failed
