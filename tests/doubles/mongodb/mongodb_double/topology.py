# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member believes about its set: configuration, states, term, primary, commit point. Decides, and does not act."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from .clock import Clock
from .config import Config, Member
from .members import View
from .optime import NOWHERE, NULL, OpTime, Position
from .signals import Signal
from .states import Leader, State
from .store import Store

if TYPE_CHECKING:
    from .initial_sync import SyncProgress

# A takeover by priority needs a member that lags by less, in seconds.
TAKEOVER_FRESHNESS = 2.0


@dataclass
class Metrics:
    """What serverStatus and replSetGetStatus tell about elections."""

    candidate: dict[str, Any] | None = None
    participant: dict[str, Any] | None = None
    called: dict[str, int] = field(default_factory=dict)
    successful: dict[str, int] = field(default_factory=dict)
    step_downs_by_higher_term: int = 0
    caught_up: int = 0


class Topology:
    def __init__(self, clock: Clock, store: Store, set_name: str | None) -> None:
        self._clock = clock
        self._store = store
        self.set_name = set_name
        self.started = clock.now()
        self.config: Config | None = None
        # Our member of it; None: the configuration is without us, or we do not find ourselves.
        self.me: Member | None = None
        self.follower = State.STARTUP
        self.leader = Leader.NO
        self.candidate = False
        self.maintenance = 0
        self.frozen_until = 0.0
        self.term = 0
        self.primary_id: int | None = None
        self.election_time = Timestamp(0, 0)
        self.views: dict[int, View] = {}
        self.committed: Position = NOWHERE
        # The commit point when the configuration was installed: it must be committed again under this one.
        self.committed_before_config: OpTime = NULL
        self.forced = False
        self.sync_source = ""
        self.info_message = ""
        # While an initial sync lasts; and what was copied, before it is ours.
        self.sync_progress: SyncProgress | None = None
        self.pending_position: dict[str, Any] | None = None
        # Server seconds at which the process will be gone; None: it is not about to.
        self.quiesce_until: float | None = None
        self.metrics = Metrics()
        self.process_id = ObjectId()
        self.version = 0
        # A change that hello shows; progress of replication, of anybody.
        self.changed = Signal(clock)
        self.progress = Signal(clock)

    # States

    @property
    def state(self) -> State:
        if self.config is None:
            return State.STARTUP
        if self.me is None:
            return State.REMOVED
        if self.leader is not Leader.NO:
            return State.PRIMARY
        if self.me.arbiter:
            return State.ARBITER
        if self.follower is State.SECONDARY and (self.maintenance or self._all_others_refuse_us()):
            return State.RECOVERING
        return self.follower

    @property
    def replicated(self) -> bool:
        """Started with --replSet."""
        return self.set_name is not None

    @property
    def writable(self) -> bool:
        return not self.replicated or self.leader is Leader.WRITABLE

    @property
    def readable(self) -> bool:
        return not self.replicated or self.state in (State.PRIMARY, State.SECONDARY)

    def _all_others_refuse_us(self) -> bool:
        """A key that differs from everyone else's (recorded: 08c)."""
        return any(view.auth_issue for view in self.views.values()) and not any(view.up for view in self.views.values())

    def bump(self) -> None:
        """Something changed that hello shows."""
        self.version += 1
        self.changed.notify()

    def set_follower(self, state: State) -> None:
        if self.follower is not state:
            self.follower = state
            self.bump()

    # Configuration and membership

    def install(self, config: Config, me: Member | None) -> None:
        """The new configuration; what was known of members that stay is kept."""
        old = self.views
        self.committed_before_config = self.committed.optime
        # A new term alone is nothing that hello shows (recorded: 13, step 51).
        shown = self.config is None or self.config.version != config.version or (self.me is None) != (me is None)
        self.config, self.me = config, me
        others = [member for member in config.members if me is None or member.id != me.id]
        now = self._clock.monotonic()
        self.views = {}
        for member in others if me is not None else []:
            known = old.get(member.id)
            self.views[member.id] = (
                known if known is not None and known.host == member.host else View(member.id, member.host, last_update=now)
            )
            self.views[member.id].fresh = False
        if self.primary_id is not None and config.member(self.primary_id) is None:
            self.primary_id = None
        self.progress.notify()
        if shown:
            self.bump()

    @property
    def my_id(self) -> int:
        return -1 if self.me is None else self.me.id

    @property
    def set_id(self) -> ObjectId | None:
        return None if self.config is None else self.config.set_id

    def voters_that(self, holds: dict[int, bool]) -> int:
        assert self.config is not None
        return sum(holds.get(member.id, False) for member in self.config.voters)

    def sees_majority(self) -> bool:
        if self.config is None:
            return False
        up = {view.member_id: view.up for view in self.views.values()} | {self.my_id: True}
        return self.voters_that(up) >= self.config.majority

    def config_is_committed(self) -> bool:
        """A majority of its voters is known to have it."""
        if self.config is None:
            return False
        stamp = tuple(self.config.stamp)
        have = {view.member_id: (view.config_version, view.config_term) == stamp for view in self.views.values()} | {self.my_id: True}
        return self.voters_that(have) >= self.config.majority

    def old_writes_are_committed(self) -> bool:
        """What was committed under the configuration before is so under this one."""
        if self.config is None or self.forced:
            return True
        have = {view.member_id: view.applied.optime >= self.committed_before_config for view in self.views.values()}
        have[self.my_id] = True
        return self.voters_that(have) >= min(self.config.write_majority, self.config.majority)

    # Term and primary

    def know_primary(self, member_id: int | None) -> None:
        """An awaitable hello is not told: it shows the new primary when its time is up (recorded: 13, step 51)."""
        self.primary_id = member_id

    def find_primary(self) -> None:
        """From what the heartbeats said: the one that is PRIMARY in our term."""
        if self.leader is not Leader.NO:
            return
        candidates = [view for view in self.views.values() if view.up and view.state is State.PRIMARY and view.term == self.term]
        self.know_primary(candidates[-1].member_id if candidates else None)

    @property
    def primary_host(self) -> str | None:
        member = None if self.config is None else self.config.member(self.primary_id)
        return None if member is None else member.host

    def unelectable_because(self, takeover: bool = False) -> str | None:
        """Why we cannot become the primary now; None: we can."""
        if self.config is None or self.me is None:
            return "not a member"
        if self.me.arbiter or not self.me.electable:
            return "not electable"
        if self.state is not State.SECONDARY:
            return f"in state {self.state.text}"
        if self.frozen_until > self._clock.monotonic():
            return "frozen, or stepped down"
        if self.quiesce_until is not None:
            return "shutting down"
        if not self.sees_majority():
            return "cannot see a majority"
        if takeover and self._seconds_behind() >= TAKEOVER_FRESHNESS:
            return "too far behind for a takeover"
        return None

    def _seconds_behind(self) -> float:
        latest = max((view.beat_applied for view in self.views.values() if view.up), default=NOWHERE)
        own = self._store.applied
        return 0.0 if latest <= own else (latest.wall - own.wall).total_seconds()

    def outranks_primary(self) -> bool:
        """The primary has a lower priority than we."""
        primary = None if self.config is None else self.config.member(self.primary_id)
        return primary is not None and self.me is not None and primary.id != self.me.id and self.me.priority > primary.priority

    def takeover_delay(self) -> float:
        """Seconds after which we take over, so that the one with the highest priority is first."""
        assert self.config is not None and self.me is not None
        rank = sum(member.priority > self.me.priority for member in self.config.members)
        return (rank + 1) * self.config.election_timeout

    # Replication

    def positions(self) -> dict[int, tuple[Position, Position]]:
        """Applied and durable of every member, ourselves included."""
        known = {view.member_id: (view.applied, view.durable) for view in self.views.values()}
        if self.me is not None and not self.me.arbiter:
            known[self.my_id] = (self._store.applied, self._store.durable)
        return known

    def advance_commit(self) -> None:
        """The primary counts: what a majority has on disk, if it is of our own term."""
        if self.config is None or self.leader is Leader.NO:
            return
        durable = self.config.journal_default
        voters = {member.id for member in self.config.writable_voters}
        reached = sorted((pair[1 if durable else 0].optime for key, pair in self.positions().items() if key in voters), reverse=True)
        if len(reached) < self.config.write_majority:
            return
        optime = reached[self.config.write_majority - 1]
        if optime.term == self.term and optime > self.committed.optime:
            self._commit(self._store.at_or_before(optime))

    def learn_commit(self, position: Position, from_sync_source: bool) -> None:
        """What another member says is committed, as far as we have it ourselves; an arbiter has nothing and believes it."""
        applied = self._store.applied
        if self.me is not None and self.me.arbiter:
            self._commit(position)
        elif from_sync_source or position.optime.term == applied.optime.term:
            self._commit(self._store.at_or_before(min(position, applied).optime))

    def _commit(self, position: Position) -> None:
        if position.optime > self.committed.optime:
            self.committed = position
            self.progress.notify()

    @property
    def majority_read(self) -> OpTime:
        """What a read with concern majority sees."""
        return self.committed.optime if self.replicated else self._store.applied.optime

    def now(self) -> datetime:
        return self._clock.now()
