# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action stackgate.k3s.redis_sentinel_info; documented in plugins/modules/redis_sentinel_info.py."""

from __future__ import annotations

import functools
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import plain
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health, report
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.plugin_utils import redis
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction


class ActionModule(StackgateAction):
    """See DOCUMENTATION."""

    name = "redis_sentinel_info"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask everybody once."""
        options = plain(options)  # without ansible's notes of where each value came from
        with redis.access(options, functools.cache(self.cluster)) as fleet:
            observed = Observer(fleet, options["answer_timeout"]).observe()
        verdict = health.judge(observed, health.Bounds())
        return {"changed": False, "healthy": verdict.holds, "seen": verdict.seen, "condition": verdict.condition, **report.data(observed)}
