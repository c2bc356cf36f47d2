# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Stable API: what a client may ask for with apiVersion (recorded: 13, steps 39-41)."""

from __future__ import annotations

from .errors import CommandError
from .registry import Document

VERSION_1 = frozenset(
    {
        *("abortTransaction", "aggregate", "authenticate", "collMod", "commitTransaction", "count", "create", "createIndexes"),
        *("delete", "drop", "dropDatabase", "dropIndexes", "endSessions", "explain", "find", "findAndModify", "getMore", "hello"),
        *("insert", "killCursors", "listCollections", "listDatabases", "listIndexes", "ping", "refreshSessions", "update"),
        *("saslStart", "saslContinue"),
    }
)
MANUAL = "https://dochub.mongodb.org/core/manual-versioned-api"


def check(name: str, body: Document) -> None:
    """Raises CommandError 322 for another version than "1", 323 for a command that is not in it when the client is strict."""
    if "apiVersion" not in body:
        if "apiStrict" in body or "apiDeprecationErrors" in body:
            raise CommandError(4886600, "Provided apiStrict and/or apiDeprecationErrors without passing apiVersion")
        return
    if body["apiVersion"] != "1":
        raise CommandError(322, 'API version must be "1"', name="APIVersionError")
    if body.get("apiStrict") and name not in VERSION_1:
        raise CommandError(
            323,
            f"Provided apiStrict:true, but the command {name} is not in API Version 1. "
            f"Information on supported commands and migrations in API Version 1 can be found at {MANUAL}",
            name="APIStrictError",
        )
