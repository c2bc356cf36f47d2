# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A local address in front of a socket that somebody else makes: into a pod, or to a server.

Drivers of stores connect to addresses only. What they are given is a UNIX socket in a directory that nobody else may enter: a local
port would let every user of this machine come to the server from 127.0.0.1, where some servers trust whoever comes.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
from collections.abc import Callable

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Gives a socket; the argument is seconds for connecting. Raises StackgateError or OSError.
Dial = Callable[[float], socket.socket]

# Bytes carried at once.
BLOCK = 65536


class Tunnel:
    """A UNIX socket, the file of that name, whose connections are carried on over sockets that `dial` makes.

    address: of the socket. directory: that it is in. patience: seconds for connecting.
    trouble: why the way is closed, in a few words; empty while it is open.
    """

    def __init__(self, dial: Dial, file: str) -> None:
        self._dial = dial
        self._temporary = tempfile.TemporaryDirectory(prefix="stackgate-")
        self.directory = self._temporary.name
        self.address = os.path.join(self.directory, file)
        self.patience = 10.0
        self.trouble = ""
        self._carried: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End what is under way: it took too long."""
        self.trouble = self.trouble or "no answer in time"
        for carried in tuple(self._carried):
            with contextlib.suppress(OSError):
                carried.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything; may be called again."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._temporary.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One connection, from its begin to its end. Never raises: it runs in a thread of its own."""
        self._carried.add(near)
        with near:
            try:
                with self._dial(self.patience) as far:
                    if _join(near, far) is far:
                        # The kubelet's words, when the port in the pod could not be reached (see portforward.PodSocket).
                        said = str(getattr(far, "error", "")).strip()
                        self.trouble = self.trouble or reason(EOFError("it closed the connection"), said)
            except (StackgateError, OSError) as error:
                self.trouble = self.trouble or reason(error)
            finally:
                self._carried.discard(near)


def _join(near: socket.socket, far: socket.socket) -> socket.socket:
    """Carry bytes both ways until one side ends. Returns the side that did."""
    far.settimeout(None)
    while True:
        for sock, other in ((near, far), (far, near)):
            if select.select([sock], [], [], 0)[0]:
                block = sock.recv(BLOCK)
                if not block:
                    return sock
                other.sendall(block)
        select.select([near, far], [], [])


def reason(error: Exception, said: str = "") -> str:
    """Why a server could not be asked, in a few words. said: what the way to it had to say."""
    if said:
        return "connection refused, nothing listens on that port in the pod" if "refused" in said else said
    if isinstance(error, StackgateError):
        return error.seen
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve here ({error.strerror or error})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
