# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in roles, and what each command needs: privilege actions of the manual, as far as the double has commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

READ = frozenset({"find", "listCollections", "listIndexes", "collStats", "dbStats", "dbHash", "killCursors", "changeStream"})
WRITE = frozenset({"insert", "update", "remove", "createCollection", "dropCollection", "createIndex", "dropIndex"})
ADMINISTER = READ - {"find", "changeStream"} | {
    *("createCollection", "dropCollection", "createIndex", "dropIndex", "dropDatabase", "collMod", "validate", "compact"),
    *("enableProfiler", "bypassDocumentValidation", "renameCollectionSameDB"),
}
MANAGE_USERS = frozenset(
    {
        *("createUser", "dropUser", "changePassword", "changeCustomData", "viewUser", "grantRole", "revokeRole"),
        *("createRole", "dropRole", "viewRole"),
    }
)
MONITOR = frozenset(
    {
        *("replSetGetStatus", "replSetGetConfig", "serverStatus", "getParameter", "getCmdLineOpts", "getLog", "hostInfo"),
        *("getDefaultRWConcern", "listDatabases", "inprog", "top", "connPoolStats"),
    }
)
MANAGE_CLUSTER = frozenset(
    {
        *("replSetConfigure", "replSetStateChange", "replSetGetStatus", "replSetGetConfig", "setDefaultRWConcern"),
        *("getDefaultRWConcern", "setFeatureCompatibilityVersion", "appendOplogNote", "listDatabases"),
    }
)
MANAGE_HOST = frozenset({"shutdown", "fsync", "unlock", "setParameter", "getCmdLineOpts", "killop", "logRotate", "inprog"})

# Roles of one database, made in any of them.
DATABASE_ROLES: Mapping[str, frozenset[str]] = {
    "read": READ,
    "readWrite": READ | WRITE,
    "dbAdmin": ADMINISTER,
    "userAdmin": MANAGE_USERS,
    "dbOwner": READ | WRITE | ADMINISTER | MANAGE_USERS,
}
# Roles of the database admin: (on the cluster, on every database but local and config, on local and config).
ADMIN_ROLES: Mapping[str, tuple[frozenset[str], frozenset[str], frozenset[str]]] = {
    "readAnyDatabase": (frozenset({"listDatabases"}), READ, frozenset()),
    "readWriteAnyDatabase": (frozenset({"listDatabases"}), READ | WRITE, frozenset()),
    "dbAdminAnyDatabase": (frozenset({"listDatabases"}), ADMINISTER, frozenset()),
    "userAdminAnyDatabase": (frozenset({"listDatabases"}), MANAGE_USERS, MANAGE_USERS),
    "clusterMonitor": (MONITOR, READ - {"find"}, READ),
    "clusterManager": (MANAGE_CLUSTER, frozenset({"collStats"}), READ | WRITE),
    "hostManager": (MANAGE_HOST, frozenset(), frozenset()),
    "clusterAdmin": (MONITOR | MANAGE_CLUSTER | MANAGE_HOST, READ - {"find"} | {"dropDatabase"}, READ | WRITE),
    "backup": (frozenset({"listDatabases", "getParameter", "serverStatus", "appendOplogNote"}), READ, READ | {"insert", "update"}),
    "restore": (frozenset({"listDatabases", "getParameter"}), READ - {"find"} | WRITE | MANAGE_USERS, READ | WRITE),
    "root": (
        MONITOR | MANAGE_CLUSTER | MANAGE_HOST,
        READ | WRITE | ADMINISTER | MANAGE_USERS,
        READ | WRITE | ADMINISTER | MANAGE_USERS,
    ),
}
LOCAL_DATABASES = ("local", "config")

# Command -> action on the cluster.
CLUSTER_ACTIONS: Mapping[str, str] = {
    "replSetGetStatus": "replSetGetStatus",
    "replSetGetConfig": "replSetGetConfig",
    "replSetInitiate": "replSetConfigure",
    "replSetReconfig": "replSetConfigure",
    "replSetStepDown": "replSetStateChange",
    "replSetStepUp": "replSetStateChange",
    "replSetFreeze": "replSetStateChange",
    "replSetMaintenance": "replSetStateChange",
    "replSetSyncFrom": "replSetStateChange",
    "replSetAbortPrimaryCatchUp": "replSetStateChange",
    "serverStatus": "serverStatus",
    "getParameter": "getParameter",
    "setParameter": "setParameter",
    "getCmdLineOpts": "getCmdLineOpts",
    "getLog": "getLog",
    "hostInfo": "hostInfo",
    "getDefaultRWConcern": "getDefaultRWConcern",
    "setDefaultRWConcern": "setDefaultRWConcern",
    "setFeatureCompatibilityVersion": "setFeatureCompatibilityVersion",
    "appendOplogNote": "appendOplogNote",
    "shutdown": "shutdown",
    "fsync": "fsync",
    "fsyncUnlock": "unlock",
    "currentOp": "inprog",
    "killOp": "killop",
    "top": "top",
    "connPoolStats": "connPoolStats",
    "configureFailPoint": "setParameter",
}
# Command -> action on its database.
DATABASE_ACTIONS: Mapping[str, str] = {
    "find": "find",
    "aggregate": "find",
    "count": "find",
    "distinct": "find",
    "insert": "insert",
    "update": "update",
    "findAndModify": "update",
    "delete": "remove",
    "create": "createCollection",
    "drop": "dropCollection",
    "dropDatabase": "dropDatabase",
    "createIndexes": "createIndex",
    "dropIndexes": "dropIndex",
    "listCollections": "listCollections",
    "listIndexes": "listIndexes",
    "collStats": "collStats",
    "dbStats": "dbStats",
    "dbHash": "dbHash",
    "collMod": "collMod",
    "createUser": "createUser",
    "updateUser": "changePassword",
    "dropUser": "dropUser",
    "dropAllUsersFromDatabase": "dropUser",
    "grantRolesToUser": "grantRole",
    "revokeRolesFromUser": "revokeRole",
    "usersInfo": "viewUser",
    "rolesInfo": "viewRole",
    "createRole": "createRole",
}
# What whoever has logged in may do; listDatabases shows him only what he may read.
ANY_USER = frozenset(
    {"listDatabases", "logout", "endSessions", "startSession", "killCursors", "getMore", "listCommands", "refreshSessions"}
)


@dataclass(frozen=True)
class Role:
    """A role of a database."""

    role: str
    db: str

    @property
    def exists(self) -> bool:
        return self.role in DATABASE_ROLES or (self.db == "admin" and self.role in ADMIN_ROLES)

    def may_on_cluster(self, action: str) -> bool:
        return self.db == "admin" and self.role in ADMIN_ROLES and action in ADMIN_ROLES[self.role][0]

    def may_on_database(self, action: str, db: str) -> bool:
        if self.role in DATABASE_ROLES:
            return self.db == db and action in DATABASE_ROLES[self.role]
        if self.db != "admin" or self.role not in ADMIN_ROLES:
            return False
        _cluster, ordinary, local = ADMIN_ROLES[self.role]
        return action in (local if db in LOCAL_DATABASES else ordinary)


def may_run(roles: Iterable[Role], command: str, db: str) -> bool:
    """Whether any of the roles allows the command on the database. A command that is in no table is for members only."""
    if command in ANY_USER:
        return True
    if command in CLUSTER_ACTIONS:
        return any(role.may_on_cluster(CLUSTER_ACTIONS[command]) for role in roles)
    if command in DATABASE_ACTIONS:
        return any(role.may_on_database(DATABASE_ACTIONS[command], db) for role in roles)
    return False


def may_see(roles: Iterable[Role], db: str) -> bool:
    """Whether listDatabases shows the database (recorded: 08b, steps 54 and 64)."""
    return any(role.may_on_cluster("listDatabases") or role.may_on_database("find", db) for role in roles)
