# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what is declared. Each action may be done twice: what was interrupted is healed by the next look, or the next run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused, Server, Store
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Desired
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.plan import Action, Kind, plan
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.transport import Silent

# Seconds before another try.
PAUSE = 1.0


class Entrance(Protocol):
    """The way to the servers (reach.Entrance)."""

    def wait(self, timeout: float, say: Callable[[str], None], avoid: str = "") -> Server:
        """A server that takes writes, after up to so many seconds; another one than `avoid` where there is a choice."""


def converge(
    entrance: Entrance,
    keys: Keys,
    region: str,
    desired: Desired,
    timeout: float,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Action]:
    """Bring a store to what is declared; what was done.

    Servers that have just started answer late, or refuse for a moment though they say that all is well: then it is looked at anew, through
    another server, for up to `timeout` seconds. Raises Refused, Silent and what plan() raises.
    """
    begun, avoid = clock(), ""
    done: dict[str, Action] = {}
    try:
        while True:
            server = entrance.wait(max(0.0, timeout - (clock() - begun)), say, avoid)
            try:
                _once(server.store(keys, region), desired, done)
                return list(done.values())
            except (Refused, Silent) as error:
                if clock() - begun >= timeout or (isinstance(error, Refused) and not error.for_now):
                    raise
                say(f"{server.label} does not do it yet, trying again: {error.seen}")
            avoid = server.label
            sleep(PAUSE)
    except StackgateError as error:
        error.details = {"changed": bool(done), "actions": list(done), **error.details}
        raise


def _once(store: Store, desired: Desired, done: dict[str, Action]) -> None:
    """Look, plan, perform; what was done, or may have been, is added to `done` by its sentence."""
    for action in plan(desired, observe.observe(store, desired)):
        done[action.sentence] = action  # an answer that does not come leaves it done, maybe
        try:
            perform(store, [action])
        except Refused:
            del done[action.sentence]
            raise


def perform(store: Store, actions: Iterable[Action]) -> None:
    """One after another; the first that is refused ends it. Raises Refused and StackgateError of the client."""
    deeds: dict[Kind, Callable[[str, Any], Any]] = {
        Kind.MAKE_BUCKET: store.make_bucket,
        Kind.SET_VERSIONING: store.set_versioning,
        Kind.SET_RETENTION: store.set_retention,
        Kind.SET_LIFECYCLE: store.set_lifecycle,
        Kind.SET_QUOTA: store.set_quota,
        Kind.SET_POLICY: store.set_policy,
        Kind.SET_USER: lambda _target, keys: store.set_user(keys),
        Kind.GIVE_POLICY: lambda user, name: store.give_policy(name, user),
        Kind.REMOVE_USER: lambda user, _nothing: store.remove_user(user),
        Kind.REMOVE_POLICY: lambda name, _nothing: store.remove_policy(name),
        Kind.REMOVE_BUCKET: store.remove_bucket,
    }
    for action in actions:
        deeds[action.kind](action.target, action.value)


def difference(actions: Iterable[Action]) -> list[dict[str, Any]]:
    """For --diff: one entry per action, without a secret."""
    return [
        {"before_header": action.sentence, "after_header": action.sentence, "before": action.before or {}, "after": action.after or {}}
        for action in actions
    ]
