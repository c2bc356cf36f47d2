# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the doc fragment redis_members, turned into servers and sentinels that can be asked."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import login, reach

# Ansible imports the actions that use this once, before it forks: the client is loaded there, and only by playbooks that need it.
with contextlib.suppress(ImportError):
    importlib.import_module("redis")


def request(options: Mapping[str, Any]) -> reach.Request:
    """Who is meant. Raises StackgateError when the options contradict each other."""
    wanted = reach.Request(
        servers=tuple(map(str, options["servers"])),
        sentinels=tuple(map(str, options["sentinels"] or ())),
        namespace=str(options["namespace"] or ""),
        name=str(options["name"]),
        port=int(options["port"]),
        sentinel_port=int(options["sentinel_port"]),
    )
    wrong = reach.mistakes(wanted.servers, wanted.sentinels)
    if wrong:
        raise StackgateError("each member is listed once, and there are no sentinels or at least three", "; ".join(wrong))
    if not wanted.namespace and (wanted.pods or options["credentials"]):
        raise StackgateError("namespace says where the pods and Secrets are", "it is not given", "set the option namespace")
    return wanted


def access(options: Mapping[str, Any], cluster: Callable[[], Cluster], check: bool = False) -> reach.Fleet:
    """The members of a task. cluster: makes the connection to the cluster; called at most once, and only when it is needed.

    check: in check mode a Secret that is missing is taken for one that the run makes before this task.
    Raises StackgateError when options contradict each other, a Secret or its key is missing, or a library is.
    """
    need_redis()
    wanted = request(options)
    cluster = functools.cache(cluster)
    return reach.reach(wanted, login.credentials(cluster, wanted.namespace, options["credentials"], check), cluster)


def need_redis() -> None:
    """StackgateError when the client library is not installed."""
    try:
        import redis  # noqa: F401  # pylint: disable=unused-import
    except ImportError as error:
        raise StackgateError("the Python package redis is installed", str(error), "install it: pip install redis") from error
