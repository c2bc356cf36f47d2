# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature compatibility version, a document that replicates (recorded: 01, 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import CommandError
from .registry import Document, command
from .states import Leader

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

NAMESPACE, DOCUMENT_ID = "admin.system.version", "featureCompatibilityVersion"
LATEST, LAST = "5.0", "4.4"


def document(version: str, target: str | None = None) -> Document:
    return {"_id": DOCUMENT_ID, "version": version, **({} if target is None else {"targetVersion": target})}


def shown(node: Node) -> Document:
    """For getParameter. Raises CommandError 258 where there is none yet."""
    stored = node.store.find(NAMESPACE, DOCUMENT_ID)
    if stored is None and node.is_arbiter:
        stored = document(LATEST)
    if stored is None:
        raise CommandError(258, "featureCompatibilityVersion is not yet known.")
    return {key: value for key, value in stored.items() if key != "_id"}


@command("setFeatureCompatibilityVersion", admin_only=True, where="never", write_concern=True)
async def set_fcv(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    wanted = body["setFeatureCompatibilityVersion"]
    if wanted not in (LAST, LATEST):
        raise CommandError(
            4926900,
            f"Invalid value for featureCompatibilityVersiondocument in admin.system.version, found {wanted}, expected '4.4' or '4.9' or "
            "'5.0. See https://docs.mongodb.com/master/release-notes/4.4-compatibility/#feature-compatibility.",
        )
    current = shown(node)
    if current == {"version": wanted}:
        return {}
    node.replicate("u", NAMESPACE, document(LAST, wanted))
    await _spread(node)
    config = node.topology.config
    if config is not None:
        new = config.with_(version=config.version + 1, old_delay_name=wanted == LAST)
        await node.reconfigurations.rewrite(new)
    node.replicate("u", NAMESPACE, document(wanted))
    await _spread(node)
    return {}


async def _spread(node: Node) -> None:
    """Return when a majority has the intention. The time that the command may take interrupts it (recorded: 12, step 18)."""
    topology, optime = node.topology, node.store.applied.optime
    if topology.config is not None:
        await topology.progress.until(lambda: topology.committed.optime >= optime or topology.leader is Leader.NO)
