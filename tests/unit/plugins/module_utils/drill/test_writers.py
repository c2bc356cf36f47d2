# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers: one connection each, made anew after it has broken."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import writers
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.ledger import Ledger, Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Arrivals, Crew, Refused, Unanswered, Writer
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


class Script:
    """What happens to each write in turn; None: acknowledged. Then it is over."""

    def __init__(self, *happens: Exception | None, connects: tuple[Exception | None, ...] = ()) -> None:
        self.happens, self.connects = list(happens), list(connects)
        self.connections = self.closed = 0
        self.over = threading.Event()

    def connect(self) -> Script:
        if self.connects and (error := self.connects.pop(0)) is not None:
            raise error
        self.connections += 1
        return self

    def write(self, sequence: int) -> None:
        if not self.happens:
            self.over.set()
            return
        error = self.happens.pop(0)
        if error is not None:
            raise error

    def close(self) -> None:
        self.closed += 1


def play(script: Script) -> list[tuple[Outcome, str]]:
    ledger = Ledger()
    writer = Writer(ledger, script.connect, 0.001)
    writer.start()
    assert script.over.wait(5)
    writer.stop()
    assert writer.join(5)
    return [(write.outcome, write.reason) for write in ledger.writes()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "RETRY", 0.001)


def test_one_connection_serves_all_writes() -> None:
    script = Script(None, None, None)
    assert {outcome for outcome, _reason in play(script)} == {Outcome.ACKNOWLEDGED}
    assert (script.connections, script.closed) == (1, 1)


def test_a_refusal_keeps_the_connection() -> None:
    script = Script(None, Refused("READONLY"), None)
    found = play(script)
    assert found[1] == (Outcome.REFUSED, "READONLY")
    assert script.connections == 1


@pytest.mark.parametrize("error", [Unanswered("it closed the connection"), ValueError("it closed the connection")])
def test_a_missing_answer_makes_a_new_connection(error: Exception) -> None:
    script = Script(None, error, None)
    found = play(script)
    assert found[1] == (Outcome.UNKNOWN, "it closed the connection")
    assert found[2][0] is Outcome.ACKNOWLEDGED
    assert (script.connections, script.closed) == (2, 2)


def test_no_connection_is_a_refusal() -> None:
    script = Script(None, connects=(Refused("no connection"), Refused("no connection"), None))
    found = play(script)
    assert [outcome for outcome, _reason in found[:3]] == [Outcome.REFUSED, Outcome.REFUSED, Outcome.ACKNOWLEDGED]
    assert script.connections == 1


def test_arrivals_do_not_wait_for_each_other() -> None:
    """Each on a connection of its own; the first one hangs."""
    ledger, first = Ledger(), threading.Event()

    class Slow(Script):
        def write(self, sequence: int) -> None:
            if sequence == 1:
                first.wait(10)
                raise Unanswered("cut")

    script = Slow(connects=(None, None, Refused("no connection")))
    arrivals = Arrivals(ledger, script.connect, 0.01)
    arrivals.start()
    while len(ledger.writes()) < 6:
        threading.Event().wait(0.01)
    arrivals.stop()
    assert not arrivals.join(0.05)
    first.set()
    assert arrivals.join(5)
    writes = ledger.writes()
    assert writes[0].outcome is Outcome.UNKNOWN
    assert sorted(write.outcome.value for write in writes[1:])[-1] == "refused"
    assert sum(write.outcome is Outcome.ACKNOWLEDGED for write in writes) == len(writes) - 2
    assert script.connections == script.closed == len(writes) - 1


def test_a_crew_writes_each_series_and_ends() -> None:
    with Crew({"a": Script().connect, "b": Script().connect}, 2, 0.01) as crew:
        threading.Event().wait(0.2)
        crew.finish(5)
        counts = {series: len(ledger.writes()) for series, ledger in crew.ledgers.items()}
        threading.Event().wait(0.05)
        assert {series: len(ledger.writes()) for series, ledger in crew.ledgers.items()} == counts
    assert min(counts.values()) > 10


def test_a_write_that_never_ends_is_named() -> None:
    class Hanging(Script):
        def write(self, sequence: int) -> None:
            threading.Event().wait(3)

    stuck: Any = Hanging()
    with Crew({"a": stuck.connect}, 1, 0.01) as crew, pytest.raises(StackgateError, match="1 writers are busy still"):
        crew.finish(0.1)
