# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that write steadily, as applications do.

Some keep one connection, which is made anew when it has broken, as a pool does. And writes arrive, each on a connection of its own, however
many are waiting, as requests to processes without a pool do. Both are needed: a proxy that does not end old connections is seen in the
former, and the moment from which on the store accepts writes in the latter. A port-forward hands the end of a connection on a second
late (containerd gives the other direction that time), so a writer that waits for an answer learns of it later than an application.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.ledger import Ledger, Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Seconds from a failed write to the next: applications do not storm a store that is down.
RETRY = 0.2
# Seconds from one write with a connection of its own to the next: a port-forward each time, which costs some processor time.
ARRIVAL = 0.25


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
        """One write; whether it was acknowledged."""

        def write(sequence: int) -> None:
            if self._client is None:
                self._client = self._connect()
            self._client.write(sequence)

        outcome = record(self._ledger, write, self._clock)
        if outcome is Outcome.UNKNOWN:
            self._drop()
        return outcome is Outcome.ACKNOWLEDGED

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Arrivals:
    """Writes that come at their time, each on a connection of its own, whatever became of those before. Used like a Writer."""

    def __init__(self, ledger: Ledger, connect: Connect, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._connect, self._interval, self._clock = ledger, connect, interval, clock
        self._over = threading.Event()
        self._under_way: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._arrive, name="drill arrivals", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let no further one come."""
        self._over.set()

    def join(self, timeout: float) -> bool:
        """Wait until all have ended, for at most so many seconds; whether they have."""
        until = self._clock() + timeout
        for thread in (self._thread, *self._under_way):
            thread.join(max(0.0, until - self._clock()))
        return not any(thread.is_alive() for thread in (self._thread, *self._under_way))

    def _arrive(self) -> None:
        while not self._over.wait(self._interval):
            self._under_way = [thread for thread in self._under_way if thread.is_alive()]
            self._under_way.append(threading.Thread(target=record, args=(self._ledger, self._write, self._clock), daemon=True))
            self._under_way[-1].start()

    def _write(self, sequence: int) -> None:
        client = self._connect()
        try:
            client.write(sequence)
        finally:
            client.close()


def record(ledger: Ledger, write: Callable[[int], None], clock: Callable[[], float]) -> Outcome:
    """One write, with what became of it. Every exception is a write that was not acknowledged."""
    sequence = ledger.begin(clock())
    outcome, reason = Outcome.ACKNOWLEDGED, ""
    try:
        write(sequence)
    except Refused as error:
        outcome, reason = Outcome.REFUSED, str(error)
    except Exception as error:  # pylint: disable=broad-except  # whatever it was, nobody knows whether the write is there
        outcome, reason = Outcome.UNKNOWN, str(error) or type(error).__name__
    ledger.end(sequence, outcome, clock(), reason)
    return outcome


class Crew:
    """The writers of all series: each has `count` that keep their connection, and arrivals.

    ledgers: by series. Use it in a `with`: it stops them.
    """

    def __init__(self, connects: dict[str, Connect], count: int, interval: float) -> None:
        self.ledgers = {series: Ledger() for series in connects}
        self._interval = interval
        self._writers: list[Writer | Arrivals] = []
        for series, connect in connects.items():
            self._writers += [Writer(self.ledgers[series], connect, interval) for _nth in range(count)]
            self._writers.append(Arrivals(self.ledgers[series], connect, ARRIVAL))

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
