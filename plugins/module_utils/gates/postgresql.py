# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL cluster under Patroni is in order, and a commit as the application makes it is read back from a replica."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, Suspect, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import MISSING_PATIENCE, View, is_ready
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import client, encryption, health, observe, probe
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Address, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.observation import Observation as Cluster

# Seconds that a member may take to answer, so that a round with a dead one does not take long.
ANSWER_TIMEOUT = 3.0
RENEWED = "a certificate that was renewed reaches the pods within two minutes"


@dataclass(kw_only=True)
class Postgresql(Condition):
    """See the module's text and docs/gates.md."""

    scope: str = field(metadata={"doc": "The cluster's name, as Patroni's configuration has it."})
    members: list[dict[str, Any]] = field(metadata={"doc": "The members that it is to have, as the option `members` of patroni_cluster."})
    max_lag: int = field(default=health.MAX_LAG, metadata={"doc": "Bytes of WAL that a replica may not have received yet.", "above": 0})
    synchronous: bool | None = field(
        default=None, metadata={"doc": "Whether commits must wait for a replica (true) or must not (false); either is right when unset."}
    )
    proxies: str | None = field(
        default=None,
        metadata={"doc": "DaemonSet of the poolers: each of its pods must be ready, and take a commit. The leader itself when unset."},
    )
    pooler_port: int | str = field(default="pooled", metadata={"doc": "The pooler's port in those pods, by number or name."})
    credentials_secret: str | None = field(
        default=None,
        metadata={"doc": "Secret of the application, with the keys `username`, `password` and `database`. Nothing is written when unset."},
    )
    tls_secret: str | None = field(
        default=None,
        metadata={
            "doc": "Secret with the certificate (`tls.crt`, `ca.crt`) that every member and every pooler must present, for the name"
            " `tls_name`. Not looked at when unset."
        },
    )
    tls_name: str = field(default="postgresql", metadata={"doc": "The name that clients check."})
    write_probe: bool = field(
        default=True,
        metadata={"doc": "Commit one small row (in the table `stackgate.gate` of that database) and read it back. Never in check mode."},
    )

    def __post_init__(self) -> None:
        self._proved: health.Probe | None = None  # it is not written again in each round
        self._members: Members | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        names = [str(one.get("name") or "") for one in self.members]
        if not names or "" in names or len(set(names)) < len(names):
            yield "members", "members, each with a name of its own"
        if any(not one.get("pod") and not one.get("host") for one in self.members):
            yield "members", "each has a pod or a host"

    def describe(self) -> str:
        return f"postgresql {self.scope}"

    def expected(self) -> str:
        write = ", and a commit is read back from a replica" if self.write_probe and self.credentials_secret else ""
        encrypted = f", all with the certificate of Secret {self.tls_secret}" if self.tls_secret else ""
        return f"the PostgreSQL cluster {self.scope} has one leader, and every replica streams from it{write}{encrypted}"

    def observe(self, view: View) -> Observation:
        members = self._reach(view)
        found = observe.observe(members)
        bounds = health.Bounds(self.max_lag, self.synchronous)
        verdict = health.judge(found, bounds, members.names)
        unready = self._unready(view) if verdict.holds else []
        if not verdict.holds or unready:
            self._proved = None
        if unready:
            seen = "; ".join(told for _pod, told in unready)
            return waiting(
                f"every pod of DaemonSet/{self.proxies} is ready: {seen}", suspects=tuple(Suspect(pod) for pod, _told in unready if pod)
            )
        if verdict.holds and self.tls_secret and (troubles := self._encryption(members, view)):
            self._proved = None
            return waiting(f"everybody encrypts: {'; '.join(troubles)}", hint=RENEWED)
        if verdict.holds and self.write_probe and self.credentials_secret and not view.session.check_mode:
            self._proved = proved = self._proved or self._use(members, found, view)
            verdict = health.judge(found, bounds, members.names, proved)
        if verdict.holds:
            return holds(verdict.seen)
        self._proved = None
        pods = [pod for name in verdict.members if name in members and (pod := members[name].address.pod)]
        seen = "; ".join([verdict.seen, *self._nodes(pods, view)])
        lasting = view.session.lasting(f"postgresql {self.scope}: {verdict.condition}")
        verb = failed if verdict.fatal and lasting >= MISSING_PATIENCE else waiting
        suspects = tuple(Suspect(pod) for pod in pods)
        return verb(f"{verdict.expected}: {seen}", hint=verdict.hint, suspects=suspects, data={"condition": verdict.condition})

    # -- parts ---------------------------------------------------------------------------------------------------

    def _reach(self, view: View) -> Members:
        if self._members is None:
            where = [
                Address(**{key: one[key] for key in ("name", "pod", "host", "port", "api_port") if one.get(key)}) for one in self.members
            ]
            self._members = client.reach(self.scope, where, None, None, view.namespace, lambda: view.cluster, ANSWER_TIMEOUT)
        return self._members

    def _pods(self, view: View) -> list[dict[str, Any]]:
        """The poolers' pods that are not on their way out."""
        return [
            pod
            for pod in view.objects("Pod")
            if not pod["metadata"].get("deletionTimestamp")
            and any(o["kind"] == "DaemonSet" and o["name"] == self.proxies for o in pod["metadata"].get("ownerReferences") or [])
        ]

    def _unready(self, view: View) -> list[tuple[str, str]]:
        """The poolers' pods that are not ready, each with what is said of it."""
        if not self.proxies:
            return []
        if view.get("DaemonSet", self.proxies) is None:
            return [("", view.missing("DaemonSet", self.proxies)[0])]
        pods = self._pods(view)
        found = []
        for pod in pods:
            name, trouble = pod["metadata"]["name"], view.node_trouble(pod)
            if trouble or not is_ready(pod):
                found.append((name, f"{name} on {(pod.get('spec') or {}).get('nodeName') or 'no node'}: {trouble or 'not ready'}"))
        return found or ([] if pods else [("", "there is none")])

    def _use(self, members: Members, found: Cluster, view: View) -> health.Probe:
        """A commit through every pooler, read back from a replica, or from the leader when it is alone."""
        through = self._poolers(view)
        replicas = [member.name for member in found.members if member.streams]
        reader = members[replicas[0] if replicas else found.holder]
        leader = members[found.holder]
        return probe.write_and_read(
            self._application(view), through or [probe.End(leader.label, leader.dial)], probe.End(reader.label, reader.dial)
        )

    def _poolers(self, view: View) -> list[probe.End]:
        return [
            probe.End(name := pod["metadata"]["name"], functools.partial(_dial, view, name, _port(pod, self.pooler_port)))
            for pod in (self._pods(view) if self.proxies else [])
        ]

    def _encryption(self, members: Members, view: View) -> list[str]:
        """What is wrong with the certificates that clients are shown."""
        data = (view.get("Secret", str(self.tls_secret)) or {}).get("data") or {}
        if not {"tls.crt", "ca.crt"} <= data.keys():
            return [f"Secret {self.tls_secret} has the keys {', '.join(sorted(data)) or 'none'}, not tls.crt and ca.crt"]
        certificate, authority = (base64.b64decode(data[key]).decode(errors="replace") for key in ("tls.crt", "ca.crt"))
        ends = [*(probe.End(member.label, member.dial) for member in members), *self._poolers(view)]
        return encryption.troubles(ends, encryption.Wanted(self.tls_name, certificate, authority))

    def _application(self, view: View) -> probe.Application:
        secret = view.get("Secret", str(self.credentials_secret))
        data = (secret or {}).get("data") or {}
        if not {"username", "password", "database"} <= data.keys():
            lacks = "does not exist" if secret is None else f"has the keys {', '.join(sorted(data)) or 'none'}"
            raise StackgateError("a Secret with the keys username, password and database", f"Secret {self.credentials_secret} {lacks}")
        username, password, database = (base64.b64decode(data[key]).decode() for key in ("username", "password", "database"))
        return probe.Application(client.Credentials(username, password), database)

    def _nodes(self, pods: list[str], view: View) -> list[str]:
        """What is wrong with the nodes of these pods."""
        found = [view.pod(pod) for pod in pods]
        return [trouble for pod in found if pod is not None and (trouble := view.node_trouble(pod))]


def _dial(view: View, pod: str, port: int, seconds: float) -> Any:
    return view.cluster.connect_pod(pod, view.namespace, port, timeout=seconds)


def _port(pod: dict[str, Any], port: int | str) -> int:
    """The number of a port that may be given by name. Raises StackgateError when no container has it."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    ports = [known for container in pod["spec"]["containers"] for known in container.get("ports") or []]
    for known in ports:
        if known.get("name") == port:
            return int(known["containerPort"])
    names = ", ".join(str(known.get("name")) for known in ports)
    raise StackgateError(f"a port called {port} in pod {pod['metadata']['name']}", f"its ports: {names or 'none'}")
