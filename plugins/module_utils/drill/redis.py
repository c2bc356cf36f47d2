# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill on Redis: keys, a list and transactions, written through HAProxy; once as they are, and once with WAIT for a replica."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Dial, Series
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Client, Unanswered
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Refused as WriteRefused
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Command, Credentials, Endpoint, Refused

PLAIN, WAIT = "plain", "WAIT 1"
# Seconds for connecting, and for an answer.
ANSWER = 10.0
# Milliseconds that WAIT waits for a replica.
WAIT_MS = 1000
# Seconds after which the keys of a drill that was interrupted go by themselves.
EXPIRE = 86400
# Keys asked or removed at once.
CHUNK = 500
# An element of the list that is no write: a list has to exist before it can expire.
MARK = "made"


@dataclass
class RedisStore:
    """See store.Store. master: finds the master's pod. takeover: has a replica take over, and says which."""

    members: Sequence[str]
    credentials: Credentials
    master: Callable[[], str]
    takeover: Callable[[], str]
    name: str = "redis"
    leader_word: str = "master"
    port: int = 6379
    processes: Sequence[str] = ("redis-server", "valkey-server")
    series: Sequence[Series] = (Series(PLAIN, promised=False), Series(WAIT, promised=True))
    patience: float = 3 * ANSWER

    def leader(self) -> str:
        """The master's pod."""
        return self.master()

    def switchover(self) -> str:
        """Have a replica take over; its pod."""
        return self.takeover()

    def route(self, dial: Dial) -> RedisRoute:
        """The way through HAProxy."""
        return RedisRoute(dial, self.credentials)


@dataclass
class RedisRoute:
    """See store.Route."""

    dial: Dial
    credentials: Credentials
    _run: str = field(default_factory=lambda: secrets.token_hex(4))
    _written: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the lists. Each drill has keys of its own."""
        endpoint = self._endpoint()
        for series in (PLAIN, WAIT):
            log = self._log(series)
            endpoint.command("RPUSH", log, MARK, timeout=ANSWER)
            endpoint.command("EXPIRE", log, EXPIRE, timeout=ANSWER)
            self._written.append(log)
        endpoint.close()

    def connect(self, series: str) -> Client:
        """Connect and log in, as far as to the master."""
        endpoint = self._endpoint()
        try:
            endpoint.command("PING", timeout=ANSWER)
        except StackgateError as error:
            endpoint.close()
            raise WriteRefused(f"no connection: {error.seen}") from error
        return RedisClient(endpoint, lambda sequence: self._write(series, sequence), series == WAIT)

    def present(self, series: str, sequences: Collection[int]) -> set[int]:
        """Which of these the master has."""
        endpoint = self._endpoint()
        found = {int(element) for element in endpoint.command("LRANGE", self._log(series), 0, -1, timeout=ANSWER) if element != MARK}
        wanted = sorted(sequences)
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            keys = [self._key(series, sequence) for sequence in chunk]
            self._written += keys
            values = endpoint.command("MGET", *keys, timeout=ANSWER)
            found |= {sequence for sequence, value in zip(chunk, values, strict=True) if value == str(sequence)}
        endpoint.close()
        return found

    def clean(self) -> None:
        """Remove the keys that were looked for."""
        endpoint = self._endpoint()
        for start in range(0, len(self._written), CHUNK):
            endpoint.command("UNLINK", *self._written[start : start + CHUNK], timeout=ANSWER)
        self._written = []
        endpoint.close()

    def _endpoint(self) -> Endpoint:
        return Endpoint("redis through HAProxy", self.dial, self.credentials)

    def _log(self, series: str) -> str:
        return f"stackgate:drill:{self._run}:{series}"

    def _key(self, series: str, sequence: int) -> str:
        return f"{self._log(series)}:{sequence}"

    def _write(self, series: str, sequence: int) -> Sequence[Command]:
        """An element of the list, a key of its own, and one in a transaction, in turn: what a server keeps of each may differ."""
        kind = sequence % 3
        if kind == 0:
            return [("RPUSH", self._log(series), sequence)]
        key: Command = ("SET", self._key(series, sequence), sequence, "EX", EXPIRE)
        return [key] if kind == 1 else [("MULTI",), key, ("EXEC",)]


@dataclass
class RedisClient:
    """One connection. waits: whether a replica must have a write before it counts as acknowledged."""

    endpoint: Endpoint
    commands: Callable[[int], Sequence[Command]]
    waits: bool

    def write(self, sequence: int) -> None:
        """Write one. A write that no replica confirmed is there or not, as one that was never answered."""
        waiting: list[Command] = [("WAIT", 1, WAIT_MS)] if self.waits else []
        try:
            replies = self.endpoint.ask([*self.commands(sequence), *waiting], ANSWER)
        except Refused as error:
            raise WriteRefused(_short(error)) from error
        except StackgateError as error:
            raise Unanswered(error.seen) from error
        refused = next((reply for reply in replies if isinstance(reply, Refused)), None)
        if refused is not None:
            raise WriteRefused(_short(refused))
        if self.waits and not (isinstance(replies[-1], int) and replies[-1] >= 1):
            raise Unanswered("WAIT: no replica has confirmed it")

    def close(self) -> None:
        """Hang up."""
        self.endpoint.close()


def _short(error: Refused) -> str:
    """READONLY, NOREPLICAS, ...: the code alone, where there is one."""
    return error.code if error.code != "ERR" else error.message
