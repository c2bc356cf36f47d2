# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a running service: through an Ingress' own addresses, a Service's pods, one pod, or an address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _pods
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._backends import Backend, backends
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Observation, Suspect, failed, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View
from ansible_collections.stackgate.k3s.plugins.module_utils.gates.ingress import addresses

T = TypeVar("T")

PORTS = {"http": 80, "https": 443}
# More pods than this behind a Service are not asked one by one.
MOST = 10


@dataclass(frozen=True)
class Door:
    """One way in. connect(seconds) gives a socket; host is what an HTTP request names when nothing else is said."""

    label: str
    host: str
    connect: Callable[[float], socket.socket]
    pod: str = ""

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """The pod behind the door, for its logs."""
        return (Suspect(self.pod),) if self.pod else ()


class NoDoor(Exception):
    """There is no way in yet: the observation says why."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        super().__init__(observation.seen)


@dataclass(frozen=True)
class Target:
    """Where to: exactly one of ingress, service, pod, url, address is set."""

    ingress: str | None = None
    service: str | None = None
    pod: str | None = None
    url: str | None = None
    address: str | None = None
    port: int | str | None = None
    scheme: str = "http"
    host: str | None = None

    def __str__(self) -> str:
        if self.url:
            return self.url
        kind = next(name for name in ("ingress", "service", "pod", "address") if getattr(self, name))
        port = f":{self.port}" if self.port else ""
        return f"{'' if kind == 'address' else kind.capitalize() + '/'}{getattr(self, kind)}{port}"


def each(found: list[Door], ask: Callable[[Door], T]) -> list[T]:
    """Ask at all doors at the same time; the answers in their order. An exception of one is raised."""
    if len(found) == 1:
        return [ask(found[0])]
    answers: dict[int, T] = {}
    errors: list[Exception] = []

    def work(position: int) -> None:
        try:
            answers[position] = ask(found[position])
        except Exception as error:  # pylint: disable=broad-except  # raised again below, in the thread that asked
            errors.append(error)

    threads = [threading.Thread(target=work, args=(position,), daemon=True) for position in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[position] for position in range(len(found))]


def one_of(names: tuple[str, ...], given: Any) -> Iterator[tuple[str, str]]:
    """The rule that exactly one of these fields is set."""
    there = [name for name in names if getattr(given, name)]
    if len(there) != 1:
        yield names[0], f"give one of {', '.join(names)}" + (f", not {' and '.join(there)}" if there else "")


def doors(target: Target, view: View) -> list[Door]:
    """All ways to a target. NoDoor when there is none yet."""
    if target.url:
        parts = urlsplit(target.url)
        return [_direct(parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80), target.host or parts.netloc)]
    if target.address:
        return [_direct(target.address, int(target.port or PORTS[target.scheme]), target.host or target.address)]
    if target.ingress:
        return _ingress_doors(target, view)
    if target.service:
        return _service_doors(target, view)
    return [_pod_door(target, view)]


def _direct(address: str, port: int, host: str, node: str = "") -> Door:
    return Door(
        f"{address}:{port}" + (f" ({node})" if node else ""),
        host,
        lambda seconds: socket.create_connection((address, port), timeout=seconds),
    )


def _ingress_doors(target: Target, view: View) -> list[Door]:
    name = str(target.ingress)
    ingress = view.get("Ingress", name)
    if ingress is None:
        text, mistaken = view.missing("Ingress", name)
        raise NoDoor((failed if mistaken else waiting)(text))
    found = addresses(ingress)
    if not found:
        raise NoDoor(waiting(f"Ingress {name} has no address yet"))
    port = int(target.port or PORTS[target.scheme])
    return [_direct(address, port, target.host or first_host(ingress) or address, view.node_at(address)) for address in found]


def first_host(ingress: Mapping[str, Any]) -> str:
    """The host of an Ingress' first rule that has one."""
    rules = (ingress.get("spec") or {}).get("rules") or []
    return next((str(rule["host"]) for rule in rules if rule.get("host")), "")


def _service_doors(target: Target, view: View) -> list[Door]:
    name = str(target.service)
    service = view.get("Service", name)
    if service is None:
        text, mistaken = view.missing("Service", name)
        raise NoDoor((failed if mistaken else waiting)(text))
    ready = [b for b in backends(name, view) if b.ready and not b.terminating]
    if not ready:
        raise NoDoor(waiting(f"Service {name} has no ready endpoint"))
    host = target.host or f"{name}.{view.namespace}.svc"
    return [_backend_door(backend, backend_port(service, backend, target.port), host, view) for backend in ready[:MOST]]


def backend_port(service: Mapping[str, Any], backend: Backend, wanted: int | str | None) -> int:
    """The port at the backend of a Service's port, given by number or name; its only port when nothing is given."""
    ports = (service.get("spec") or {}).get("ports") or []
    chosen = [p for p in ports if wanted is None or str(wanted) in (str(p.get("port")), p.get("name"))]
    if len(chosen) != 1:
        known = ", ".join(f"{p.get('name') or ''}{':' if p.get('name') else ''}{p.get('port')}" for p in ports)
        name = service["metadata"]["name"]
        problem = f"has no port {wanted}" if wanted is not None else "has more than one port"
        raise NoDoor(failed(f"Service {name} {problem}; it has {known}", hint="set the condition's port to one of them"))
    numbers = dict(backend.ports)
    number = numbers.get(str(chosen[0].get("name") or ""))
    if number is None:
        raise NoDoor(waiting(f"{backend} does not have the Service's port {chosen[0].get('name') or chosen[0].get('port')} yet"))
    return number


def _backend_door(backend: Backend, port: int, host: str, view: View) -> Door:
    if backend.pod:
        return Door(f"{backend} port {port}", host, _forward(backend.pod, port, view), backend.pod)
    return _direct(backend.address, port, host)


def _pod_door(target: Target, view: View) -> Door:
    pod = view.pod(str(target.pod))
    if pod is None:
        raise NoDoor(waiting(view.missing("Pod", str(target.pod))[0]))
    if not _pods.running(pod):
        raise NoDoor(_pods.judge([pod], view, "does not run"))
    port = container_port(pod, target.port)
    return Door(f"{_pods.label(pod)} port {port}", target.host or str(target.pod), _forward(str(target.pod), port, view), str(target.pod))


def container_port(pod: Mapping[str, Any], wanted: int | str | None) -> int:
    """A port of a pod by number or by the name that a container gives it."""
    if isinstance(wanted, int) or str(wanted).isdigit():
        return int(str(wanted))
    ports = [p for spec, _status in _pods.containers(pod) for p in spec.get("ports") or []]
    named = [p for p in ports if wanted is None or p.get("name") == wanted]
    if len(named) != 1:
        known = ", ".join(f"{p.get('name') or ''}{':' if p.get('name') else ''}{p['containerPort']}" for p in ports) or "none"
        raise NoDoor(failed(f"{_pods.label(pod)} has no single port {wanted or ''}; declared: {known}".replace("  ", " ")))
    return int(named[0]["containerPort"])


def _forward(pod: str, port: int, view: View) -> Callable[[float], socket.socket]:
    return lambda seconds: view.cluster.connect_pod(pod, view.namespace, port, timeout=seconds)


def why(error: Exception, sock: socket.socket | None = None) -> str:
    """A connection's failure in one line; the kubelet's words when it could not reach the port."""
    said = getattr(sock, "error", "")
    if said:
        refused = "connection refused" in said
        return "connection refused (nothing listens on that port in the pod)" if refused else _pods.short(said)
    if isinstance(error, StackgateError):
        return _pods.short(error.seen)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
