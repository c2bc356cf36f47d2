# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication slots of members that have gone: they make the leader keep WAL that nobody will fetch.

Patroni keeps such a slot for member_slots_ttl (30 minutes unless told), in case the member comes back, and makes it anew when somebody
drops it. A member that was taken out of the cluster does not come back: for it alone, the time is made short for a moment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Member, Members

SLOTS = "SELECT slot_name, active FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary ORDER BY 1"
TTL = "member_slots_ttl"
# Seconds in which Patroni lets go: the change of its configuration wakes it, and two rounds do it. And in which the server finds out
# that a member which fetched through its slot has gone (wal_sender_timeout).
PATIENCE = 30.0
POLL = 0.25


def slot_of(member: str) -> str:
    """The name of a member's slot (Patroni's slot_name_from_member_name)."""
    text = re.sub(r"[-.]", "_", member.lower())
    return re.sub(r"[^a-z0-9_]", lambda found: f"u{ord(found.group()):04d}", text)[:64]


def leftovers(leader: Member, names: Collection[str]) -> dict[str, bool]:
    """Slots that are named like these members', but are none of theirs; for each, whether somebody still fetches through it."""
    wanted = {slot_of(name) for name in names}
    stems = {re.escape(slot.rstrip("0123456789")) for slot in wanted if slot[-1:].isdigit()}
    with leader.connect() as session:
        found = {str(row[0]): bool(row[1]) for row in session.rows(SLOTS)} if stems else {}
    named_alike = re.compile(f"({'|'.join(sorted(stems))})[0-9]+")
    return {slot: active for slot, active in found.items() if slot not in wanted and named_alike.fullmatch(slot)}


def let_go(members: Members, leader: Member, slots: Collection[str], timeout: float) -> None:
    """Have Patroni forget these slots; returns when they are gone. Raises StackgateError when they stay, or Patroni refuses.

    Meanwhile the slots of members that are away would be forgotten, too: call it when all are there.
    """
    before = leader.get("/config", members.timeout).get(TTL)
    begun = time.monotonic()
    patience = max(min(PATIENCE, timeout), 5.0)
    leader.send("PATCH", "/config", {TTL: 0}, members.timeout)
    try:
        while True:
            with leader.connect() as session:
                left = [str(row[0]) for row in session.rows(SLOTS) if row[0] in slots]
            if not left:
                return
            waited = time.monotonic() - begun
            if waited > patience:
                raise StackgateError(
                    f"Patroni lets go of the replication slots {', '.join(slots)}", f"still there: {', '.join(left)}", waited=waited
                )
            time.sleep(POLL)
    finally:
        leader.send("PATCH", "/config", {TTL: before}, members.timeout)
