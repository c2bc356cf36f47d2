# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.patroni_rollout; documented in plugins/modules/patroni_rollout.py."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import health
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Members
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.rollout import Rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.upkeep import Live, Upkeep, Wishes
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods
from ansible_collections.stackgate.k3s.plugins.plugin_utils import patroni
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "patroni_rollout"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or do what is wanted."""
        options = plain(options)  # without ansible's notes of where each value came from
        pods = _pods(options)
        cluster = self.cluster()

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] patroni_rollout {options['scope']}: {line}")

        processes = Pods(cluster, options["namespace"], pods)
        bounds = health.Bounds(options["max_lag"], options["synchronous"])
        live = Live(functools.partial(_members, options, cluster), say)
        hosts = {host.rpartition(":")[0]: host for host in pods}
        rolling = Rollout(live, processes, hosts, bounds, say, options["timeout"])
        upkeep = Upkeep(processes, rolling, Wishes(options["restart"], tuple(options["changing"]), options["only_down"]), say)
        try:
            return upkeep.predict() if self.check_mode else upkeep.run()
        except StackgateError as error:
            done = {"changed": bool(rolling.done), "plan": rolling.done, "restarted": rolling.restarted}
            error.details = {**done, **error.details}
            raise


def _members(options: Mapping[str, Any], cluster: Cluster) -> Members:
    return patroni.access(options, lambda: cluster)


def _pods(options: Mapping[str, Any]) -> dict[str, str]:
    """`name:port` to pod. Raises StackgateError when a member has none, or there is no namespace to look for them."""
    found = patroni.addresses(options["members"])
    without = [address.name for address in found if not address.pod]
    if without or not options["namespace"]:
        raise StackgateError(
            "every member has a pod that can be restarted, in a namespace",
            f"{', '.join(without)} without pod" if without else "the option namespace is not given",
        )
    return {f"{address.name}:{address.port}": address.pod for address in found}
