# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of members that do not answer."""

from __future__ import annotations

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import reach
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Refused, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Trouble
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Fleet, Request


class Silent:
    """A server that fails in one way."""

    def __init__(self, name, error):
        self.name, self.address, self.error = name, "10.43.0.1:6379", error

    def command(self, *words, timeout=0):
        raise self.error

    def close(self):
        pass


def observed(error, node="node2"):
    fleet = Fleet(Request(("redis-0",)), lambda name, port: Silent(name, error), {}, lambda name: node)
    return Observer(fleet).observe().servers[0]


def test_the_node_of_a_member_that_is_not_reachable_is_named():
    seen = observed(Unreachable("redis-0", "connection refused", 1.0))
    assert (seen.trouble, seen.error) == (Trouble.UNREACHABLE, "connection refused (its pod is on node node2)")
    assert observed(Unreachable("redis-0", "connection refused", 1.0), "").error == "connection refused"


def test_a_member_that_refuses_is_where_it_should_be():
    seen = observed(Refused("redis-0", ("INFO",), "WRONGPASS", "invalid username-password pair"))
    assert seen.trouble is Trouble.WRONG_PASSWORD
    assert "node" not in seen.error


def test_a_pods_node_is_asked_for_and_what_cannot_be_known_is_left_out():
    class Cluster:
        def list(self, *_words, **_more):
            return []

        def get(self, api_version, kind, name, namespace):
            assert (kind, namespace) == ("Pod", "shop")
            if name == "redis-2":
                raise ApiError("GET", 403, {"reason": "Forbidden"})
            return {"redis-0": {"spec": {"nodeName": "node3"}}, "redis-1": {"spec": {}}}.get(name)

    fleet = reach.reach(Request(("redis-0", "10.0.0.1:6379"), namespace="shop"), None, Cluster)
    assert [fleet.node(name) for name in ("redis-0", "redis-1", "redis-2", "redis-3", "10.0.0.1:6379")] == ["node3", "", "", "", ""]
