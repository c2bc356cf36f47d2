# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MongoDB replica set is in order, by the word of all its members, and takes a write that a majority acknowledges."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import MISSING_PATIENCE, View
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client, desired, health, probe
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observe import Observer

# Seconds that a member may take to answer, so that a round with a dead one does not take long.
ANSWER_TIMEOUT = 3.0


@dataclass(kw_only=True)
class Mongodb(Condition):
    """See the module's text and docs/gates.md."""

    set: str = field(metadata={"doc": "The replica set's name."})
    members: list[dict[str, Any]] = field(
        metadata={"doc": "The members that the set is to have, as the option `members` of mongodb_replica_set: `host` and `pod` are used."}
    )
    credentials_secret: str | None = field(
        default=None,
        metadata={"doc": "Secret with the keys `username` and `password` of a user with the roles clusterMonitor and readWrite, or root."},
    )
    max_lag: float = field(
        default=10.0, metadata={"doc": "Seconds that a secondary may be behind the primary, beyond its own delay.", "above": 0}
    )
    max_clock_skew: float = field(default=1.0, metadata={"doc": "Seconds that the members' clocks may be apart.", "above": 0})
    write_probe: bool = field(
        default=True,
        metadata={"doc": "Write one small document (in `stackgate.gate`) with w: majority and read it back. Never in check mode."},
    )

    def __post_init__(self) -> None:
        self._members: client.Members | None = None
        self._observer: Observer | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        try:
            desired.from_options(self.set, self.members)
        except StackgateError as error:
            yield "members", error.seen

    def describe(self) -> str:
        return f"mongodb {self.set}"

    def expected(self) -> str:
        write = ", and a write is acknowledged by a majority and read back" if self.write_probe else ""
        return f"the replica set {self.set} has one primary, and every member is in its place, up to date and in time{write}"

    def observe(self, view: View) -> Observation:
        members, observer = self._reach(view)
        found = observer.observe()
        bounds = health.Bounds(self.max_lag, self.max_clock_skew)
        verdict = health.judge(found, bounds, self._pods())
        if verdict.holds and self.write_probe and not view.session.check_mode:
            verdict = health.judge(found, bounds, self._pods(), probe.write_and_read(members, found, self.set))
        if verdict.holds:
            return holds(verdict.seen)
        pods = [pod for host in verdict.hosts if (pod := self._pods().get(host))]
        suspects = tuple(Suspect(pod) for pod in pods)
        seen = "; ".join([verdict.seen, *self._nodes(pods, view)])
        lasting = view.session.lasting(f"mongodb {self.set}: {verdict.condition}")
        verb = failed if verdict.fatal and lasting >= MISSING_PATIENCE else waiting
        return verb(f"{verdict.expected}: {seen}", hint=verdict.hint, suspects=suspects, data={"condition": verdict.condition})

    def close(self, view: View) -> None:
        if self._members is not None:
            self._members.close()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _pods(self) -> dict[str, str]:
        """Host -> pod; empty for a member that is connected to directly."""
        return {desired.host_and_port(str(member["host"])): str(member.get("pod") or "") for member in self.members}

    def _reach(self, view: View) -> tuple[client.Members, Observer]:
        """The connections: made in the first round, and kept."""
        if self._members is None or self._observer is None:
            hosts = self._pods()
            self._members = client.reach(hosts, self._credentials(view), view.namespace, lambda: view.cluster)
            self._observer = Observer(self._members, self.set, tuple(hosts), ANSWER_TIMEOUT)
        return self._members, self._observer

    def _credentials(self, view: View) -> client.Credentials | None:
        if self.credentials_secret is None:
            return None
        secret = view.get("Secret", self.credentials_secret)
        data = (secret or {}).get("data") or {}
        if not {"username", "password"} <= data.keys():
            lacks = "does not exist" if secret is None else f"has the keys {', '.join(sorted(data)) or 'none'}"
            raise StackgateError("a Secret with the keys username and password", f"Secret {self.credentials_secret} {lacks}")
        return client.Credentials(*(base64.b64decode(data[key]).decode() for key in ("username", "password")))

    def _nodes(self, pods: list[str], view: View) -> list[str]:
        """What is wrong with the nodes of these pods."""
        found = [view.pod(pod) for pod in pods]
        return [trouble for pod in found if pod is not None and (trouble := view.node_trouble(pod))]
