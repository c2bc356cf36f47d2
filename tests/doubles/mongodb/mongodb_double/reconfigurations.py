# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a member comes to a new configuration: by order, by heartbeat, by itself (recorded: 04*, 06c, 09*, 10)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import quorum
from .config import Config, ConfigError, Member, parse
from .config_rules import IMPLICIT_WRITE_CONCERN, validate, validate_change
from .errors import CommandError
from .registry import Document
from .self_detection import find_self
from .states import Leader, State

if TYPE_CHECKING:
    from .node import Node

IN_PROGRESS = "Cannot run replSetReconfig because the node is currently updating its configuration"
CUSTOM_DEFAULTS = (
    "Failed to reconfig: Replica set config contains customized getLastErrorDefaults, which has been deprecated and is now ignored. "
    "Use setDefaultRWConcern instead to set a cluster-wide default writeConcern."
)
# Seconds between finding oneself in a configuration again and being a secondary (recorded: 10, steps 33-34).
REJOINING = 0.05
# Seconds that it takes to come to a first configuration by heartbeat, so that initiates at the same time do not see each other (03c).
FIRST = 0.3
# Seconds that a vote to be granted waits for the configuration before to be a majority's; the next heartbeat tries again.
GRANTING = 1.0
# And then some, in which other reconfigurations may come first (recorded: 04c, 04d).
BEFORE_GRANTING = 0.25
# Seconds that an initiate waits for the first heartbeats to be answered.
FIRST_ANSWERS = 0.5


class Reconfigurations:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._topology = node.topology
        self._busy = False
        # A configuration came by heartbeat and is about to be looked at.
        self._learning = False
        # Newly added members that are about to count.
        self._granting: set[int] = set()
        # Orders take their turn; what the member does by itself does not wait.
        self._turn = asyncio.Lock()

    # Installing

    async def load(self) -> None:
        """At start: the stored configuration."""
        document = self._node.store.config
        if document is None or not self._topology.replicated:
            return
        config = parse(document)
        found = await find_self(self._node, config) if config.name == self._topology.set_name else []
        self._activate(config, found[0] if len(found) == 1 else None)

    async def install(self, config: Config, me: Member | None) -> None:
        """Store it and live by it."""
        await self._node.store.save_config(config.document())
        self._activate(config, me)

    def _activate(self, config: Config, me: Member | None) -> None:
        node, topology = self._node, self._topology
        was_out = topology.me is None
        topology.install(config, me)
        if me is None:
            topology.sync_source, topology.follower = "", State.RECOVERING
            node.elections.step_down_now()
            node.elections.stop()
        elif was_out:
            if node.store.copying or (not node.store.oplog and not me.arbiter):
                topology.set_follower(State.STARTUP2)
            else:
                topology.set_follower(State.SECONDARY if topology.follower is State.STARTUP else State.RECOVERING)
                node.spawn(self._rejoin())
        elif topology.leader is not Leader.NO and not me.electable:
            node.elections.step_down_now()
        node.heartbeats.restart()
        if me is not None:
            node.elections.configured()
        topology.progress.notify()

    async def _rejoin(self) -> None:
        if self._topology.follower is State.RECOVERING:
            await self._node.clock.sleep(REJOINING)
            self._topology.set_follower(State.SECONDARY)
        self._node.elections.if_alone()

    def install_from_heartbeat(self, config: Config) -> None:
        """A member has a newer one; or the one we have, in which we did not find ourselves yet."""
        if not self._busy and not self._learning:
            self._learning = True
            self._node.spawn(self._from_heartbeat(config))

    async def _from_heartbeat(self, config: Config) -> None:
        topology = self._topology
        if topology.config is None:
            await self._node.clock.sleep(FIRST)
        self._learning = False
        if self._busy:
            return
        self._busy = True
        try:
            if config.name != topology.set_name:
                return
            me = await self._myself(config)
            if topology.config is not None and not topology.config.stamp.older_than(config.stamp):
                if topology.me is None and me is not None and topology.config.stamp == config.stamp:
                    self._activate(config, me)
                return
            topology.forced = config.term == -1
            await self.install(config, me)
        finally:
            self._busy = False

    async def _myself(self, config: Config) -> Member | None:
        """Ourselves in it; where the members are the same we are who we were, whatever names say now (recorded: 09, step 45)."""
        topology = self._topology
        if topology.config is not None and topology.me is not None:
            hosts, before = ([(member.id, member.host) for member in each.members] for each in (config, topology.config))
            if hosts == before:
                return config.member(topology.my_id)
        found = await find_self(self._node, config)
        return found[0] if len(found) == 1 else None

    async def adopt_term(self, term: int) -> None:
        """A new primary puts its term into the configuration."""
        topology = self._topology
        assert topology.config is not None and topology.me is not None
        config = topology.config.with_(term=term)
        topology.config = config
        await self._node.store.save_config(config.document())
        topology.bump()
        self._node.heartbeats.restart()

    async def rewrite(self, config: Config) -> None:
        """A reconfiguration of our own that changes how the configuration is written; return when a majority has it."""
        async with self._turn:
            await self._wait_until_committed(None)
            await self.install(config, config.member(self._topology.my_id))
        await self._wait_until_spread(None)

    def grant_vote(self, member_id: int) -> None:
        """A newly added member has its data: let its vote count, by a reconfiguration of our own."""
        if member_id not in self._granting:
            self._granting.add(member_id)
            self._node.spawn(self._grant_vote(member_id))

    async def _grant_vote(self, member_id: int) -> None:
        topology = self._topology
        committed = await topology.progress.until(topology.config_is_committed, GRANTING)
        await self._node.clock.sleep(BEFORE_GRANTING)
        self._granting.discard(member_id)
        if self._busy or not committed:
            return
        self._busy = True
        try:
            config = topology.config
            member = None if config is None else config.member(member_id)
            if config is None or member is None or not member.newly_added or topology.leader is not Leader.WRITABLE:
                return
            members = tuple(replace(member, newly_added=False) if member.id == member_id else member for member in config.members)
            new = config.with_(version=config.version + 1, term=topology.term, members=members)
            await quorum.check(self._node, new, initiate=False)
            if topology.config is config and topology.leader is Leader.WRITABLE:
                await self.install(new, new.member(topology.my_id))
        except CommandError:
            # The next heartbeat tries again.
            return
        finally:
            self._busy = False

    # By order

    @contextmanager
    def initiating(self) -> Iterator[None]:
        """Only one at a time. Raises CommandError 23."""
        if self._busy or self._topology.config is not None:
            raise CommandError(23, "already initialized")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def initiate(self, config: Config, me: Member) -> None:
        """The first configuration, which everyone must agree with. Raises CommandError."""
        topology = self._topology
        self._node.assumed_host = me.host
        await quorum.check(self._node, config, initiate=True)
        self._node.begin_history()
        await self.install(config, me)
        self._node.elections.put_off(first=True)
        await topology.progress.until(lambda: all(view.fresh for view in topology.views.values()), FIRST_ANSWERS)

    async def reconfigure(self, document: Any, force: bool, max_seconds: float | None) -> None:
        """replSetReconfig, check for check. Raises CommandError."""
        node = self._node
        if not isinstance(document, dict):
            raise CommandError(None, "no configuration specified")
        deadline = None if max_seconds is None else node.clock.monotonic() + max_seconds
        if force:
            await self._change(document, force=True)
            return
        try:
            async with node.clock.timeout(max_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise CommandError(308, f"New config is rejected :: caused by :: {self._not_spread()}") from None
        try:
            self._require_primary()
            await self._wait_until_committed(deadline)
            await self._change(document, force=False)
        finally:
            self._turn.release()
        await self._wait_until_spread(deadline)

    def _require_primary(self) -> None:
        state = self._topology.state
        if self._topology.leader is not Leader.WRITABLE:
            raise CommandError(
                10107,
                "New config is rejected :: caused by :: replSetReconfig should only be run on a writable PRIMARY. "
                f"Current state {state.text};",
            )

    def _not_spread(self) -> str:
        stamp = "" if self._topology.config is None else self._topology.config.stamp
        return f"Current config with {stamp} has not yet propagated to a majority of nodes :: caused by :: operation exceeded time limit"

    async def _wait_until_committed(self, deadline: float | None) -> None:
        """The configuration we have must be a majority's, and what was committed before it must be committed under it."""
        topology = self._topology

        def lost() -> bool:
            return topology.leader is not Leader.WRITABLE

        for holds, words in ((topology.config_is_committed, self._not_spread), (topology.old_writes_are_committed, self._not_committed)):
            if not await topology.progress.until(lambda holds=holds: lost() or holds(), self._left(deadline)):
                raise CommandError(308, f"New config is rejected :: caused by :: {words()}")
            if lost():
                raise CommandError(10107, f"Safe reconfig is only allowed on a writable PRIMARY. Current state is {topology.state.text}")

    def _not_committed(self) -> str:
        topology = self._topology
        stamp = "" if topology.config is None else topology.config.stamp
        return (
            f"Last committed optime in the previous config ({topology.committed_before_config}) has not yet become committed in the "
            f"current config with {stamp} :: caused by :: operation exceeded time limit"
        )

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._node.clock.monotonic())

    async def _wait_until_spread(self, deadline: float | None) -> None:
        topology = self._topology
        term = topology.term

        def lost() -> bool:
            return topology.leader is Leader.NO or topology.term != term

        installed = topology.config
        done = await topology.progress.until(
            lambda: lost() or topology.config is not installed or topology.config_is_committed(), self._left(deadline)
        )
        if lost():
            words = self._not_spread().replace("operation exceeded time limit", "Primary stepped down while waiting for replication")
            raise CommandError(189, f"Reconfig finished but failed to propagate to a majority :: caused by :: {words}")
        if not done:
            raise CommandError(50, f"Reconfig finished but failed to propagate to a majority :: caused by :: {self._not_spread()}")

    async def _change(self, document: Document, force: bool) -> None:
        node, topology = self._node, self._topology
        if self._busy:
            raise CommandError(109, IN_PROGRESS)
        self._busy = True
        try:
            old = topology.config
            assert old is not None
            new = self._proposed(document, old, force)
            me = await self._find_me(new, old, force)
            if not force:
                await quorum.check(node, new, initiate=False)
                if topology.leader is not Leader.WRITABLE:
                    raise CommandError(
                        10107, f"Safe reconfig is only allowed on a writable PRIMARY. Current state is {topology.state.text}"
                    )
            topology.forced = force
            await self.install(new, me)
        finally:
            self._busy = False

    def _proposed(self, document: Document, old: Config, force: bool) -> Config:
        """Parsed and valid. Raises CommandError 93 or 103."""
        node, topology = self._node, self._topology
        try:
            given = parse(document)
        except ConfigError as error:
            raise CommandError(93, str(error)) from None
        if given.name != topology.set_name:
            raise CommandError(
                93,
                "Rejecting reconfig where new config set name differs from command line set name, "
                f"new config set name: {given.name}, command line set name: {topology.set_name}",
            )
        if any(member.newly_added for member in given.members):
            raise CommandError(93, "Cannot provide 'newlyAdded' field to member config during reconfig.")
        if force:
            version = max(old.version, given.version) + random.randint(10_000, 110_000)
            new = given.with_(version=version, term=-1)
        else:
            new = given.with_(term=topology.term, members=tuple(self._on_probation(member, old) for member in given.members))
        new = new.with_(set_id=given.set_id or old.set_id, old_delay_name=node.fcv != "5.0")
        if node.concerns.write is None and new.implicit_majority != old.implicit_majority:
            raise CommandError(103, IMPLICIT_WRITE_CONCERN)
        defaults = given.settings["getLastErrorDefaults"]
        if defaults.get("w", 1) != 1 or defaults.get("wtimeout", 0) != 0:
            raise CommandError(5624102, CUSTOM_DEFAULTS)
        try:
            validate(new, newest_fcv=node.fcv == "5.0")
            validate_change(old, new, force)
        except ConfigError as error:
            raise CommandError(103, str(error)) from None
        return new

    def _on_probation(self, member: Member, old: Config) -> Member:
        """A voter that is new counts only when it has its data."""
        before = old.member(member.id)
        is_new = before is None or before.newly_added
        return replace(member, newly_added=is_new and member.votes > 0 and not member.arbiter and self._node.fcv == "5.0")

    async def _find_me(self, new: Config, old: Config, force: bool) -> Member | None:
        """Ourselves in it. Raises CommandError 74, 93 or 104 where we must be in it."""
        found = await find_self(self._node, new)
        if len(found) > 1:
            hosts = " and ".join(member.host for member in found)
            raise CommandError(
                93, f"The hosts {hosts} all map to this node in new configuration with {new.stamp} for replica set {new.name}"
            )
        me = found[0] if found else None
        unchanged = new.with_(version=old.version, term=old.term).document() == old.document()
        if force or unchanged:
            return me if me is not None or force else self._topology.me
        if me is None:
            raise CommandError(74, f"No host described in new configuration with {new.stamp} for replica set {new.name} maps to this node")
        if not me.electable:
            raise CommandError(104, not_electable(me, new))
        return me


def not_electable(me: Member, config: Config) -> str:
    return (
        f"This node, {me.host}, with _id MemberId({me.id}) is not electable under the new configuration with {config.stamp} "
        f"for replica set {config.name}"
    )
