# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what a plan says. Each action may be done twice: an interrupted run is healed by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Store
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.plan import Action, Kind


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
