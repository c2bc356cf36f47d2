# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that write steadily, each as an application does: over one connection, which is made anew when it has broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.ledger import Ledger, Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Seconds from a failed write to the next: applications do not storm a store that is down.
RETRY = 0.2


class Refused(Exception):
    """The write was not done: the store said so, or there was nobody to send it to."""


class Unanswered(Exception):
    """It was sent, and no answer came; the connection is of no use any more."""


class Client(Protocol):
    """One connection of an application."""

    def write(self, sequence: int) -> None:
        """Write, and return when it is acknowledged. Raises Refused (the connection stays) or Unanswered."""

    def close(self) -> None:
        """End the connection; may be called again."""


# Makes a connection. Raises Refused.
Connect = Callable[[], Client]


class Writer:
    """One thread, which writes until it is told to stop.

    interval: seconds from one write to the next.
    """

    def __init__(self, ledger: Ledger, connect: Connect, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._connect, self._interval, self._clock = ledger, connect, interval, clock
        self._client: Client | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="drill writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more after the present write."""
        self._over.set()

    def join(self, timeout: float) -> bool:
        """Wait until the present write has ended, for at most so many seconds; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _write_on(self) -> None:
        due = self._clock()
        while not self._over.wait(max(0.0, due - self._clock())):
            due = max(due + self._interval, self._clock())
            if not self._one():
                due = self._clock() + RETRY
        self._drop()

    def _one(self) -> bool:
        """One write; whether it was acknowledged. Every exception is a write that was not."""
        sequence = self._ledger.begin(self._clock())
        outcome, reason = Outcome.ACKNOWLEDGED, ""
        try:
            if self._client is None:
                self._client = self._connect()
            self._client.write(sequence)
        except Refused as error:
            outcome, reason = Outcome.REFUSED, str(error)
        except Exception as error:  # pylint: disable=broad-except  # whatever it was, nobody knows whether the write is there
            outcome, reason = Outcome.UNKNOWN, str(error) or type(error).__name__
            self._drop()
        self._ledger.end(sequence, outcome, self._clock(), reason)
        return outcome is Outcome.ACKNOWLEDGED

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Crew:
    """The writers of all series.

    ledgers: by series. Use it in a `with`: it stops them.
    """

    def __init__(self, connects: dict[str, Connect], count: int, interval: float) -> None:
        self.ledgers = {series: Ledger() for series in connects}
        self._interval = interval
        self._writers = [Writer(self.ledgers[series], connect, interval) for series, connect in connects.items() for _nth in range(count)]

    def __enter__(self) -> Crew:
        for writer in self._writers:  # not all of them at the same moment
            writer.start()
            time.sleep(self._interval / len(self._writers))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()

    def _stop(self) -> None:
        for writer in self._writers:
            writer.stop()

    def finish(self, timeout: float) -> None:
        """Stop, and wait until the last answers are there. timeout: seconds in which each write has ended, however it ends."""
        self._stop()
        until = time.monotonic() + timeout
        busy = [writer for writer in self._writers if not writer.join(max(0.0, until - time.monotonic()))]
        if busy:
            raise StackgateError("every write of the drill is answered or given up", f"{len(busy)} writers are busy still", waited=timeout)


def reasons(failures: Sequence[tuple[str, int]], limit: int = 3) -> str:
    """The most frequent reasons why writes failed, as a sentence."""
    return "; ".join(f"{reason} ({count})" for reason, count in failures[:limit])
