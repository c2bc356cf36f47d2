# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill asks of a store."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.drill.writers import Client

# Makes a socket to the proxy or pooler; the argument is seconds for connecting. Raises StackgateError or OSError.
Dial = Callable[[float], socket.socket]


@dataclass(frozen=True)
class Series:
    """Writes of one kind. promised: whether the store promises to keep what it acknowledges, whatever breaks."""

    name: str
    promised: bool


class Route(Protocol):
    """The application's way into the store, through one proxy. Every method may raise StackgateError but where it says otherwise."""

    def prepare(self) -> None:
        """Make what the writes go into; empty, whatever an earlier drill has left."""

    def connect(self, series: str) -> Client:
        """A connection that writes. Raises Refused."""

    def present(self, series: str, sequences: Collection[int]) -> set[int]:
        """Which of these writes the store has, by its leader's word."""

    def clean(self) -> None:
        """Remove what the drill wrote."""


class Store(Protocol):
    """A store with a leader and members in pods. Every method may raise StackgateError.

    name: as in the table. leader_word: what its leader is called. members: names of the pods. port: of the server in its pod.
    processes: names of the server's process. patience: seconds after which a write has ended, however it ends.
    """

    name: str
    leader_word: str
    members: Sequence[str]
    port: int
    processes: Sequence[str]
    series: Sequence[Series]
    patience: float

    def leader(self) -> str:
        """The leader's pod."""

    def switchover(self) -> str:
        """Have another member lead, in the planned way; its pod."""

    def route(self, dial: Dial) -> Route:
        """The way through a proxy."""
