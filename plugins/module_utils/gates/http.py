# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page is answered as expected, by every way that leads to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach, _web
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View

PLACES = ("ingress", "service", "pod", "url")


@dataclass(kw_only=True)
class Http(Condition):
    """See the module's text and docs/gates.md."""

    ingress: str | None = field(default=None, metadata={"doc": "Ingress by whose own addresses to go: every one of them must answer."})
    service: str | None = field(
        default=None, metadata={"doc": "Service to ask: every ready pod behind it must answer (through the API server)."}
    )
    pod: str | None = field(default=None, metadata={"doc": "Pod to ask (through the API server)."})
    url: str | None = field(
        default=None,
        metadata={"doc": "Address to ask from the control node.", "pattern": r"https?://\S+", "like": "http://... or https://..."},
    )
    port: int | str | None = field(
        default=None, metadata={"doc": "Port, by number or name; the only one of a Service, 80 or 443 of an Ingress when unset."}
    )
    scheme: Literal["http", "https"] = field(default="http", metadata={"doc": "How it is spoken to; the url's own when a url is given."})
    host: str | None = field(default=None, metadata={"doc": "Host header; the host of the Ingress' first rule when unset."})
    path: str = field(default="/", metadata={"doc": "Path and query.", "pattern": r"/\S*", "like": "/..."})
    method: str = field(default="GET", metadata={"doc": "HTTP method.", "pattern": "[A-Z]+", "like": "GET, HEAD, ..."})
    status: int | list[int] = field(default=200, metadata={"doc": "Status code or codes that are right. Redirects are not followed."})
    body: str | list[str] = field(default_factory=list, metadata={"doc": "Text or texts that the body must contain."})
    headers: dict[str, str] = field(
        default_factory=dict, metadata={"doc": "Header name to a regular expression that its value must match somewhere."}
    )
    tls_name: str | None = field(default=None, metadata={"doc": "Name that the certificate must carry; the host when unset."})
    ca_cert: str | None = field(
        default=None,
        metadata={"doc": "Authority that has signed the certificate: PEM text or a file of the control node; the system's when unset."},
    )
    tls_verify: bool = field(default=True, metadata={"doc": "Whether the certificate is checked."})
    request_timeout: float = field(default=5.0, metadata={"doc": "Seconds for one answer.", "above": 0})

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _reach.one_of(PLACES, self)
        if self.pod and self.port is None:
            yield "port", "a pod needs a port"
        for name, pattern in self.headers.items():
            try:
                re.compile(pattern)
            except re.error as error:
                yield f"headers[{name}]", f"no regular expression: {error}"

    def describe(self) -> str:
        target = str(self._target())
        if self.url:
            return f"http {target}" + (f" (host {self.host})" if self.host else "")
        return f"http {self.scheme}://{self.host or '*'}{self.path} through {target}"

    def expected(self) -> str:
        return f"{self.method} {self._path()} is answered as asked by every way through {self._target()}"

    def observe(self, view: View) -> Observation:
        try:
            found = _reach.doors(self._target(), view)
        except _reach.NoDoor as none:
            return none.observation
        results = _reach.each(found, self._ask)
        for door, result in zip(found, results, strict=True):
            if isinstance(result, StackgateError):
                return waiting(f"{result.seen}{self._node(door, view)}", hint=result.hint, suspects=door.suspects)
            wrong = _web.mismatch(result, self.status, self.body, self.headers)
            if wrong:
                return waiting(f"{door.label}: {wrong}", suspects=door.suspects, data={"status": result.status})
        answers = [result for result in results if isinstance(result, _web.Answer)]
        slowest = max(answer.seconds for answer in answers)
        by = found[0].label if len(found) == 1 else f"{len(found)} ways"
        return holds(
            f"{answers[0].status} from {by} in {slowest * 1000:.0f} ms", data={"status": answers[0].status, "seconds": round(slowest, 3)}
        )

    def _ask(self, door: _reach.Door) -> _web.Answer | StackgateError:
        try:
            return _web.exchange(door, self.method, self._path(), tls=self._tls(), timeout=self.request_timeout)
        except StackgateError as error:
            return error

    # -- parts ---------------------------------------------------------------------------------------------------

    def _target(self) -> _reach.Target:
        return _reach.Target(self.ingress, self.service, self.pod, self.url, None, self.port, self._scheme(), self.host)

    def _scheme(self) -> str:
        return self.url.partition(":")[0] if self.url else self.scheme

    def _path(self) -> str:
        if not self.url:
            return self.path
        rest = "/" + self.url.partition("://")[2].partition("/")[2]
        return rest if self.path == "/" else self.path

    def _tls(self) -> _web.Tls | None:
        return _web.Tls(self.tls_name or "", self.ca_cert or "", self.tls_verify) if self._scheme() == "https" else None

    def _node(self, door: _reach.Door, view: View) -> str:
        pod = view.pod(door.pod) if door.pod else None
        trouble = view.node_trouble(pod) if pod else ""
        return f"; {trouble}" if trouble else ""
