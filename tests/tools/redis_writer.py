# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A writer that notes every write which a set of Redis servers has acknowledged, and looks later whether all are there."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

import redis
from redis_servers import RedisProcess, RedisSet


class RedisLedger:
    """Writes as the application does, to the master that a majority of the sentinels names, from entering the context to leaving it.

    wait: a write counts as acknowledged only when so many replicas have it (WAIT), too.
    """

    def __init__(self, redis_set: RedisSet, wait: int = 0) -> None:
        self.redis_set, self.replicas = redis_set, wait
        self.acknowledged: list[int] = []
        self._sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> RedisLedger:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, number: int = 200) -> None:
        """Wait until so many further writes are acknowledged. Raises AssertionError."""
        wanted = len(self.acknowledged) + number
        self.redis_set.until(f"{wanted} writes are acknowledged", lambda: len(self.acknowledged), holds=lambda done: done >= wanted)

    def lost(self) -> list[int]:
        """Acknowledged writes that the master does not have."""
        with self.redis_set.leader().client("app") as client, client.pipeline(transaction=False) as pipeline:
            noted = list(self.acknowledged)
            for number in noted:
                pipeline.exists(f"ledger:{number}")
            return [number for number, there in zip(noted, pipeline.execute(), strict=True) if not there]

    def _write(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(redis.RedisError, LookupError):
                self._write_to(self.redis_set.master())
            time.sleep(0.02)

    def _write_to(self, master: RedisProcess) -> None:
        with master.client("app") as client:
            while not self._stop.is_set():
                self._sent += 1
                client.set(f"ledger:{self._sent}", self._sent)
                if self.replicas and client.wait(self.replicas, 1000) < self.replicas:
                    continue
                self.acknowledged.append(self._sent)
