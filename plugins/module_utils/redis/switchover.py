# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The master gives its place to a replica that has every write, and writes wait for well under a second.

SENTINEL FAILOVER alone loses what the chosen replica has not got yet, leaves the old master open to writes for 8 s more, and may take
a second to notice the promotion. So: writes are paused at the master, the replicas catch up, the sentinel promotes one, and the old
master is made its replica, and ends its clients' connections, before it is opened again.

The moment is chosen. During a failover a sentinel asks a replica for its INFO a second after the last one, and the promotion shows in it
(sentinel.c, sentinelSendPeriodicCommands); REPLICAOF NO ONE goes out after three turns of its timer, up to 0.3 s. So all of its last
INFOs should be about 0.6 s old when the failover begins. They are made that young by SENTINEL DEBUG INFO-PERIOD (7.0); an older sentinel
is waited for. Whoever is interrupted leaves a pause that ends by itself, and a failover that the sentinels end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Endpoint, Refused, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Known, Sentinel
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import look_at_sentinel
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import Fleet, ask_all

# Seconds for which the master takes no writes at most, also when nobody is there any more to open it again. Until then the sentinels
# have taken the old master's replicas from it, and min-replicas-to-write keeps it closed.
PAUSE = 10.0
# Seconds in which the replicas get what the master has written before the pause.
CATCH_UP = 1.0
# Seconds in which the chosen replica must be master, and the sentinel know it.
PROMOTION = 5.0
# Seconds from one look to the next: in the critical phase, and outside of it.
QUICK, POLL = 0.01, 0.2
# Age of the sentinel's last INFOs at which the failover begins, in milliseconds: from, to.
AGE_MS = (520, 620)
# What SENTINEL DEBUG INFO-PERIOD is set to so that all replicas are asked in the same turn, in milliseconds; and how young it makes them.
TOGETHER_MS, YOUNG_MS = 100, 400
# Bytes by which a replica may be behind before the pause: more would not be caught up in it.
MAX_LAG_BYTES = 1 << 20
DEFAULT_INFO_PERIOD_MS = 10000


@dataclass(frozen=True)
class Switched:
    """What came of it. old, new: names. seconds: from the pause until a majority of the sentinels sent clients to the new master."""

    old: str
    new: str
    seconds: float


class _NotNow(StackgateError):
    """It cannot be done at this moment; nothing was changed."""


@dataclass
class Switchover:
    """barred: names of servers that are not to become master. say: takes lines for people."""

    fleet: Fleet
    barred: Collection[str] = ()
    say: Callable[[str], None] = lambda line: None

    def run(self, timeout: float = 60.0) -> Switched:
        """Hand over. Raises StackgateError when it did not come about within timeout seconds, or broke off on the way."""
        begun = time.monotonic()
        withheld = self._withhold()
        try:
            while True:
                try:
                    switched = self._attempt(timeout - (time.monotonic() - begun))
                    self._settled(switched, max(timeout - (time.monotonic() - begun), PROMOTION))
                    return switched
                except _NotNow as error:
                    waited = time.monotonic() - begun
                    if waited >= timeout:
                        raise StackgateError(error.expected, error.seen, error.hint, waited) from error
                    self.say(f"not yet: {error.seen}")
                    time.sleep(5 * POLL)
        finally:
            self._restore(withheld)

    # -- before ----------------------------------------------------------------------------------------------------

    def _withhold(self) -> dict[str, str]:
        """Keep the barred ones from being promoted. Returns what their priorities were."""
        found = {}
        for name in self.barred:
            endpoint = self.fleet.server(name)
            with contextlib.suppress(StackgateError):  # one that does not answer is not promoted
                was = str(endpoint.command("CONFIG", "GET", "replica-priority")[1])
                if was != "0":
                    endpoint.command("CONFIG", "SET", "replica-priority", 0)
                    found[name] = was
        return found

    def _restore(self, withheld: dict[str, str]) -> None:
        for name, was in withheld.items():
            if name in self.fleet.servers:  # another one is to go
                with contextlib.suppress(StackgateError):
                    self.fleet.server(name).command("CONFIG", "SET", "replica-priority", was)

    def _views(self) -> list[Sentinel]:
        """All sentinels' views; raises _NotNow when they are of several minds or busy."""
        answers = ask_all(self.fleet.sentinels.values(), lambda one: look_at_sentinel(one, self.fleet.request.name))
        views = [answer for answer in answers.values() if isinstance(answer, Sentinel) and answer.master]
        if len(views) <= len(self.fleet.sentinels) // 2:
            raise _NotNow("a majority of the sentinels answers", f"{len(views)} of {len(self.fleet.sentinels)} do")
        busy = [f"{view.name}: {view.busy}" for view in views if view.busy]
        if busy:
            raise _NotNow("the sentinels are at rest", "; ".join(busy))
        if len({(view.master, view.epoch) for view in views}) > 1:
            raise _NotNow("all sentinels name one master at one epoch", "they do not")
        return views

    def _known_as_replicas(self, views: list[Sentinel]) -> None:
        """No sentinel has last heard a replica say that it is a master, as an old one does until it is made a replica.

        Who hears that for 8 s makes it a replica again (sentinel.c, sentinelRefreshInstanceInfo), were it promoted meanwhile or not.
        """
        late = sorted(
            {
                (view.name, self.fleet.name_of(one.address))
                for view in views
                for one in view.replicas
                if one.role == "master" and not one.down
            }
        )
        if late:
            told = "; ".join(f"{name} has last heard {replica} say that it is a master" for name, replica in late)
            raise _NotNow("every sentinel knows each replica as one", told)

    def _moment(self, asked: Endpoint, left: float) -> list[Known]:
        """Wait until the sentinel's last INFOs are of the right age. Returns the replicas that it would promote."""
        deadline = time.monotonic() + min(max(left, 2.0), 25.0)
        with self._together(asked) as together:
            if together:
                self._candidates(asked, lambda ages: max(ages) < YOUNG_MS, deadline)
        return self._candidates(asked, lambda ages: AGE_MS[0] <= max(ages) <= AGE_MS[1] and min(ages) >= AGE_MS[0] / 2, deadline)

    def _candidates(self, asked: Endpoint, fit: Callable[[list[int]], bool], deadline: float) -> list[Known]:
        """The replicas that the sentinel would promote, once the ages of their INFOs fit; at the deadline whatever ages they have.

        Raises _NotNow when there is none, or a barred one is among them still.
        """
        while True:
            replicas = [observation.known(reply) for reply in asked.command("SENTINEL", "REPLICAS", self.fleet.request.name)]
            chosen = [one for one in replicas if one.priority and not one.down and one.link_ok]
            barred = any(self.fleet.name_of(one.address) in self.barred for one in chosen)
            late = time.monotonic() >= deadline
            if chosen and not barred and (late or fit([one.info_refresh_ms for one in chosen])):
                return chosen
            if late:
                raise _NotNow("a replica that may be promoted", f"{asked.name} knows none", "do the replicas have their links up?")
            time.sleep(QUICK)

    @contextlib.contextmanager
    def _together(self, asked: Endpoint) -> Iterator[bool]:
        """Have the sentinel ask all replicas in every turn of its timer. Gives whether it can do that."""
        try:
            said = observation.pairs(asked.command("SENTINEL", "DEBUG"))
            period = {name.upper(): value for name, value in said.items()}.get("INFO-PERIOD", str(DEFAULT_INFO_PERIOD_MS))
            if period == str(TOGETHER_MS):  # somebody was interrupted here
                period = str(DEFAULT_INFO_PERIOD_MS)
            asked.command("SENTINEL", "DEBUG", "INFO-PERIOD", TOGETHER_MS)
        except Refused:  # before 7.0
            yield False
            return
        try:
            yield True
        finally:
            asked.command("SENTINEL", "DEBUG", "INFO-PERIOD", period)

    # -- the critical phase ------------------------------------------------------------------------------------------

    def _attempt(self, left: float) -> Switched:
        try:
            views = self._views()
            self._known_as_replicas(views)
            watching = [self.fleet.sentinels[view.name] for view in views]
            old = self.fleet.server(self.fleet.name_of(views[0].master))
            self._ready(old)
            ask_all(self.fleet.servers.values(), lambda one: one.command("PING"))  # connected before it counts
            chosen = [self.fleet.server(self.fleet.name_of(one.address)) for one in self._moment(watching[0], left)]
        except Unreachable as error:  # it may be starting again
            raise _NotNow(error.expected, error.seen, error.hint) from error
        begun = time.monotonic()
        try:
            old.command("CLIENT", "PAUSE", int(PAUSE * 1000), "WRITE")
            self._caught_up(old, chosen)
            watching[0].command("SENTINEL", "FAILOVER", self.fleet.request.name)
        except (Refused, _NotNow) as error:  # after no answer at all the pause stays: a failover may have begun
            with contextlib.suppress(StackgateError):
                old.command("CLIENT", "UNPAUSE")
            if isinstance(error, Refused) and error.code in ("INPROG", "NOGOODSLAVE"):
                raise _NotNow("the sentinel begins a failover", error.seen) from error
            raise
        new = self._promoted(watching, old, chosen, begun)
        # Unpaused last: nobody writes to it in between, and those who wait are sent away to connect anew.
        ip, _colon, port = new.address.rpartition(":")
        replies = old.ask([("REPLICAOF", ip, port), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "UNPAUSE"), ("CONFIG", "REWRITE")])
        refused = next((reply for reply in replies[:3] if isinstance(reply, Refused)), None)
        if refused is not None:  # the last one may be: a server that was started without a file cannot keep what it is told
            raise refused
        return Switched(old.name, new.name, time.monotonic() - begun)

    def _ready(self, old: Endpoint) -> None:
        master = observation.server(old.name, old.address, old.command("INFO"))
        if not master.is_master:
            raise _NotNow(f"{old.name} is master, as the sentinels say", f"it is {master.role or 'nothing'}")
        close = [replica for replica in master.replicas if replica.state == "online" and master.offset - replica.offset <= MAX_LAG_BYTES]
        if not close:
            raise _NotNow("a replica is in sync with the master", f"{old.name} has {len(master.replicas)} replicas, none of them in sync")

    def _caught_up(self, old: Endpoint, chosen: list[Endpoint]) -> None:
        """Every replica that may be promoted has processed what the master had written when it was paused."""
        offset = observation.server(old.name, old.address, old.command("INFO", "replication")).offset
        deadline = time.monotonic() + CATCH_UP
        while True:
            answers = ask_all(chosen, lambda one: observation.server(one.name, one.address, one.command("INFO", "replication")).offset)
            late = [name for name, answer in answers.items() if isinstance(answer, StackgateError) or answer < offset]
            if not late:
                return
            if time.monotonic() >= deadline:
                raise _NotNow("the replicas catch up while writes are paused", f"{', '.join(late)} did not within {CATCH_UP:g} s")
            time.sleep(QUICK)

    def _promoted(self, watching: list[Endpoint], old: Endpoint, chosen: list[Endpoint], begun: float) -> Endpoint:
        """The replica that says it is master, once a majority of the sentinels sends clients to it, and so do the proxies that ask them."""
        deadline = time.monotonic() + PROMOTION
        name, majority = self.fleet.request.name, len(self.fleet.sentinels) // 2 + 1
        while True:
            answers = ask_all(watching, lambda one: one.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
            told = [f"{answer[0]}:{answer[1]}" for answer in answers.values() if isinstance(answer, list)]
            for new in chosen:
                if told.count(new.address) >= majority and _is_master(new):
                    return new
            if time.monotonic() >= deadline:
                raise StackgateError(
                    f"{watching[0].name} promotes a replica of {old.name}, and a majority of the sentinels follows",
                    f"they have not; {old.name} takes writes again {PAUSE:g} s after the pause",
                    "see the sentinels' logs",
                    time.monotonic() - begun,
                )
            time.sleep(QUICK)

    # -- after -----------------------------------------------------------------------------------------------------

    def _settled(self, switched: Switched, left: float) -> None:
        """Wait until the sentinels that answer are at rest and of one mind again."""
        begun = time.monotonic()
        while True:
            try:
                views = self._views()
            except _NotNow as error:
                waited = time.monotonic() - begun
                if waited >= left:
                    raise StackgateError(f"all sentinels name {switched.new}", error.seen, "", waited) from error
                time.sleep(POLL)
                continue
            named = self.fleet.name_of(views[0].master)
            if named != switched.new:
                self.say(f"{switched.new} took over from {switched.old}, and was followed by {named} at once")
            return


def _is_master(endpoint: Endpoint) -> bool:
    """False when it does not answer, too: whoever is promoted ends all connections (sentinel.c, sentinelSendSlaveOf)."""
    try:
        return bool(endpoint.command("ROLE")[0] == "master")
    except StackgateError:
        return False


def switchover(fleet: Fleet, candidate: str = "", timeout: float = 60.0, say: Callable[[str], None] = lambda line: None) -> Switched:
    """Hand over to `candidate`, or to whom the sentinels choose. Raises StackgateError."""
    barred = [name for name in fleet.servers if name != candidate] if candidate else []
    return Switchover(fleet, barred, say).run(timeout)
