# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switchover waits for; that it loses nothing is shown with real servers (tests/integration/redis)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switchover
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.redis.world import server_address, whole


class Fleet:
    """Names of addresses."""

    def name_of(self, address: str) -> str:
        return {server_address(1): "redis-1"}.get(address, address)


def test_a_replica_that_a_sentinel_takes_for_a_master_is_waited_for() -> None:
    """That sentinel would make it a replica again, right after it was promoted."""
    fleet: Any = Fleet()
    switchover = Switchover(fleet)
    views = list(whole().sentinels)
    switchover._known_as_replicas(views)
    late = Known(server_address(1), role="master")
    views[2] = dataclasses.replace(views[2], replicas=(late,))
    with pytest.raises(StackgateError, match="redis-sentinel-2 has last heard redis-1 say that it is a master"):
        switchover._known_as_replicas(views)
    views[2] = dataclasses.replace(views[2], replicas=(dataclasses.replace(late, flags=frozenset({"s_down"})),))
    switchover._known_as_replicas(views)  # who is down says nothing more
