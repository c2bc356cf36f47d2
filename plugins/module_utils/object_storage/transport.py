# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over sockets that somebody else opens: an API server's port-forward ends in a socket, not in an address."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

if TYPE_CHECKING:
    import urllib3

# Gives a connected socket; its argument: seconds for connecting, and for each read and write.
Dial = Callable[[float], socket.socket]


class Silent(StackgateError):
    """Nobody answered, or the conversation broke off: whether the request was done is not known."""


class Line:
    """Where connections to one server come from. timeout: seconds for connecting, and for each read and write."""

    def __init__(self, label: str, dial: Dial, timeout: float) -> None:
        self.label, self.timeout = label, timeout
        self._dial = dial
        self._last: socket.socket | None = None

    def open(self) -> socket.socket:
        """A new connection. Silent when there is none to be had."""
        try:
            made = self._dial(self.timeout)
        except (OSError, StackgateError) as error:
            said = error.seen if isinstance(error, StackgateError) else error.strerror or str(error) or "no answer in time"
            raise Silent(f"the object storage answers at {self.label}", f"{self.label}: {said}") from error
        made.settimeout(self.timeout)
        self._last = made
        return made  # and never another thread's, which may have become the newest meanwhile

    @property
    def said(self) -> str:
        """Why the kubelet could not connect the newest connection to the pod's port; empty when it could."""
        return str(getattr(self._last, "error", ""))


def manager(line: Line, context: ssl.SSLContext | None = None, server_name: str = "") -> urllib3.PoolManager:
    """A pool of connections that all come from a line, whatever address is asked for; for the library's http_client.

    context, server_name: for TLS, and which name the certificate must carry (unset: that of the address).
    """
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return line.open()

    class Secured(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return line.open()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    tls: dict[str, Any] = {"ssl_context": context} if context else {}
    if context and context.verify_mode == ssl.CERT_NONE:  # somebody asked for it: no word on each request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if server_name:
        tls["server_hostname"] = server_name
    # Whether something is tried again is the caller's decision: a gate asks again anyway.
    made = urllib3.PoolManager(maxsize=16, retries=False, timeout=line.timeout, **tls)
    made.pool_classes_by_scheme = {"http": PlainPool, "https": SecuredPool}
    return made
