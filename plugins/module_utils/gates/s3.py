# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Object storage takes writes with all its drives, and an application can use its bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach, _web
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health, probe, reach
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer, Keys, Server

# Seconds for the list of drives: a server asks all others for theirs, and waits 10 s for one on a node without power.
DRIVES_TIMEOUT = 20.0


@dataclass(kw_only=True)
class Credentials:
    """A pair of S3 keys in a Secret."""

    secret: str = field(metadata={"doc": "Name of the Secret in the gate's namespace."})
    access_key: str = field(default="access-key", metadata={"doc": "Key in it that holds the access key."})
    secret_key: str = field(default="secret-key", metadata={"doc": "Key in it that holds the secret key."})


@dataclass(kw_only=True)
class S3(Condition):
    """See the module's text and docs/gates.md."""

    service: str | None = field(default=None, metadata={"doc": "Service in front of the servers; every ready pod behind it is asked."})
    url: str | None = field(
        default=None,
        metadata={"doc": "Address of the store, asked from the control node.", "pattern": r"https?://\S+", "like": "https://..."},
    )
    port: int | str | None = field(default=None, metadata={"doc": "Port, by number or name; the only one of the Service when unset."})
    scheme: Literal["http", "https"] = field(default="http", metadata={"doc": "How it is spoken to; the url's own when a url is given."})
    tls_name: str | None = field(default=None, metadata={"doc": "Name that the certificate must carry; the host when unset."})
    ca_cert: str | None = field(
        default=None,
        metadata={"doc": "Authority that has signed the certificate: PEM text or a file of the control node; the system's when unset."},
    )
    tls_verify: bool = field(default=True, metadata={"doc": "Whether the certificate is checked."})
    region: str = field(default="us-east-1", metadata={"doc": "Region that requests are signed for."})
    health: bool = field(default=True, metadata={"doc": "Ask MinIO's health endpoints. False for servers of another make."})
    admin: Credentials | None = field(
        default=None, metadata={"doc": "The administrator's keys, to see the drives: all must be there, and none healing."}
    )
    drives: int | None = field(
        default=None, metadata={"doc": "How many drives must be there; those that the servers know of when unset.", "least": 1}
    )
    bucket: str | None = field(default=None, metadata={"doc": "Bucket in which an object is put, read, compared and deleted."})
    credentials: Credentials | None = field(default=None, metadata={"doc": "The application's keys, with which that is done."})
    request_timeout: float = field(default=10.0, metadata={"doc": "Seconds for one answer.", "above": 0})

    def __post_init__(self) -> None:
        self._proved = ""  # what the round trip said; it is not repeated in each round

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _reach.one_of(("service", "url"), self)
        if bool(self.bucket) != bool(self.credentials):
            yield "bucket", "bucket and credentials go together"
        if self.drives and not self.admin:
            yield "drives", "counting drives needs admin"
        if not (self.health or self.admin or self.bucket):
            yield "health", "nothing is left to ask: give bucket and credentials"

    def describe(self) -> str:
        return f"s3 {self._target()}"

    def expected(self) -> str:
        wanted = ["takes writes"] if self.health else []
        if self.admin:
            wanted.append(f"has {f'its {self.drives}' if self.drives else 'all its'} drives, none of them healing")
        if self.bucket:
            wanted.append(f"keeps an object that is put into bucket {self.bucket} with the keys of Secret {self._secret()}")
        return f"the object storage at {self._target()} {', '.join(wanted)}"

    def observe(self, view: View) -> Observation:
        try:
            found = _reach.doors(self._target(), view)
        except _reach.NoDoor as none:
            self._proved = ""
            return none.observation
        servers = reach.servers(found, self._tls(), self.request_timeout)
        suspects = {server.label: door.suspects for server, door in zip(servers, found, strict=True)}
        answers = health.ask_each(servers, health.CLUSTER)
        there = [server for server, answer in zip(servers, answers, strict=True) if isinstance(answer, Answer)]
        wrong = self._unwell(servers, answers)
        said: list[str] = []
        if self.admin and there:
            asked = reach.servers([found[servers.index(there[0])]], self._tls(), max(self.request_timeout, DRIVES_TIMEOUT))[0]
            drives = health.drives_of(asked.store(self._keys(self.admin, view), self.region).info())
            # The list of drives says more than the endpoint: which are away, and how many are needed.
            wrong = health.trouble(drives, self.drives) or wrong
            said.append(f"{drives.online} drives online, none healing")
        if wrong or not there:
            self._proved = ""
            troubled = [s for server in servers if server not in there for s in suspects[server.label]]
            return waiting(wrong, suspects=tuple(troubled))
        if self.bucket and self.credentials:
            said.append(self._use(there, view))
        return holds("; ".join(said) or "takes writes")

    def _unwell(self, servers: list[Server], answers: list[Answer | StackgateError]) -> str:
        """What the servers' answers say is wrong: those that do not answer first."""
        silent = [answer.seen for answer in answers if isinstance(answer, StackgateError)]
        if silent:
            return "; ".join(dict.fromkeys(silent))
        if not self.health:
            return ""
        told = [
            f"{server.label}: {text}"
            for server, answer in zip(servers, answers, strict=True)
            if isinstance(answer, Answer) and (text := health.unwell(answer))
        ]
        return "; ".join(told)

    def _use(self, servers: list[Server], view: View) -> str:
        """Put, get, compare, delete; in check mode only look at the bucket.

        Through every server: one that has just started says that it takes writes up to a second before it does.
        """
        bucket, keys = str(self.bucket), self._keys(self.credentials, view)
        if view.session.check_mode:
            if not servers[0].store(keys, self.region).may_list(bucket):
                raise StackgateError(f"bucket {bucket} exists", f"there is no bucket {bucket}")
            return f"bucket {bucket} is there (nothing is written in check mode)"
        if not self._proved:
            said = health.each(servers, lambda server: probe.round_trip(server.store(keys, self.region), bucket))
            for server, outcome in zip(servers, said, strict=True):
                if isinstance(outcome, StackgateError):
                    raise StackgateError(self.expected(), f"{server.label}: {outcome.seen.removeprefix(f'{server.label}: ')}", outcome.hint)
            self._proved = f"{said[0]}{f', through each of {len(servers)} servers' if len(servers) > 1 else ''}"
        return self._proved

    def _keys(self, where: Credentials | None, view: View) -> Keys:
        given: dict[str, Any] = vars(where) if where else {}
        return reach.needed_keys(view.cluster, view.namespace, given)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _secret(self) -> str:
        return self.credentials.secret if self.credentials else ""

    def _scheme(self) -> str:
        return self.url.partition(":")[0] if self.url else self.scheme

    def _target(self) -> _reach.Target:
        return _reach.Target(service=self.service, url=self.url, port=self.port, scheme=self._scheme())

    def _tls(self) -> _web.Tls | None:
        return _web.Tls(self.tls_name or "", self.ca_cert or "", self.tls_verify) if self._scheme() == "https" else None
