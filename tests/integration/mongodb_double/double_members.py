# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of the double in this process: real connections between them, commands given to them directly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mongodb_double.clock import Clock
from mongodb_double.connection import ConnectionState
from mongodb_double.errors import CommandError
from mongodb_double.node import Node
from mongodb_double.options import Options
from mongodb_double.peer import Peer
from mongodb_double.server import Server
from ports import free_ports
from waiting import PATIENCE

SPEED = 25.0
Document = dict[str, Any]


class Member:
    """One member that can be killed and started again with its data."""

    def __init__(self, port: int, dbpath: Path | None, set_name: str | None = "rs0", speed: float = SPEED) -> None:
        self.host = f"127.0.0.1:{port}"
        self.options = Options(port=port, dbpath=dbpath, repl_set=set_name)
        self.clock = Clock(speed)
        self.running = False

    async def start(self) -> None:
        self.node = Node(self.options, self.clock, Peer)
        self.server = Server(self.node)
        await self.server.start(["127.0.0.1"], self.options.port)
        await self.node.start()
        self.connection = ConnectionState(1, "127.0.0.1", self.host, loopback=True, hello_ok=True)
        self.running = True

    async def kill(self) -> None:
        """As SIGKILL: nobody is told."""
        self.running = False
        self.server.stop()
        await self.node.stop()

    async def run(self, body: Document, db: str = "admin") -> Document:
        return await self.node.command(self.connection, db, {**body, "$db": db, "$readPreference": {"mode": "primaryPreferred"}})

    async def refusal(self, body: Document, db: str = "admin") -> CommandError:
        try:
            reply = await self.run(body, db)
        except CommandError as error:
            return error
        raise AssertionError(f"{body} was answered: {reply}")

    async def state(self) -> str:
        if not self.running:
            return "dead"
        return str(self.node.topology.state.name)

    @property
    def writable(self) -> bool:
        return self.running and self.node.topology.writable


class Set:
    """Members, and what a test asks of them together."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)

    def __getitem__(self, index: int) -> Member:
        return self.members[index]

    @property
    def config(self) -> Document:
        return {"_id": "rs0", "members": [{"_id": index, "host": member.host} for index, member in enumerate(self.members)]}

    async def until(self, what: str, look: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """As of waiting.py, beside the members, which run in this very thread. patience: real seconds."""
        began = time.monotonic()
        while not (value := look()):
            if time.monotonic() - began >= patience:
                states = {member.host: await member.state() for member in self.members}
                raise AssertionError(f"expected: {what}\nseen after {patience:.0f} s: {value!r}; states: {states}")
            await asyncio.sleep(0.005)
        return value

    async def primary(self) -> Member:
        return await self.until("there is a primary", lambda: next((member for member in self.members if member.writable), None))

    async def all_in(self, *states: str) -> None:
        running = [member for member in self.members if member.running]
        await self.until(f"all are in {states}", lambda: all(member.node.topology.state.name in states for member in running))

    async def reconfig(self, change: Callable[[Document], None], **options: Any) -> Document:
        """Change the configuration on the primary, as a client does."""
        primary = await self.primary()
        config = (await primary.run({"replSetGetConfig": 1}))["config"]
        change(config)
        config["version"] += 1
        return await primary.run({"replSetReconfig": config, **options})


@asynccontextmanager
async def members(number: int, tmp_path: Path, initiate: int | None = None, speed: float = SPEED) -> AsyncIterator[Set]:
    """So many started members; of them, so many are initiated (None: all), and have a primary."""
    found = Set([Member(port, tmp_path / f"m{index}", speed=speed) for index, port in enumerate(free_ports(number))])
    for member in found.members:
        await member.start()
    try:
        wanted = number if initiate is None else initiate
        if wanted:
            config = {"_id": "rs0", "members": found.config["members"][:wanted]}
            await found[0].run({"replSetInitiate": config})
            await found.primary()
        yield found
    finally:
        for member in found.members:
            if member.running:
                await member.kill()
