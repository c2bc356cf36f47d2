# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of commands: each family registers its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

Document = dict[str, Any]
# (node, connection, database, body) -> reply without ok; raises CommandError.
Handler = Callable[["Node", "ConnectionState", str, Document], Awaitable[Document]]
# always: also where there is no data; opt_in: on a secondary with a read preference; never: only on a writable primary.
Where = Literal["always", "opt_in", "never"]


@dataclass(frozen=True)
class Command:
    name: str
    run: Handler
    admin_only: bool = False
    where: Where = "always"
    # Takes a writeConcern and waits for it.
    write_concern: bool = False
    # Answered before a login (hello, ping, buildInfo, sasl*).
    before_login: bool = False
    # Only members send it: with key files, only they may.
    internal: bool = False
    # An opt_in command that decides itself what to say where there is no data.
    maintenance_ok: bool = False


COMMANDS: dict[str, Command] = {}


def command(*names: str, **properties: Any) -> Callable[[Handler], Handler]:
    """Register a handler under its names; the first one is its real name. Properties: those of Command."""

    def register(run: Handler) -> Handler:
        entry = Command(names[0], run, **properties)
        COMMANDS.update(dict.fromkeys(names, entry))
        return run

    return register
