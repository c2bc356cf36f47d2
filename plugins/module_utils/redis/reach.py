# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers and sentinels as they can be reached from here, and the addresses by which they know each other.

A member is named like its pod, and like the Service of its own whose cluster address it announces. `host:port` names one outside of the
cluster, which is known by that very address.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials, Endpoint
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial

T = TypeVar("T")

PORT, SENTINEL_PORT = 6379, 26379
MASTER_NAME = "redis"


@dataclass(frozen=True)
class Request:
    """Who is to be reached, by name. namespace: of the pods and Services. name: the master's, as the sentinels call it."""

    servers: tuple[str, ...]
    sentinels: tuple[str, ...] = ()
    namespace: str = ""
    name: str = MASTER_NAME
    port: int = PORT
    sentinel_port: int = SENTINEL_PORT

    @property
    def pods(self) -> tuple[str, ...]:
        """The members that are pods."""
        return tuple(name for name in (*self.servers, *self.sentinels) if not outside(name))


class Fleet:
    """Servers and sentinels by name. Use it in a `with`: it closes the connections.

    others: those that are not asked for and may be there all the same: members of the cluster of the same kind, by address.
    node: tells the node of a member's pod; empty when it is on none, or that cannot be known.
    """

    def __init__(
        self,
        request: Request,
        endpoints: Callable[[str, int], Endpoint],
        services: Mapping[str, str],
        node: Callable[[str], str] = lambda name: "",
    ) -> None:
        self.request, self._make, self._services, self.node = request, endpoints, services, node
        self.servers = {name: endpoints(name, request.port) for name in request.servers}
        self.sentinels = {name: endpoints(name, request.sentinel_port) for name in request.sentinels}
        self._guests: dict[str, Endpoint] = {}

    @property
    def leaving(self) -> tuple[str, ...]:
        """The Services of members that are no longer wanted."""
        bases = {base(name) for name in self.request.pods}
        wanted = set(self.request.pods)
        return tuple(sorted(name for name in self._services if base(name) in bases and name not in wanted))

    def server(self, name: str) -> Endpoint:
        """A server by what `name_of` calls it, wanted or not."""
        if name in self.servers:
            return self.servers[name]
        if name not in self._guests:
            self._guests[name] = self._make(name, self.request.port)
        return self._guests[name]

    def name_of(self, address: str) -> str:
        """What a server or sentinel with this address is called; the address when nothing is known of it."""
        known = {endpoint.address: name for name, endpoint in (*self.servers.items(), *self.sentinels.items()) if endpoint.address}
        ip = address.rpartition(":")[0]
        return known.get(address) or next((name for name, theirs in self._services.items() if theirs == ip), address)

    def close(self) -> None:
        """End all connections."""
        for endpoint in (*self.servers.values(), *self.sentinels.values(), *self._guests.values()):
            endpoint.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def ask_all(endpoints: Iterable[Endpoint], question: Callable[[Endpoint], T]) -> dict[str, T | StackgateError]:
    """Ask all of them at the same time: answers, and StackgateErrors, by name. Another exception is raised."""
    asked = list(endpoints)
    if not asked:
        return {}

    def work(endpoint: Endpoint) -> T | StackgateError:
        try:
            return question(endpoint)
        except StackgateError as error:
            return error

    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip([endpoint.name for endpoint in asked], pool.map(work, asked), strict=True))


def reach(request: Request, credentials: Credentials | None, cluster: Callable[[], Cluster] | None = None) -> Fleet:
    """The members of a request. cluster: makes the connection to the API server; called once, and only when there are pods."""
    connected = cluster() if request.pods and cluster is not None else None
    services: dict[str, str] = {}
    if connected is not None:
        found = connected.list("v1", "Service", request.namespace, cached=True)
        services = {str(s["metadata"]["name"]): str((s.get("spec") or {}).get("clusterIP") or "None") for s in found}
        services = {name: ip for name, ip in services.items() if ip != "None"}

    def make(name: str, port: int) -> Endpoint:
        if outside(name) or connected is None:
            return Endpoint(name, direct_dial(name), credentials, name)
        address = f"{services[name]}:{port}" if name in services else ""
        return Endpoint(name, pod_dial(connected, request.namespace, name, port), credentials, address)

    def node(name: str) -> str:
        if connected is None or outside(name):
            return ""
        try:
            pod = connected.get("v1", "Pod", name, request.namespace)
        except StackgateError:
            return ""
        return str(((pod or {}).get("spec") or {}).get("nodeName") or "")

    return Fleet(request, make, services, node)


def direct_dial(host: str) -> Dial:
    """The way to a member by its address."""
    name, _colon, port = host.rpartition(":")
    return lambda seconds: socket.create_connection((name.strip("[]"), int(port)), timeout=seconds)


def pod_dial(cluster: Cluster, namespace: str, pod: str, port: int) -> Dial:
    """The way to a member in a pod. In the pod the connection comes from 127.0.0.1."""
    return lambda seconds: cluster.connect_pod(pod, namespace, port, timeout=seconds)


def outside(name: str) -> bool:
    """Whether a name is an address rather than a pod's."""
    return ":" in name


def base(name: str) -> str:
    """`redis-0` -> `redis`; empty for a name that no StatefulSet gives."""
    found = re.fullmatch(r"(.+)-\d+", name)
    return found[1] if found else ""


def mistakes(servers: Sequence[str], sentinels: Sequence[str]) -> list[str]:
    """What is wrong with the names of members, as sentences."""
    names = [*servers, *sentinels]
    found = [] if servers else ["there is no server"]
    found += [f"{name} is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if len(sentinels) in (1, 2):
        found.append(f"{len(sentinels)} sentinels: with fewer than three, the loss of one leaves no majority")
    return found
