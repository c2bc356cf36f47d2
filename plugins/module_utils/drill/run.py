# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fault after the other: write, break, wait, repair, wait until the store is whole, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import faults, ledger
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Dial, Route, Store
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Crew, reasons
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Seconds from one look at the ledgers to the next.
LOOK = 0.2
# Seconds without an acknowledged write that still count as steady writing: an answer may take its time on a busy machine.
PAUSE = 1.0
# Seconds for the first writes to be steady.
WARM_UP = 20.0
# Seconds of writing that go on after the store is whole.
AFTER = 2.0


class Place(faults.Hands, Protocol):
    """Where the pods are; see place.Place."""

    def node(self, pod: str) -> str:
        """The node that a pod is on."""

    def proxy(self, daemon_set: str, avoided: str, preferred: Sequence[str]) -> str:
        """A ready proxy on another node."""

    def dial(self, pod: str, port: int) -> Dial:
        """The way to its port."""


@dataclass(frozen=True)
class Settings:
    """How a drill is done.

    proxies, port: the DaemonSet of the proxies, and the port that applications use there. protected: nodes that are never broken.
    commands: see faults. writers: connections of each series. interval: seconds from one write of a connection to the next.
    before, stable: seconds of steady writing before the fault, and after it until it counts as overcome.
    recovery: seconds that is waited for that.
    """

    proxies: str
    port: int
    protected: Sequence[str] = ()
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    writers: int = 2
    interval: float = 0.04
    before: float = 5.0
    stable: float = 5.0
    recovery: float = 120.0


@dataclass
class Drill:
    """A drill on one store.

    whole: waits until the store is whole, and raises StackgateError when it does not become so; its argument says when that is.
    """

    store: Store
    place: Place
    settings: Settings
    whole: Callable[[str], None]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def plan(self, kind: str) -> str:
        """What would be broken if it were done now."""
        leader = self.store.leader()
        node = self.place.node(leader)
        first = ""
        if kind in faults.NODE_COMMANDS and node in self.settings.protected:
            first = f"first another member takes over from {leader}, since {node} is protected; then "
            leader, node = "that one", "its node"
        return first + faults.fault(kind, self.store, self.place, leader, node, self.settings.commands).words

    def run(self, kind: str, number: int) -> dict[str, Any]:
        """Do it, and say what came of it, as a run of the module's result. Whatever happens, what was broken is repaired."""
        self.whole("before the fault")
        leader, node = self._unprotected() if kind in faults.NODE_COMMANDS else self._leader()
        proxy = self.place.proxy(self.settings.proxies, node, self.settings.protected)
        route = self.store.route(self.place.dial(proxy, self.settings.port))
        fault = faults.fault(kind, self.store, self.place, leader, node, self.settings.commands)
        route.prepare()
        connects = {series.name: _connect(route, series.name) for series in self.store.series}
        with Crew(connects, self.settings.writers, self.settings.interval) as crew:
            self._warm_up(crew)
            self.say(f"{kind} {number}: {fault.words}; writing through {proxy}")
            broke = self.clock()
            try:
                fault.strike()
                recovered = self._recovered(crew)
            finally:
                stable = self.clock()
                fault.repair()
            repaired = self.clock()
            self.whole("after the fault")
            whole_after = self.clock() - repaired
            self.sleep(AFTER)
            crew.finish(self.store.patience)
            over = self.clock()
        run = {
            "store": self.store.name,
            "fault": kind,
            "number": number,
            "words": fault.words,
            "proxy": proxy,
            "recovered": recovered,
            "whole_after": round(whole_after, 1),
            "series": [self._account(series.name, crew, route, broke, stable, over, series.promised) for series in self.store.series],
        }
        route.clean()
        self.say(f"{kind} {number}: {told(run)}")
        return run

    # -- parts ---------------------------------------------------------------------------------------------------

    def _leader(self) -> tuple[str, str]:
        leader = self.store.leader()
        return leader, self.place.node(leader)

    def _unprotected(self) -> tuple[str, str]:
        """The leader and its node; first moved from a node that must not be broken."""
        for _attempt in self.store.members:
            leader, node = self._leader()
            if node not in self.settings.protected:
                return leader, node
            self.say(f"another member takes over from {leader}, since {node} is protected")
            self.store.switchover()
            self.whole("after the leader was moved")
        raise StackgateError(
            f"a {self.store.leader_word} on a node that may be broken",
            f"each time it was moved it came to {', '.join(self.settings.protected)}",
            "have more members, on other nodes, or fewer nodes in protected_nodes",
        )

    def _warm_up(self, crew: Crew) -> None:
        """Write steadily for a while. Raises StackgateError when that cannot be done."""
        begun = self.clock()
        while True:
            self.sleep(self.settings.before)
            since = self.clock() - self.settings.before
            if self._steady(crew, since):
                return
            if self.clock() - begun > WARM_UP:
                failures = [failure for book in crew.ledgers.values() for failure in ledger.compare(book.writes(), set()).reasons]
                raise StackgateError(
                    f"the store takes writes steadily for {self.settings.before:.0f} s before anything is broken",
                    reasons(failures) or "too few writes were acknowledged",
                    "nothing was broken",
                    waited=self.clock() - begun,
                )

    def _recovered(self, crew: Crew) -> bool:
        """Wait until writes are accepted again and go on being so; False when the time for that is over."""
        struck = self.clock()
        while self.clock() - struck < self.settings.recovery:
            self.sleep(LOOK)
            if self.clock() - struck >= self.settings.stable and self._steady(crew, self.clock() - self.settings.stable):
                return True
        self.say(f"writes are not accepted steadily {self.settings.recovery:.0f} s after the fault")
        return False

    def _steady(self, crew: Crew, since: float) -> bool:
        return all(ledger.steady(book.writes(), since, self.clock(), PAUSE) for book in crew.ledgers.values())

    def _account(self, series: str, crew: Crew, route: Route, broke: float, stable: float, over: float, promised: bool) -> dict[str, Any]:
        """The ledger of one series, compared with the store."""
        writes = crew.ledgers[series].writes()
        present = route.present(series, [write.sequence for write in writes])
        account = ledger.compare(writes, present)
        return {
            "series": series,
            "promised": promised,
            "seconds": round(ledger.longest_gap(writes, broke, stable).seconds, 2),
            "later": round(ledger.longest_gap(writes, stable, over).seconds, 2),
            "acknowledged": account.acknowledged,
            "refused": account.refused,
            "unknown": account.unknown,
            "kept": account.kept,
            "lost": len(account.lost),
            "ghosts": len(account.ghosts),
            "reasons": [f"{count} x {reason}" for reason, count in account.reasons[:5]],
        }


def _connect(route: Route, series: str) -> Callable[[], Any]:
    return lambda: route.connect(series)


def told(run: Mapping[str, Any]) -> str:
    """A run in one line."""
    return "; ".join(
        f"{found['series']}: {found['seconds']:.1f} s without an accepted write, {found['acknowledged']} acknowledged, "
        f"{found['lost']} of them lost"
        for found in run["series"]
    )
