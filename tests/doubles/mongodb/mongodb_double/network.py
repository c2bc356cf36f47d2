# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking other members: names, connections, what goes wrong in the server's words (recorded: 03b, 04e, 09c)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .bsontext import text
from .clock import Clock
from .errors import CommandError
from .faults import Faults

if TYPE_CHECKING:
    from .registry import Document

# Seconds that the server tries to get a first connection to a member that accepts and says nothing (recorded: 03b, step 5).
FIRST_CONNECTION = 40.0
# Codes with which the other end says that it does not take us for a member.
AUTH_CODES = (13, 18)


class Peer(Protocol):
    """A connection to another member: made lazily, made anew after an error; calls wait for each other."""

    async def command(self, db: str, body: Document, timeout: float) -> Document:
        """The reply. Raises CommandError for ok 0; OSError or TimeoutError (real seconds) for the network."""

    def close(self) -> None: ...


# (address as "ip:port", acceptable keys) -> Peer
PeerFactory = Callable[[str, Sequence[str]], Peer]


class Unreachable(Exception):
    """No answer, or none that counts. Its text is what replSetGetStatus shows."""

    def __init__(self, message: str, auth_issue: bool = False) -> None:
        super().__init__(message)
        self.auth_issue = auth_issue


class Network:
    """Connections to other members, one for each use, so that a long wait for the oplog delays no heartbeat."""

    def __init__(self, clock: Clock, faults: Faults, peers: PeerFactory, keys: Sequence[str]) -> None:
        self._clock = clock
        self._faults = faults
        self._peers = peers
        self._keys = keys
        self._open: dict[tuple[str, str], Peer] = {}
        self._addresses: dict[str, str] = {}
        # Members that have ever answered.
        self._answered: set[str] = set()
        self._requests = 600

    async def resolve(self, host: str) -> str:
        """The address as "ip:port". Raises Unreachable."""
        name, _colon, port = host.rpartition(":")
        if name in self._faults.names:
            address = self._faults.names[name]
        else:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
                address = str(found[0][4][0])
            except OSError:
                address = None
        if address is None:
            raise Unreachable(
                f"Error connecting to {host} :: caused by :: Could not find address for {host}: SocketException: "
                "Host not found (non-authoritative), try again later"
            )
        return f"{address}:{port}"

    async def _address(self, host: str) -> str:
        """As long as there is a connection to a member, a further one needs no name (recorded: 09, step 45)."""
        if host not in self._addresses or not any(connected == host for connected, _use in self._open):
            self._addresses[host] = await self.resolve(host)
        return self._addresses[host]

    async def command(
        self, host: str, body: Document, seconds: float, use: str = "heartbeat", patient: bool = False, again: bool = False
    ) -> Document:
        """The reply of a member, within so many seconds. `patient`: wait for a first connection as an initiate does.
        `again`: the connection that was open was found closed.

        Raises Unreachable, or CommandError for a refusal.
        """
        key = (host, use)
        if patient and host not in self._answered:
            seconds = FIRST_CONNECTION
        try:
            async with self._clock.timeout(seconds):
                await self._faults.pass_through(host, seconds)
                peer = self._open.get(key)
                if peer is None:
                    peer = self._peers(await self._address(host), self._keys)
                    self._open[key] = peer
                await self._faults.lag()
                reply = await peer.command("admin", body, self._clock.real(seconds) + 1)
                await self._faults.lag()
                await self._faults.pass_through(host, seconds)
        except TimeoutError:
            self._addresses.pop(host, None)
            self.forget(host, use)
            known = host in self._answered
            raise Unreachable(self._timed_out(host, body) if known else "Couldn't get a connection within the time limit") from None
        except OSError as error:
            if not isinstance(error, ConnectionResetError | BrokenPipeError):
                self._addresses.pop(host, None)  # nobody is there any more: a pod that comes back has another address
            was_open = isinstance(error, ConnectionResetError | BrokenPipeError) and use == "quorum" and not again
            self.forget(host, use)
            if was_open:
                return await self.command(host, body, seconds, use, patient, again=True)
            raise Unreachable(self._cause(host, error)) from None
        except Unreachable:
            self.forget(host, use)
            raise
        except CommandError as error:
            if error.code in AUTH_CODES:
                self.forget(host, use)
                raise Unreachable(error.errmsg, auth_issue=True) from None
            self._answered.add(host)
            raise
        self._answered.add(host)
        return reply

    def forget(self, host: str, use: str) -> None:
        """Close a connection; the next command makes a new one, and resolves the name again."""
        peer = self._open.pop((host, use), None)
        if peer is not None:
            peer.close()

    def close(self) -> None:
        for host, use in list(self._open):
            self.forget(host, use)

    def _cause(self, host: str, error: OSError) -> str:
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return "Connection reset by peer"
        reason = "Connection refused" if isinstance(error, ConnectionRefusedError) else (error.strerror or str(error))
        return f"Error connecting to {host} :: caused by :: {reason}"

    def _timed_out(self, host: str, body: dict[str, Any]) -> str:
        self._requests += 1
        deadline = self._clock.now().isoformat(timespec="milliseconds")
        shown = text({name: value for name, value in body.items() if not name.startswith(("$", "maxTime"))})
        return (
            f"Request {self._requests} timed out, deadline was {deadline}, op was RemoteCommand {self._requests} -- target:[{host}] "
            f"db:admin expDate:{deadline} cmd:{shown}"
        )
