# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write as an application makes it: with its user, by its way, acknowledged by a replica, and read back by every way there is.

One small key is written again and again, so that nothing grows.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Endpoint, Refused
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.reach import ask_all

KEY = "stackgate:gate"
# Seconds for which it stays when nobody writes it again.
KEPT = 3600
# Seconds in which a replica must acknowledge.
WAIT = 2.0


def write_and_read(ways: Sequence[Endpoint], acknowledged: int) -> str:
    """Write by the first way, have `acknowledged` replicas confirm it, read by all. Returns what was done, in words.

    Raises StackgateError: the server's words, or what was read instead.
    """
    value, first = secrets.token_hex(8), ways[0]
    begun = time.monotonic()
    commands: list[tuple[str | int, ...]] = [("SET", KEY, value, "EX", KEPT)]
    if acknowledged:
        commands.append(("WAIT", acknowledged, int(WAIT * 1000)))
    replies = first.ask(commands, timeout=WAIT + 1)
    for reply in replies:
        if isinstance(reply, Refused):
            raise reply
    if acknowledged and int(replies[1]) < acknowledged:
        raise StackgateError(
            f"a write through {first.name} is acknowledged by {acknowledged} replica{'' if acknowledged == 1 else 's'}",
            f"{replies[1]} did within {WAIT:g} s",
        )
    seconds = time.monotonic() - begun
    for name, answer in ask_all(ways, lambda way: way.command("GET", KEY)).items():
        if isinstance(answer, StackgateError):
            raise answer
        if answer != value:
            raise StackgateError(
                f"what was written through {first.name} is read through {name}",
                "an older value" if answer else "nothing",
                "do both lead to the same master?",
            )
    by = f", acknowledged by {replies[1]} replica{'' if int(replies[1]) == 1 else 's'}" if acknowledged else ""
    return f"a write in {seconds * 1000:.0f} ms{by}, read back through {f'each of {len(ways)}' if len(ways) > 1 else first.name}"
