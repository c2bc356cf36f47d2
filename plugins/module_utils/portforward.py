# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket to a port of a pod, through the API server.

The client library has a port-forward of its own. It replaces a method of the shared API client while it connects, so
it may not be used from threads; and its proxy thread prints a traceback when the peer resets. Hence this one.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
# Bytes read from the local side at once.
BLOCK = 65536


class PodSocket(socket.socket):
    """The local end. `error` is what the kubelet said when it could not connect to the port, else empty."""

    error: str = ""


def connect(configuration: Any, headers: dict[str, str], path: str, port: int, timeout: float) -> PodSocket:
    """Open a connection. configuration: the client library's; headers: with authorization; path: .../portforward.

    Returns as soon as the API server has agreed: whether something listens on the port shows in the first read
    (end of file, with `error` set). timeout: seconds for connecting, and afterwards the socket's own.
    Raises StackgateError when the API server or the kubelet refuses.
    """
    import websocket  # a requirement of the client library

    address = urlsplit(configuration.host)
    scheme = "wss" if address.scheme == "https" else "ws"
    url = urlunsplit((scheme, address.netloc, address.path.rstrip("/") + path, urlencode({"ports": port}), ""))
    tunnel = websocket.WebSocket(sslopt=_tls(configuration) if scheme == "wss" else {}, enable_multithread=False)
    begun = time.monotonic()
    try:
        asking = [f"{name}: {value}" for name, value in headers.items()]
        tunnel.connect(url, header=asking, subprotocols=[PROTOCOL], timeout=timeout, suppress_origin=True)
        # Each of the two channels begins with a frame that repeats the port's number.
        for _channel in (DATA, ERROR):
            tunnel.recv_data_frame(True)
    except (websocket.WebSocketException, OSError) as error:
        raise StackgateError(f"a connection to port {port} through {path}", _reason(error), waited=time.monotonic() - begun) from error
    tunnel.settimeout(timeout)
    near, far = socket.socketpair()
    local = PodSocket(fileno=near.detach())
    local.settimeout(timeout)
    threading.Thread(target=_pump, args=(tunnel, far, local), name=f"port-forward {port}", daemon=True).start()
    return local


def _tls(configuration: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    if configuration.verify_ssl:
        options = {"cert_reqs": ssl.CERT_REQUIRED, "check_hostname": configuration.assert_hostname is not False}
        if configuration.ssl_ca_cert:
            options["ca_certs"] = configuration.ssl_ca_cert
    for ours, theirs in (("certfile", "cert_file"), ("keyfile", "key_file"), ("server_hostname", "tls_server_name")):
        value = getattr(configuration, theirs, None)
        if value:
            options[ours] = value
    return options


def _reason(error: Exception) -> str:
    """The server's words, when the handshake was refused with some."""
    body = getattr(error, "resp_body", None)
    if body:
        try:
            return str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            return str(body.decode(errors="replace") if isinstance(body, bytes) else body).strip()
    return str(error) or type(error).__name__


def _pump(tunnel: Any, far: socket.socket, local: PodSocket) -> None:
    """Carry bytes both ways until one side ends. Never raises: it runs in a thread of its own."""
    try:
        while True:
            readable = [tunnel.sock] if _pending(tunnel) else select.select([tunnel.sock, far], [], [])[0]
            if tunnel.sock in readable and not _downstream(tunnel, far, local):
                return
            if far in readable:
                data = far.recv(BLOCK)
                if not data:
                    return
                tunnel.send_binary(bytes([DATA]) + data)
    except Exception:  # pylint: disable=broad-except  # whatever ends the tunnel, the local end sees an end of file
        return
    finally:
        for end in (far, tunnel):
            with contextlib.suppress(Exception):
                end.close()


def _pending(tunnel: Any) -> bool:
    """Bytes that TLS has decrypted already: select does not see them."""
    return isinstance(tunnel.sock, ssl.SSLSocket) and tunnel.sock.pending() > 0


def _downstream(tunnel: Any, far: socket.socket, local: PodSocket) -> bool:
    """One frame from the pod; False at the end."""
    import websocket

    opcode, frame = tunnel.recv_data_frame(True)
    if opcode == websocket.ABNF.OPCODE_CLOSE:
        return False
    if opcode != websocket.ABNF.OPCODE_BINARY or not frame.data:
        return True
    channel, data = frame.data[0], frame.data[1:]
    if channel == ERROR:
        local.error += data.decode(errors="replace")
        return False
    far.sendall(data)
    return True
