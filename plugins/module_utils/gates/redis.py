# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis servers and their sentinels are of one mind, and an application's write is acknowledged and read back by its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import MISSING_PATIENCE, View
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health, login, probe, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials, Endpoint
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation as Seen
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer


@dataclass(kw_only=True)
class Login:
    """A user whose password is in a Secret."""

    secret: str = field(metadata={"doc": "Name of the Secret in the gate's namespace."})
    username: str = field(default="admin", metadata={"doc": "The user's name."})
    key: str | None = field(
        default=None, metadata={"doc": "Key of the Secret that has the password; the username followed by `-password` when unset."}
    )


@dataclass(kw_only=True)
class Redis(Condition):
    """See the module's text and docs/gates.md."""

    name: str = field(default=reach.MASTER_NAME, metadata={"doc": "The name by which the sentinels call the master."})
    servers: list[str] = field(metadata={"doc": "The servers that there are to be, as the option `servers` of redis_sentinel."})
    sentinels: list[str] = field(default_factory=list, metadata={"doc": "The sentinels likewise; none for a server that stands alone."})
    port: int = field(default=reach.PORT, metadata={"doc": "Port of servers that are pods.", "least": 1})
    sentinel_port: int = field(default=reach.SENTINEL_PORT, metadata={"doc": "Port of sentinels that are pods.", "least": 1})
    credentials: Login | None = field(default=None, metadata={"doc": "A user that may do everything, the same on servers and sentinels."})
    max_lag_bytes: int = field(
        default=health.MAX_LAG_BYTES, metadata={"doc": "Bytes of the replication stream that a replica may be behind.", "least": 0}
    )
    service: str | None = field(
        default=None,
        metadata={"doc": "Service that applications use: a write goes through a pod behind it, and is read back through each."},
    )
    proxies: int = field(default=1, metadata={"doc": "How many pods there must be behind the Service at least.", "least": 1})
    application_secret: str | None = field(
        default=None, metadata={"doc": "Secret with the keys `username` and `password` of the application, with which that is done."}
    )
    write_probe: bool = field(
        default=True, metadata={"doc": "Write the small key `stackgate:gate`, have a replica acknowledge it (WAIT). Never in check mode."}
    )

    def __post_init__(self) -> None:
        self._fleet: reach.Fleet | None = None
        self._observer: Observer | None = None
        self._ways: dict[str, Endpoint] = {}

    def check(self) -> Iterator[tuple[str, str]]:
        for wrong in reach.mistakes(self.servers, self.sentinels):
            yield "servers", wrong

    def describe(self) -> str:
        return f"redis {self.name}"

    def expected(self) -> str:
        minds = ", all sentinels are of one mind and can reach the quorum" if self.sentinels else ""
        write = f", and a write through Service {self.service} is acknowledged and read back" if self.service and self.write_probe else ""
        return f"redis {self.name} has one master, every replica is close behind it{minds}{write}"

    def observe(self, view: View) -> Observation:
        seen = self._reached(view).observe()
        verdict = health.judge(seen, health.Bounds(self.max_lag_bytes))
        if not verdict.holds:
            return self._not_yet(verdict, view)
        if self.service and self.write_probe and not view.session.check_mode:
            return self._written(seen, verdict.seen, view)
        return holds(verdict.seen)

    def close(self, view: View) -> None:
        if self._fleet is not None:
            self._fleet.close()
        for way in self._ways.values():
            way.close()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _reached(self, view: View) -> Observer:
        """The connections: made in the first round, and kept. As long as a Service is missing its address is not known."""
        if self._observer is None or (self._fleet and not all(one.address for one in self._fleet.sentinels.values())):
            if self._fleet is not None:
                self._fleet.close()
            request = reach.Request(tuple(self.servers), tuple(self.sentinels), view.namespace, self.name, self.port, self.sentinel_port)
            user = login.credentials(lambda: view.cluster, view.namespace, vars(self.credentials) if self.credentials else None)
            self._fleet = reach.reach(request, user, lambda: view.cluster)
            self._observer = Observer(self._fleet)
        return self._observer

    def _not_yet(self, verdict: health.Verdict, view: View) -> Observation:
        pods = [name for name in verdict.members if view.pod(name) is not None]
        nodes = [trouble for pod in pods if (found := view.pod(pod)) is not None and (trouble := view.node_trouble(found))]
        lasting = view.session.lasting(f"redis {self.name}: {verdict.condition}")
        verb = failed if verdict.fatal and lasting >= MISSING_PATIENCE else waiting
        return verb(
            f"{verdict.expected}: {'; '.join([verdict.seen, *nodes])}",
            hint=verdict.hint,
            suspects=tuple(Suspect(pod) for pod in pods),
            data={"condition": verdict.condition},
        )

    def _written(self, seen: Seen, said: str, view: View) -> Observation:
        try:
            doors = _reach.doors(_reach.Target(service=self.service), view)
        except _reach.NoDoor as none:
            return none.observation
        if len(doors) < self.proxies:
            found = f"{len(doors)} of {self.proxies} pods behind Service {self.service}"
            return waiting(f"{said}; {found}", data={"condition": "proxies"})
        user = login.application(lambda: view.cluster, view.namespace, self.application_secret) if self.application_secret else None
        ways = [self._way(door, user) for door in doors]
        try:
            wrote = probe.write_and_read(ways, 1 if len(seen.servers) > 1 else 0)
        except StackgateError as error:
            suspects = tuple(suspect for door in doors for suspect in door.suspects)
            return waiting(f"{error.expected}: {error.seen}", hint=error.hint, suspects=suspects, data={"condition": "write"})
        return holds(f"{said}, {wrote}")

    def _way(self, door: _reach.Door, user: Credentials | None) -> Endpoint:
        if door.label not in self._ways:
            self._ways[door.label] = Endpoint(door.label, door.connect, user)
        return self._ways[door.label]
