# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a member was started."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """The command line of mongod, as far as the double knows it."""

    port: int
    bind_ip: str = "127.0.0.1"
    dbpath: Path | None = None
    repl_set: str | None = None
    # Every key of the key file, the first one is the one to show; none: no login between members.
    keys: tuple[str, ...] = ()
    # --auth, implied by a key file.
    auth: bool = False
    # setParameter and whatever else getCmdLineOpts shows.
    argv: tuple[str, ...] = ("mongod",)
    parsed: dict[str, Any] = field(default_factory=dict)
    version: str = "5.0.7"
