# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill breaks, and how that is repaired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.drill import guard
from ansible_collections.stackgate.k3s.plugins.module_utils.drill.store import Store
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# The faults, with what each does to the leader.
KINDS = {
    "process": "the server's process is killed (SIGKILL)",
    "pod": "its pod is deleted with no grace",
    "node": "its node is powered off, and on again when writes are accepted",
    "network": "its node is cut off the network, and connected again when writes are accepted",
    "switchover": "another member takes over, as planned",
    "all_pods": "the pods of all members are deleted at once, with no grace",
}
# Those that break a node: the command that breaks, and the one that repairs.
NODE_COMMANDS = {"node": ("off", "on"), "network": ("cut", "heal")}
# Seconds for a command that breaks or repairs a node.
COMMAND_TIMEOUT = 300.0


class Hands(Protocol):
    """What is done to pods; see place.Place."""

    def delete(self, pods: Sequence[str]) -> None:
        """Delete them at once, with no grace."""

    def kill(self, pod: str, port: int, processes: Sequence[str]) -> None:
        """Kill these processes."""


@dataclass
class Fault:
    """One fault. words: what it does, as a sentence. strike: does it. repair: undoes it; harmless when nothing is broken."""

    words: str
    strike: Callable[[], None]
    repair: Callable[[], None] = field(default=lambda: None)


def fault(kind: str, store: Store, hands: Hands, leader: str, node: str, commands: Mapping[str, Sequence[str]]) -> Fault:
    """The fault of this kind. leader, node: the leader's pod, and where it is. commands: see node_commands()."""
    who = f"{leader} ({store.leader_word}, on {node})"
    if kind == "process":
        return Fault(f"kill the server's process of {who}", lambda: hands.kill(leader, store.port, store.processes))
    if kind == "pod":
        return Fault(f"delete the pod {who} with no grace", lambda: hands.delete([leader]))
    if kind == "all_pods":
        return Fault(f"delete all pods at once: {', '.join(store.members)}", lambda: hands.delete(list(store.members)))
    if kind == "switchover":
        return Fault(f"another member takes over from {who}", lambda: _switch(store))
    breaks, repairs = (node_command(commands, name, node) for name in NODE_COMMANDS[kind])
    guarded = _Guarded(breaks, repairs)
    words = {"node": f"power {node} off, with {who}", "network": f"cut {node} off the network, with {who}"}
    return Fault(words[kind], guarded.strike, guarded.repair)


def check_commands(kinds: Sequence[str], commands: Mapping[str, Sequence[str]]) -> None:
    """Raises StackgateError when a fault needs a command that is not there."""
    for kind in kinds:
        missing = [name for name in NODE_COMMANDS.get(kind, ()) if not commands.get(name)]
        if missing:
            raise StackgateError(
                f"node_commands has {' and '.join(NODE_COMMANDS[kind])}, for the fault {kind}",
                f"it lacks {' and '.join(missing)}",
                "the variable drill_node_commands says how a node is broken and repaired where you are (docs/drills.md)",
            )


def node_command(commands: Mapping[str, Sequence[str]], name: str, node: str) -> list[str]:
    """A command with the node's name where it says {node}."""
    return [str(word).replace("{node}", node) for word in commands[name]]


def _switch(store: Store) -> None:
    store.switchover()


class _Guarded:
    """A node that is broken by a command, and repaired by another one, come what may."""

    def __init__(self, breaks: Sequence[str], repairs: Sequence[str]) -> None:
        self._breaks, self._repairs = breaks, repairs
        self._guard: guard.Guard | None = None

    def strike(self) -> None:
        self._guard = guard.Guard(self._repairs)
        guard.run(self._breaks, COMMAND_TIMEOUT)

    def repair(self) -> None:
        there, self._guard = self._guard, None
        if there is not None:
            there.repair(COMMAND_TIMEOUT)
