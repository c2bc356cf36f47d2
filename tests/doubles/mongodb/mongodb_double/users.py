# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands on users (recorded: 08a, steps 54-62; 08b). Users are documents of admin.system.users and replicate as such."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson import Binary

from . import scram
from .auth import USERS, find_user
from .errors import CommandError
from .registry import Document, command
from .roles import Role

if TYPE_CHECKING:
    from .connection import ConnectionState
    from .node import Node

UNREADABLE = (
    "PlanExecutor error during aggregation :: caused by :: not primary or secondary; cannot currently read from this replSet member"
)
# Fields that any command may have.
GENERIC = ("writeConcern", "maxTimeMS", "comment", "lsid", "txnNumber", "apiVersion", "apiStrict", "apiDeprecationErrors", "readConcern")


@command("createUser", where="never", write_concern=True)
async def create_user(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    _check_fields("createUser", body, ("pwd", "customData", "roles", "mechanisms", "digestPassword", "authenticationRestrictions"))
    name = str(body["createUser"])
    if "roles" not in body:
        raise CommandError(40414, "BSON field 'createUser.roles' is missing but a required field")
    if db == "local":
        raise CommandError(2, "Cannot create users in the local database")
    if db != "$external" and "pwd" not in body:
        raise CommandError(2, "Must provide a 'pwd' field for all user documents, except those with '$external' as the user's source db")
    document: Document = {
        "_id": f"{db}.{name}",
        "userId": Binary(uuid.uuid4().bytes, 4),
        "user": name,
        "db": db,
        "credentials": _credentials(name, str(body["pwd"]), body.get("mechanisms")),
        "roles": _roles(body["roles"], db),
    }
    if "customData" in body:
        document["customData"] = body["customData"]
    if find_user(node, db, name) is not None:
        raise CommandError(51003, f'User "{name}@{db}" already exists')
    node.insert(USERS, document)
    return {}


@command("updateUser", where="never", write_concern=True)
async def update_user(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    known = ("pwd", "customData", "roles", "mechanisms", "digestPassword", "authenticationRestrictions")
    _check_fields("updateUser", body, known)
    if not any(key in body for key in known):
        raise CommandError(2, "Must specify at least one field to update in updateUser")
    name = str(body["updateUser"])
    roles = _roles(body["roles"], db) if "roles" in body else None
    document = find_user(node, db, name)
    if document is None:
        raise CommandError(11, f"User {name}@{db} not found")
    changed = dict(document)
    if "pwd" in body:
        changed["credentials"] = _credentials(name, str(body["pwd"]), body.get("mechanisms") or list(document["credentials"]))
    if roles is not None:
        changed["roles"] = roles
    if "customData" in body:
        changed["customData"] = body["customData"]
    node.replace(USERS, changed)
    return {}


@command("dropUser", where="never", write_concern=True)
async def drop_user(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    name = str(body["dropUser"])
    if find_user(node, db, name) is None:
        raise CommandError(11, f"User '{name}@{db}' not found")
    node.delete(USERS, f"{db}.{name}")
    return {}


@command("grantRolesToUser", where="never", write_concern=True)
async def grant_roles(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    document = _existing(node, db, str(body["grantRolesToUser"]))
    added = [role for role in _roles(body.get("roles", []), db) if role not in document["roles"]]
    # The server keeps them in a set: its order is not the one of granting (recorded: 08b, step 43).
    node.replace(USERS, {**document, "roles": sorted([*document["roles"], *added], key=lambda role: (role["role"], role["db"]))})
    return {}


@command("revokeRolesFromUser", where="never", write_concern=True)
async def revoke_roles(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    document = _existing(node, db, str(body["revokeRolesFromUser"]))
    revoked = _roles(body.get("roles", []), db)
    node.replace(USERS, {**document, "roles": [role for role in document["roles"] if role not in revoked]})
    return {}


@command("createRole", where="never", write_concern=True)
async def create_role(_node: Node, _connection: ConnectionState, _db: str, _body: Document) -> Document:
    raise CommandError(115, "the double has the built-in roles only", name="CommandNotSupported")


@command("usersInfo", where="opt_in", maintenance_ok=True)
async def users_info(node: Node, _connection: ConnectionState, db: str, body: Document) -> Document:
    if not node.topology.readable:
        # Recorded: 04i on an arbiter, 07b in STARTUP2.
        raise CommandError(13436, UNREADABLE)
    users = [user for user in node.documents(USERS) if _matches(user, body["usersInfo"], db)]
    return {"users": [_shown(user, bool(body.get("showCredentials"))) for user in sorted(users, key=lambda user: user["_id"])]}


def _matches(user: Document, wanted: Any, db: str) -> bool:
    """Whether usersInfo asks for the user: 1, a name, {user, db}, {forAllDBs: true}, or a list of these."""
    if isinstance(wanted, list):
        return any(_matches(user, item, db) for item in wanted)
    if isinstance(wanted, Mapping):
        return bool(wanted.get("forAllDBs")) or (wanted.get("user"), wanted.get("db", db)) == (user["user"], user["db"])
    return user["db"] == db and (not isinstance(wanted, str) or user["user"] == wanted)


def _shown(user: Document, credentials: bool) -> Document:
    shown = {key: value for key, value in user.items() if credentials or key != "credentials"}
    return {**shown, "mechanisms": sorted(user["credentials"])}


def _existing(node: Node, db: str, name: str) -> Document:
    document = find_user(node, db, name)
    if document is None:
        raise CommandError(11, f'Could not find user "{name}" for db "{db}"')
    return document


def _check_fields(name: str, body: Document, known: Sequence[str]) -> None:
    for key in body:
        if key != name and key not in known and key not in GENERIC and not key.startswith("$"):
            raise CommandError(40415, f"BSON field '{name}.{key}' is an unknown field.")


def _credentials(user: str, password: str, mechanisms: Sequence[str] | None) -> Document:
    for name in mechanisms or ():
        if name not in scram.MECHANISMS:
            raise CommandError(2, f"Unknown auth mechanism '{name}'")
    chosen = [scram.MECHANISMS[name] for name in mechanisms or scram.MECHANISMS]
    return {mechanism.name: scram.Credential.make(mechanism, user, password).document() for mechanism in chosen}


def _roles(given: Sequence[Any], db: str) -> list[Document]:
    """As documents: a bare name means the command's own database. Raises CommandError 31 for an unknown role."""
    roles = [Role(item, db) if isinstance(item, str) else Role(item["role"], item["db"]) for item in given]
    for role in roles:
        if not role.exists:
            raise CommandError(31, f"Could not find role: {role.role}@{role.db}")
    return [{"role": role.role, "db": role.db} for role in roles]
