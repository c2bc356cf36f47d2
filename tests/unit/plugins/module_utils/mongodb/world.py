# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica set in memory that obeys server_rules: what a plan's steps meet. It is not the planner's own prediction.

Time passes only by `settle` (elections, initial syncs, configurations reaching everybody). Every command is checked against the
server's rules; a refusal fails the test that sent it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import (
    MemberObservation,
    Observation,
    PeerView,
    Standing,
    observe,
)
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.steps import Kind, Step
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb import server_rules

SET_ID = "6b01802713211e279f1885af"


class Illegal(AssertionError):
    """A command that the server refuses, or that the project must not send."""


@dataclass
class Process:
    """One server process: up or not, its stored configuration, whether it has the set's data."""

    host: str
    up: bool = True
    config: dict[str, Any] | None = None
    synced: bool = False


@dataclass
class World:
    """All processes of one set, and who of them is primary."""

    processes: dict[str, Process]
    version: tuple[int, ...] = (5, 0, 7)
    fcv: tuple[int, int] = (5, 0)
    primary: str | None = None
    term: int = 1
    default_write_concern_set: bool = False
    frozen: set[str] = field(default_factory=set)
    novel: frozenset[str] = frozenset()
    hosts_of_ids: dict[int, set[str]] = field(default_factory=dict)

    @classmethod
    def fresh(cls, hosts: Iterable[str], **more: Any) -> World:
        return cls({host: Process(host) for host in hosts}, **more)

    @classmethod
    def running(cls, config: dict[str, Any], others: Iterable[str] = (), **more: Any) -> World:
        """A set that has this configuration, and further processes that were never initiated."""
        world = cls.fresh([*(member["host"] for member in config["members"]), *others], **more)
        for member in config["members"]:
            process = world.processes[member["host"]]
            process.config, process.synced = config, True
        world._remember(config)
        world.settle()
        return world

    # What is seen

    def observe(self, unseen: Iterable[str] = ()) -> Observation:
        """As the module would see it; `unseen`: hosts that only the members can reach."""
        return observe("rs0", [self._member(process, process.host in set(unseen)) for process in self.processes.values()])

    def _member(self, process: Process, unseen: bool) -> MemberObservation:
        if not process.up or unseen:
            return MemberObservation(process.host, Standing.UNREACHABLE, error="no answer")
        if process.config is None:
            return MemberObservation(process.host, Standing.UNINITIALISED, has_user_data=False, version=self.version)
        config = ReplicaSetConfig(process.config)
        entry = config.member(process.host)
        if entry is None:
            return MemberObservation(process.host, Standing.REMOVED, set_name="rs0", config=config)
        leads = process.host == self.primary
        return MemberObservation(
            process.host,
            Standing.MEMBER,
            me=process.host,
            state=self.state(process.host),
            set_name="rs0",
            config=config,
            writable=leads,
            primary=self.primary,
            peers=tuple(self._peer(member.host) for member in config.members if member.host != process.host),
            term=self.term,
            version=self.version,
            fcv=self.fcv,
            default_write_concern_set=self.default_write_concern_set if leads else None,
        )

    def _peer(self, host: str) -> PeerView:
        state = self.state(host)
        return PeerView(host, state, state != "DOWN", True, "", 1, 1, None, None)

    def state(self, host: str) -> str:
        process = self.processes[host]
        entry = next((m for m in (process.config or {}).get("members", ()) if m["host"] == host), None)
        if not process.up or entry is None:
            return "DOWN"
        if host == self.primary:
            return "PRIMARY"
        if server_rules.arbiter(entry):
            return "ARBITER"
        return "SECONDARY" if process.synced else "STARTUP2"

    @property
    def config(self) -> dict[str, Any]:
        """The newest configuration that any process has."""
        found = [process.config for process in self.processes.values() if process.config is not None]
        return max(found, key=lambda config: config["version"])

    # What happens

    def settle(self) -> None:
        """Heartbeats: everybody up gets the newest configuration, copies the data, and elects a primary when none is there."""
        if not any(process.config for process in self.processes.values()):
            return
        config = self.config
        members = {member["host"]: member for member in config["members"]}
        for process in self.processes.values():
            if process.up and (process.host in members or process.config is not None):
                process.config = config
        up = [host for host in members if self.processes[host].up]
        voting = sum(server_rules.votes(members[host]) for host in up)
        has_majority = voting >= server_rules.majority(config)
        if self.primary is not None and (self.primary not in up or not has_majority):
            self.primary = None
        if self.primary is None and has_majority:
            able = [host for host in up if server_rules.priority(members[host]) and self.processes[host].synced and host not in self.frozen]
            if able:
                self.primary = max(able, key=lambda host: server_rules.priority(members[host]))
                self.term += 1
            self.frozen.clear()
        if self.primary is not None:
            for host in up:
                self.processes[host].synced = not server_rules.arbiter(members[host])

    def bump(self) -> None:
        """A reconfiguration by the server itself, or by somebody else, between two steps: the same contents, the next version."""
        if self.primary is not None:
            self.processes[self.primary].config = {**self.config, "version": self.config["version"] + 1}

    def do(self, step: Step) -> None:
        """Carries out the command of a step, as the server would."""
        if step.waits:
            return
        command = dict(step.command or {})
        process = self.processes[step.send_to]
        if not process.up:
            raise Illegal(f"{step.kind}: {step.send_to} is down")
        if step.kind is Kind.INITIATE:
            self._initiate(process, command["replSetInitiate"])
        elif step.kind is Kind.STEP_DOWN:
            self._step_down(process)
        elif step.kind is Kind.SET_DEFAULT_WRITE_CONCERN:
            self._lead(process)
            if self.version < (4, 4):
                raise Illegal("no such command: setDefaultRWConcern")
            self.default_write_concern_set = True
        else:
            self._reconfigure(process, command["replSetReconfig"])

    def server(self, host: str) -> server_rules.Server:
        alive = frozenset(process.host for process in self.processes.values() if process.up)
        return server_rules.Server(
            host, "rs0", self.version, self.fcv, alive, self.default_write_concern_set, frozenset({*self.novel, "replicaSetId"})
        )

    def _lead(self, process: Process) -> None:
        if process.host != self.primary:
            raise Illegal(f"{process.host} is not the primary ({self.primary} is)")

    def _initiate(self, process: Process, config: dict[str, Any]) -> None:
        if process.config is not None:
            raise Illegal("already initialized")
        if any(other.config is not None for other in self.processes.values()):
            raise Illegal("there is a set already")
        if found := server_rules.initiate(config, self.server(process.host)):
            raise Illegal(f"initiate: {found}")
        process.config = {**config, "term": 1, "settings": {**config.get("settings", {}), "replicaSetId": SET_ID}}
        process.synced = True
        self._remember(config)

    def _reconfigure(self, process: Process, config: dict[str, Any]) -> None:
        self._lead(process)
        old = self.config
        if found := [*server_rules.reconfigure(old, config, self.server(process.host)), *server_rules.stricter(old, config)]:
            raise Illegal(f"{found}\nold: {old}\nnew: {config}")
        process.config = config
        self._remember(config)

    def _step_down(self, process: Process) -> None:
        self._lead(process)
        members = [m for m in self.config["members"] if m["host"] != process.host and server_rules.priority(m)]
        if not any(self.processes[m["host"]].up and self.processes[m["host"]].synced for m in members):
            raise Illegal("no electable secondary has caught up")
        self.primary, self.frozen = None, {process.host}

    def _remember(self, config: dict[str, Any]) -> None:
        for member in config["members"]:
            self.hosts_of_ids.setdefault(member["_id"], set()).add(member["host"])
