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
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Endpoint, Refused
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
    """What came of it. old, new: names. seconds: from the pause until the asked sentinel sent clients to the new master."""

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
        seen = observation.Observation(self.fleet.request.name, (), tuple(observation.Sentinel(n) for n in self.fleet.sentinels))
        if len(views) < seen.majority:
            raise _NotNow("a majority of the sentinels answers", f"{len(views)} of {len(self.fleet.sentinels)} do")
        busy = [f"{view.name}: {view.busy}" for view in views if view.busy]
        if busy:
            raise _NotNow("the sentinels are at rest", "; ".join(busy))
        if len({(view.master, view.epoch) for view in views}) > 1:
            raise _NotNow("all sentinels name one master at one epoch", "they do not")
        return views

    def _moment(self, asked: Endpoint, left: float) -> list[Known]:
        """Wait until the sentinel's last INFOs are of the right age. Returns the replicas that it would promote."""
        deadline = time.monotonic() + min(max(left, 2.0), 25.0)
        tried = False
        with self._together(asked) as together:
            while True:
                replicas = [observation.known(reply) for reply in asked.command("SENTINEL", "REPLICAS", self.fleet.request.name)]
                chosen = [one for one in replicas if one.priority and not one.down and one.link_ok]
                barred = [one for one in chosen if self.fleet.name_of(one.address) in self.barred]
                if together and chosen and not barred and all(one.info_refresh_ms < YOUNG_MS for one in replicas if not one.down):
                    break
                if time.monotonic() >= deadline or (not together and chosen and not barred):
                    break
                tried = tried or bool(chosen)
                time.sleep(POLL / 4)
        while True:
            replicas = [observation.known(reply) for reply in asked.command("SENTINEL", "REPLICAS", self.fleet.request.name)]
            chosen = [one for one in replicas if one.priority and not one.down and one.link_ok]
            barred = [one for one in chosen if self.fleet.name_of(one.address) in self.barred]
            ages = [one.info_refresh_ms for one in chosen]
            ready = chosen and not barred
            if ready and AGE_MS[0] <= max(ages) <= AGE_MS[1] and min(ages) >= AGE_MS[0] / 2:
                return chosen
            if time.monotonic() >= deadline:
                if ready:
                    return chosen  # it takes up to a second longer then
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
        views = self._views()
        asked = self.fleet.sentinels[views[0].name]
        old = self.fleet.server(self.fleet.name_of(views[0].master))
        self._ready(old)
        for endpoint in self.fleet.servers.values():  # connected before it counts
            with contextlib.suppress(StackgateError):
                endpoint.command("PING")
        chosen = [self.fleet.server(self.fleet.name_of(one.address)) for one in self._moment(asked, left)]
        begun = time.monotonic()
        old.command("CLIENT", "PAUSE", int(PAUSE * 1000), "WRITE")
        try:
            self._caught_up(old, chosen)
            asked.command("SENTINEL", "FAILOVER", self.fleet.request.name)
        except StackgateError as error:
            with contextlib.suppress(StackgateError):
                old.command("CLIENT", "UNPAUSE")
            if isinstance(error, Refused) and error.code in ("INPROG", "NOGOODSLAVE"):
                raise _NotNow("the sentinel begins a failover", error.seen) from error
            raise
        new = self._promoted(asked, old, chosen, begun)
        # Unpaused last: nobody writes to it in between, and those who wait are sent away to connect anew.
        ip, _colon, port = new.address.rpartition(":")
        replies = old.ask([("REPLICAOF", ip, port), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "UNPAUSE")])
        refused = next((reply for reply in replies if isinstance(reply, Refused)), None)
        if refused is not None:
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

    def _promoted(self, asked: Endpoint, old: Endpoint, chosen: list[Endpoint], begun: float) -> Endpoint:
        """The replica that says it is master, and to which the sentinel sends clients."""
        deadline = time.monotonic() + PROMOTION
        addresses = {endpoint.address: endpoint for endpoint in chosen}
        while True:
            told = asked.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.fleet.request.name) or ("", "")
            new = addresses.get(f"{told[0]}:{told[1]}")
            if new is not None and _is_master(new):
                return new
            if time.monotonic() >= deadline:
                raise StackgateError(
                    f"{asked.name} promotes a replica of {old.name}",
                    f"it has not; {old.name} takes writes again {PAUSE:g} s after the pause",
                    "see the sentinel's log",
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
