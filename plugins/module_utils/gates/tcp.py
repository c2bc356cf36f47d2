# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Something listens on a port, and says what it should when asked."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View

PLACES = ("service", "pod", "address")
# Seconds in which the kubelet says that nothing listens; it tries on the pod's own loopback (measured: 7 ms).
REFUSAL = 0.05


@dataclass(kw_only=True)
class Tcp(Condition):
    """See the module's text and docs/gates.md."""

    service: str | None = field(
        default=None, metadata={"doc": "Service to connect to: every ready pod behind it must accept (through the API server)."}
    )
    pod: str | None = field(default=None, metadata={"doc": "Pod to connect to (through the API server)."})
    address: str | None = field(default=None, metadata={"doc": "Address or name to connect to from the control node."})
    port: int | str = field(metadata={"doc": "Port, by number or (Service, pod) by name."})
    send: str = field(default="", metadata={"doc": "Text to send after connecting."})
    expect: str = field(default="", metadata={"doc": "Text that the answer must contain. Without it, an accepted connection is enough."})
    request_timeout: float = field(default=5.0, metadata={"doc": "Seconds for connecting and for the answer.", "above": 0})

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _reach.one_of(PLACES, self)
        if self.address and not str(self.port).isdigit():
            yield "port", "an address needs a port number"

    def describe(self) -> str:
        return f"tcp {self._target()}"

    def _target(self) -> _reach.Target:
        return _reach.Target(service=self.service, pod=self.pod, address=self.address, port=self.port)

    def expected(self) -> str:
        return f"{self._target()} accepts connections" + (f" and answers with {self.expect!r}" if self.expect else "")

    def observe(self, view: View) -> Observation:
        try:
            found = _reach.doors(self._target(), view)
        except _reach.NoDoor as none:
            return none.observation
        for door, wrong in zip(found, _reach.each(found, self._wrong), strict=True):
            if wrong:
                pod = view.pod(door.pod) if door.pod else None
                node = view.node_trouble(pod) if pod else ""
                return waiting(f"{door.label}: {wrong}" + (f"; {node}" if node else ""), suspects=door.suspects)
        return holds(
            f"{len(found)} accept{'s' if len(found) == 1 else ''} connections"
            + (f" and answer{'s' if len(found) == 1 else ''} as expected" if self.expect else "")
        )

    def _wrong(self, door: _reach.Door) -> str:
        """What is wrong with one way in; empty when nothing is."""
        sock: socket.socket | None = None
        try:
            sock = door.connect(self.request_timeout)
            sock.settimeout(self.request_timeout)
            if self.send:
                sock.sendall(self.send.encode())
            if self.expect:
                return self._answer(sock)
            # Through the API server, a refusal comes after the connection: the end of the stream, with the reason.
            if door.pod and select.select([sock], [], [], REFUSAL)[0] and not sock.recv(1, socket.MSG_PEEK):
                return _reach.why(ConnectionError("the connection was closed at once"), sock)
        except (OSError, StackgateError) as error:
            return _reach.why(error, sock)
        finally:
            if sock is not None:
                sock.close()
        return ""

    def _answer(self, sock: socket.socket) -> str:
        heard = b""
        try:
            while self.expect.encode() not in heard and len(heard) < 65536:
                data = sock.recv(4096)
                if not data:
                    said = getattr(sock, "error", "")
                    return _reach.why(ConnectionError(), sock) if said else f"closed after {heard[:80]!r}, expected {self.expect!r}"
                heard += data
        except TimeoutError:
            return f"answered {heard[:80]!r}, expected {self.expect!r}"
        return "" if self.expect.encode() in heard else f"answered {heard[:80]!r}, expected {self.expect!r}"
