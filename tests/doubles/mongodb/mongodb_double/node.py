# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One member: the parts put together, and the way of a command through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .clock import Clock
from .connection import ConnectionState
from .errors import CommandError
from .options import Options
from .registry import COMMANDS, Document


class Peer(Protocol):
    """A connection to another member: made lazily, made anew after an error; calls wait for each other."""

    async def command(self, db: str, body: Document, timeout: float) -> Document:
        """The reply. Raises CommandError for ok 0; OSError or TimeoutError (real seconds) for the network."""

    def close(self) -> None: ...


# (address as "ip:port", acceptable keys) -> Peer
PeerFactory = Callable[[str, Sequence[str]], Peer]
# (connection, node, database, name of the command, body): raises CommandError 13
Authorizer = Callable[[ConnectionState, "Node", str, str, Document], None]


def allow_everyone(connection: ConnectionState, node: Node, db: str, name: str, body: Document) -> None:
    """No --auth."""


class Node:
    """A member. The wire calls `command` for every request, the entry point `start`, `quiesce` and `stop`."""

    def __init__(self, options: Options, clock: Clock, peers: PeerFactory, authorize: Authorizer = allow_everyone) -> None:
        self.options = options
        self.clock = clock
        self.peers = peers
        self.authorize = authorize
        # Set by the shutdown command and by the end of the quiesce time: the entry point waits for it and exits.
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        """Read the data directory and take part in the set. The wire must be listening already."""

    async def quiesce(self) -> None:
        """SIGTERM: step down, tell those who ask hello (91), and end after the quiesce time."""
        self.stopped.set()

    async def stop(self) -> None:
        """End all tasks and close the data directory."""

    async def command(self, connection: ConnectionState, db: str, body: Document) -> Document:
        """The reply to a request. Raises CommandError (its reply() goes to the client) and ConnectionDropped."""
        name = next(iter(body), "")
        entry = COMMANDS.get(name)
        if entry is None:
            raise CommandError(59, f"no such command: '{name}'")
        self.authorize(connection, self, db, entry.name, body)
        return {**await entry.run(self, connection, db, body), "ok": 1.0}

    async def control(self, order: dict[str, Any]) -> dict[str, Any]:
        """A fault on order: see faults.py."""
        return {"ok": 0, "errmsg": f"unknown order {order!r}"}

    # What auth.py needs of the data.

    @property
    def writable(self) -> bool:
        """A primary, past its draining, or no member of a set."""
        return False

    def documents(self, namespace: str) -> list[Document]:
        """All documents of a collection such as admin.system.users, as this member has them now."""
        return []

    def insert(self, namespace: str, document: Document) -> None:
        """Write and log for the others. The document needs its _id. Raises 10107, 11000."""

    def replace(self, namespace: str, document: Document) -> None:
        """Write the document in place of the one with its _id."""

    def delete(self, namespace: str, identity: Any) -> None:
        """Delete by _id."""
