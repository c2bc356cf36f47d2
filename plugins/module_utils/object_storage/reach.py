# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a store: its servers behind a Service or at an address, the keys in Secrets, and waiting until it takes writes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach, _web
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import State
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import Session, View
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import TIMEOUT, Answer, Keys, Server

# Seconds between two looks, after which the first line of progress comes, and between two such lines.
PAUSE, SAY_FIRST, SAY_EVERY = 1.0, 5.0, 10.0


def servers(found: Sequence[_reach.Door], tls: _web.Tls | None, timeout: float = TIMEOUT) -> list[Server]:
    """The servers behind doors. tls: None for plain http. timeout: seconds for each answer."""
    context = _web.context(tls) if tls else None
    return [Server(door.label, door.host, door.connect, context, tls.name if tls else "", timeout) for door in found]


def pod_server(cluster: Cluster, namespace: str, pod: str, port: int, tls: _web.Tls | None, timeout: float = TIMEOUT) -> Server:
    """The server in a pod, ready or not."""
    context = _web.context(tls) if tls else None
    return Server(
        pod, pod, lambda seconds: cluster.connect_pod(pod, namespace, port, timeout=seconds), context, tls.name if tls else "", timeout
    )


def keys(cluster: Cluster, namespace: str, secret: str, access_key: str, secret_key: str) -> Keys | None:
    """The pair in a Secret, by the names of the Secret's keys; None when there is no such Secret. StackgateError without such keys."""
    found = cluster.get("v1", "Secret", secret, namespace)
    if found is None:
        return None
    data: Mapping[str, str] = found.get("data") or {}
    missing = [name for name in (access_key, secret_key) if not data.get(name)]
    if missing:
        raise StackgateError(
            f"Secret {secret} with the keys {access_key} and {secret_key}",
            f"it lacks {' and '.join(missing)}; it has {', '.join(sorted(data)) or 'none'}",
        )
    return Keys(*(base64.b64decode(data[name]).decode().strip() for name in (access_key, secret_key)))


def needed_keys(cluster: Cluster, namespace: str, where: Mapping[str, str]) -> Keys:
    """The same, of {secret, access_key, secret_key}; StackgateError when the Secret is not there."""
    found = keys(cluster, namespace, **where)
    if found is None:
        raise StackgateError(f"Secret {where['secret']} with S3 keys in namespace {namespace}", "there is no such Secret")
    return found


def writable(answer: Answer) -> bool:
    """Whether writes may begin. A server that does not know the question is another make of S3, and is tried."""
    return answer.status == 200 or (answer.status < 500 and health.WRITE_QUORUM not in answer.headers)


class NoWay(StackgateError):
    """Nothing leads to the store. absent: it is not there at all (yet); final: waiting will not help."""

    absent = final = False


class Entrance:
    """Finds a server that takes writes. target, tls: as a gate's condition has them."""

    def __init__(self, cluster: Cluster, namespace: str, target: _reach.Target, tls: _web.Tls | None) -> None:
        self._session = Session(cluster, namespace)
        self._target, self._tls = target, tls

    def look(self, need_quorum: bool = True, avoid: str = "") -> Server:
        """A server, now; another one than 'avoid' (a label) where there is a choice.

        NoWay when there is none to be asked, StackgateError when none of them takes writes.
        """
        view = View(self._session)
        try:
            found = servers(_reach.doors(self._target, view), self._tls)
        except _reach.NoDoor as none:
            seen = none.observation
            no_way = NoWay(f"{self._target} leads to the object storage", seen.seen, seen.hint)
            no_way.final = seen.state is State.FAILED
            no_way.absent = bool(self._target.service) and view.get("Service", str(self._target.service)) is None
            raise no_way from None
        answers = health.ask_each(found, health.CLUSTER)
        there = [(server, answer) for server, answer in zip(found, answers, strict=True) if isinstance(answer, Answer)]
        good = [server for server, answer in there if writable(answer)]
        if good:
            return min(good, key=lambda server: server.label == avoid)
        if there and not need_quorum:
            return there[0][0]
        said = [f"{server.label}: {health.unwell(answer)}" for server, answer in there] + [
            answer.seen for answer in answers if isinstance(answer, StackgateError)
        ]
        raise StackgateError("the object storage takes writes", "; ".join(dict.fromkeys(said)))

    def wait(self, timeout: float, say: Callable[[str], None], avoid: str = "", clock: Callable[[], float] = time.monotonic) -> Server:
        """The same, after up to so many seconds. say: takes a line of progress."""
        begun = clock()
        said = SAY_FIRST
        while True:
            try:
                return self.look(avoid=avoid)
            except StackgateError as error:
                waited = clock() - begun
                if waited >= timeout or getattr(error, "final", False):
                    raise StackgateError(error.expected, error.seen, error.hint, waited=waited) from None
                if waited >= said:
                    say(f"waiting for object storage for {waited:.0f} s: {error.seen}")
                    said = waited + SAY_EVERY
            time.sleep(PAUSE)


def target(options: Mapping[str, Any]) -> tuple[_reach.Target, _web.Tls | None]:
    """From the options of the module documentation's fragment. StackgateError unless exactly one of service and url is given."""
    for _name, wrong in _reach.one_of(("service", "url"), _Named(options)):
        raise StackgateError("one way to the object storage", wrong)
    url = options.get("url")
    scheme = str(url).partition("://")[0] if url else options["scheme"]
    tls = _web.Tls(options.get("tls_name") or "", options.get("tls_ca_cert") or "", options["tls_verify"]) if scheme == "https" else None
    return _reach.Target(service=options.get("service"), url=url, port=options.get("port"), scheme=scheme), tls


class _Named:
    """A dictionary's values as attributes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
