# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.mongodb_rollout; documented in plugins/modules/mongodb_rollout.py."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import desired, health
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.rollout import Rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.upkeep import Upkeep, Wishes
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods
from ansible_collections.stackgate.k3s.plugins.plugin_utils import mongodb
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class Set:
    """The members of a set, connected to when the first of them is asked: a run with nothing to do needs no Secret and no server."""

    def __init__(self, cluster: Cluster, options: Mapping[str, Any], hosts: tuple[str, ...]) -> None:
        self._cluster, self._options, self._hosts = cluster, options, hosts
        self._opened: mongodb.Access | None = None

    @functools.cached_property
    def _access(self) -> mongodb.Access:
        self._opened = mongodb.access(self._options, lambda: self._cluster)
        return self._opened

    @functools.cached_property
    def _observer(self) -> Observer:
        return Observer(self._access.members, self._options["name"], self._hosts, self._options["answer_timeout"])

    def observe(self) -> Observation:
        """Ask all members."""
        return self._observer.observe()

    def command(self, host: str, body: Mapping[str, Any], timeout: float) -> Mapping[str, Any]:
        """Send a command to one."""
        return self._access.members[host].command(body, timeout=timeout)

    def close(self) -> None:
        """End the connections."""
        if self._opened is not None:
            self._opened.members.close()


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "mongodb_rollout"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or do what is wanted."""
        options = plain(options)  # without ansible's notes of where each value came from
        wanted = desired.from_options(options["name"], options["members"])
        pods = _pods(options)
        key = options["key_secret"] or {}
        if options["rotate_key"] and not key:
            raise StackgateError("rotate_key comes with key_secret, the Secret that has the key file", "key_secret is not given")
        cluster = self.cluster()
        names = {member.host: member.name for member in wanted.members}
        members = Set(cluster, options, wanted.hosts)

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] mongodb_rollout {wanted.name}: {line}")

        processes = Pods(cluster, options["namespace"], pods)
        bounds = health.Bounds(options["max_lag"], options["max_clock_skew"])
        rolling = Rollout(members.observe, members.command, processes, names, bounds, say, options["timeout"])
        wishes = Wishes(
            options["restart"],
            (key["name"], key["key"]) if key else None,
            options["rotate_key"],
            options["feature_compatibility_version"] or "",
            options["burn_in"],
            tuple(options["changing"]),
            options["only_down"],
        )
        upkeep = Upkeep(cluster, options["namespace"], processes, rolling, wishes, say)
        try:
            return upkeep.predict() if self.check_mode else upkeep.run()
        except StackgateError as error:
            done = {"changed": bool(rolling.done), "plan": rolling.done, "restarted": rolling.restarted}
            error.details = {**done, **error.details}
            raise
        finally:
            members.close()


def _pods(options: Mapping[str, Any]) -> dict[str, str]:
    """Host to pod. Raises StackgateError when a member has none, or there is no namespace to look for them."""
    found = {desired.host_and_port(str(member["host"])): str(member.get("pod") or "") for member in options["members"]}
    without = [host for host, pod in found.items() if not pod]
    if without or not options["namespace"]:
        raise StackgateError(
            "every member has a pod that can be restarted, in a namespace",
            f"{', '.join(without)} without pod" if without else "the option namespace is not given",
        )
    return found
