# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.redis_rollout; documented in plugins/modules/redis_rollout.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health, reach, rollout
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.switchover import Switched, Switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.rollout_pods import Pods
from ansible_collections.stackgate.k3s.plugins.plugin_utils import redis
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class Members:
    """The members, connected to when they are first asked: a run with nothing to do needs no Secret and no server."""

    def __init__(self, options: Mapping[str, Any], cluster: Callable[[], Cluster], say: Callable[[str], None]) -> None:
        self._options, self._cluster, self._say = options, cluster, say
        self._opened: reach.Fleet | None = None

    @functools.cached_property
    def _fleet(self) -> reach.Fleet:
        self._opened = redis.access(self._options, self._cluster)
        return self._opened

    @functools.cached_property
    def _observer(self) -> Observer:
        return Observer(self._fleet, self._options["answer_timeout"])

    def observe(self) -> Observation:
        """Ask all members."""
        return self._observer.observe()

    def hand_over(self, timeout: float) -> Switched:
        """Make the master hand over."""
        return Switchover(self._fleet, say=self._say).run(timeout)

    def close(self) -> None:
        """End the connections."""
        if self._opened is not None:
            self._opened.close()


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "redis_rollout"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Check the options, then predict or do what is wanted."""
        options = plain(options)  # without ansible's notes of where each value came from
        request = redis.request(options)
        outside = [name for name in (*request.servers, *request.sentinels) if reach.outside(name)]
        if outside:
            raise StackgateError("every member is a pod that can be restarted", f"{', '.join(outside)} is an address")
        cluster = functools.cache(self.cluster)

        def say(line: str) -> None:
            self.say(f"[{task_vars.get('inventory_hostname', '')}] redis_rollout {request.name}: {line}")

        members = Members(options, cluster, say)
        ports = {**dict.fromkeys(request.servers, request.port), **dict.fromkeys(request.sentinels, request.sentinel_port)}
        pods = Pods(cluster(), request.namespace, {name: name for name in request.pods}, ports=ports)
        bounds = health.Bounds(options["max_lag_bytes"])
        rolling = rollout.Rollout(members.observe, members.hand_over, pods, bounds, say, options["timeout"])
        try:
            if self.check_mode:
                return _predict(options, pods, members)
            if options["only_down"]:
                rolling.repair()
            else:
                if options["restart"]:
                    pods.asked.update(dict.fromkeys(pods.uids(), "asked for"))
                rolling.run()
            return rolling.result
        except StackgateError as error:
            error.details = {**rolling.result, **error.details}
            raise
        finally:
            members.close()


def _predict(options: Mapping[str, Any], pods: Pods, members: Members) -> dict[str, Any]:
    """What a run would do. Members are asked only when there is something to do."""
    pods.asked.update(dict.fromkeys(pods.made_by(options["changing"]), "a changed pod template"))
    if options["restart"] and not options["only_down"]:
        pods.asked.update(dict.fromkeys(pods.uids(), "asked for"))
    pending = pods.pending()
    if options["only_down"]:
        found = [rollout.restart_sentence(name, "down", why) for name, why in pending.items() if pods.down(name)]
    else:
        found = rollout.plan(pending, members.observe()) if pending else []
    return {"changed": bool(found), "plan": found, "restarted": []}
