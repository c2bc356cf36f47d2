# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging in, the localhost exception, and who may run what (recorded: 08a, 08b, 08c)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import bsontext, scram
from .errors import CommandError
from .peer import SYSTEM_DATABASE, SYSTEM_USER
from .registry import Document, command
from .roles import Role, may_run, may_see
from .wire import Documents

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

USERS = "admin.system.users"
# What the exception gives, on the database admin, until there is a user.
EXCEPTION = frozenset({"createUser", "grantRolesToUser", "replSetInitiate", "replSetReconfig", "replSetGetStatus", "listDatabases"})
# An arbiter holds no users, so that its exception never ends; it gives this, too.
ARBITER_EXCEPTION = frozenset({"getCmdLineOpts", "getParameter", "serverStatus", "shutdown"})
# A connection has one conversation at a time, and all have this number (recorded: 08b, step 10).
CONVERSATION = 1
SECRETS = {"createUser": ("pwd",), "updateUser": ("pwd",), "saslStart": ("payload",), "saslContinue": ("payload",)}


@dataclass
class Login:
    """What one connection has of logging in. users: (database, name) -> userId, so that a user made anew is another one."""

    users: dict[tuple[str, str], Any] = field(default_factory=dict)
    conversation: _Conversation | None = None


@dataclass
class _Conversation:
    scram: scram.ServerConversation
    db: str
    user: str
    user_id: Any
    skip_empty: bool
    finished: bool = False


def login_of(connection: ConnectionState) -> Login:
    if connection.auth is None:
        connection.auth = Login()
    return connection.auth


def find_user(node: Node, db: str, user: str) -> Document | None:
    """The user's document, with its credentials."""
    return next((document for document in node.documents(USERS) if document["_id"] == f"{db}.{user}"), None)


def present_users(connection: ConnectionState, node: Node) -> list[Document]:
    """The documents of those logged in. Whoever was dropped meanwhile is out (recorded: 08b, step 73)."""
    users = ((find_user(node, db, user), identity) for (db, user), identity in login_of(connection).users.items())
    return [document for document, identity in users if document is not None and document["userId"] == identity]


def _roles(users: list[Document]) -> list[Role]:
    return [Role(role["role"], role["db"]) for user in users for role in user["roles"]]


def _excepted(connection: ConnectionState, node: Node) -> bool:
    return connection.loopback and not node.documents(USERS)


def authorize(connection: ConnectionState, node: Node, db: str, name: str, body: Document) -> None:
    """Raises CommandError 13 with either of its texts: it asks for a login as soon as there is a user (recorded: 08a)."""
    if connection.internal:
        return
    users = present_users(connection, node)
    excepted = not users and _excepted(connection, node)
    if not users and not excepted:
        raise CommandError(13, f"command {name} requires authentication")
    if excepted and db == "admin" and (name in EXCEPTION or (node.is_arbiter and name in ARBITER_EXCEPTION)):
        return
    if not may_run(_roles(users), name, db):
        # A document sequence is no part of what the server shows (recorded: 08a, step 21).
        shown = {key: "xxx" if key in SECRETS.get(name, ()) else value for key, value in body.items() if not isinstance(value, Documents)}
        raise CommandError(13, f"not authorized on {db} to execute command {bsontext.text(shown)}")


def sees_database(connection: ConnectionState, node: Node, db: str) -> bool:
    """Whether listDatabases shows the database to this client: without a login none (recorded: 08a, step 45)."""
    return not node.options.auth or connection.internal or may_see(_roles(present_users(connection, node)), db)


def hello_fields(connection: ConnectionState, node: Node, body: Document) -> Document:
    """What hello adds for the login: saslSupportedMechs for a user that exists, and the first answer of a speculative one."""
    fields: Document = {}
    wanted = body.get("saslSupportedMechs")
    if isinstance(wanted, str):
        db, _dot, name = wanted.partition(".")
        user = find_user(node, db, name)
        if user is not None:
            fields["saslSupportedMechs"] = sorted(user["credentials"])
    speculative = body.get("speculativeAuthenticate")
    if isinstance(speculative, dict) and "saslStart" in speculative:
        # A refusal is left out: the client then starts anew, and is refused in words (manual: speculative authentication).
        with contextlib.suppress(CommandError):
            fields["speculativeAuthenticate"] = _start(connection, node, str(speculative.get("db", "admin")), speculative)
    return fields


@command("saslStart", before_login=True)
async def sasl_start(node: Node, connection: ConnectionState, db: str, body: Document) -> Document:
    return _start(connection, node, db, body)


@command("saslContinue", before_login=True)
async def sasl_continue(node: Node, connection: ConnectionState, _db: str, body: Document) -> Document:
    login = login_of(connection)
    conversation = login.conversation
    if conversation is None:
        raise CommandError(17, "No SASL session state found")
    if body.get("conversationId") != CONVERSATION:
        raise CommandError(17, "sasl: Mismatched conversation id")
    if conversation.finished:
        login.conversation = None
        return {"conversationId": CONVERSATION, "done": True, "payload": b""}
    try:
        payload = conversation.scram.finish(bytes(body.get("payload", b"")))
    except scram.ScramError as error:
        login.conversation = None
        raise _failed() from error
    if (conversation.db, conversation.user) == (SYSTEM_DATABASE, SYSTEM_USER):
        connection.internal = True
    else:
        login.users = {key: identity for key, identity in login.users.items() if key[0] != conversation.db}
        login.users[conversation.db, conversation.user] = conversation.user_id
    conversation.finished = True
    if conversation.skip_empty:
        login.conversation = None
    return {"conversationId": CONVERSATION, "done": conversation.skip_empty, "payload": payload}


def _start(connection: ConnectionState, node: Node, db: str, body: Document) -> Document:
    """The first answer. Raises CommandError 334 for a mechanism that is not there, 18 for a user that is not."""
    login = login_of(connection)
    # A start that fails leaves nothing to continue (recorded: 08b, step 13).
    login.conversation = None
    name, first = str(body.get("mechanism")), bytes(body.get("payload", b""))
    mechanism = scram.MECHANISMS.get(name)
    if mechanism is None:
        raise CommandError(334, f"Received authentication for mechanism {name} which is not enabled", name="MechanismUnavailable")
    try:
        user = scram.user_of(first)
        credentials, user_id = _credentials(node, mechanism, db, user)
        conversation = scram.ServerConversation(mechanism, credentials, first)
    except scram.ScramError as error:
        raise _failed() from error
    skip_empty = bool((body.get("options") or {}).get("skipEmptyExchange"))
    login.conversation = _Conversation(conversation, db, user, user_id, skip_empty)
    return {"conversationId": CONVERSATION, "done": False, "payload": conversation.reply}


def _credentials(node: Node, mechanism: scram.Mechanism, db: str, user: str) -> tuple[list[scram.Credential], Any]:
    """What proves the user, and its userId. Raises ScramError when there is no such user, or not for the mechanism."""
    if (db, user) == (SYSTEM_DATABASE, SYSTEM_USER):
        if not node.options.keys or mechanism is not scram.SHA256:
            raise scram.ScramError("no key file")
        return [_key_credential(key) for key in node.options.keys], None
    document = find_user(node, db, user)
    if document is None or mechanism.name not in document["credentials"]:
        raise scram.ScramError("no such user")
    return [scram.Credential.from_document(document["credentials"][mechanism.name])], document["userId"]


_KEY_SALT = os.urandom(scram.SHA256.salt_bytes)


@lru_cache
def _key_credential(key: str) -> scram.Credential:
    return scram.Credential.make(scram.SHA256, SYSTEM_USER, key, _KEY_SALT)


def _failed() -> CommandError:
    return CommandError(18, "Authentication failed.")


@command("logout")
async def logout(_node: Node, connection: ConnectionState, db: str, _body: Document) -> Document:
    login = login_of(connection)
    login.users = {key: identity for key, identity in login.users.items() if key[0] != db}
    return {}


@command("connectionStatus", before_login=True)
async def connection_status(node: Node, connection: ConnectionState, _db: str, body: Document) -> Document:
    users = present_users(connection, node)
    info: Document = {
        "authenticatedUsers": [{"user": user["user"], "db": user["db"]} for user in users],
        "authenticatedUserRoles": [role for user in users for role in user["roles"]],
    }
    if connection.internal:
        info["authenticatedUsers"].append({"user": SYSTEM_USER, "db": SYSTEM_DATABASE})
    if body.get("showPrivileges"):
        info["authenticatedUserPrivileges"] = []
    return {"authInfo": info}
