# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases and the users of the role postgresql, from its variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# The Secrets, and the Services that lead to the pooler and to the leader itself.
APPLICATION = "postgresql"
MEMBERS = "postgresql-members"
POOLED = "postgresql"
LEADER = "postgresql-leader"
PORT = 5432
# Users that the role makes for itself, or that are no roles of the server's: pooler logs in to PgBouncer's console alone.
OWN_USERS = ("postgres", "replication", "rewind", "exporter", "patroni", "pooler")
# Databases that every server has, and that of PgBouncer's console.
OWN_DATABASES = ("postgres", "template0", "template1", "pgbouncer")
# A name is part of keys of a Secret, of a URI and of PgBouncer's configuration. PostgreSQL takes 63 characters.
NAME = re.compile(r"[a-z_]([-_a-z0-9]{0,61}[a-z0-9])?")


def content(
    users: Sequence[Mapping[str, Any]],
    username: str,
    database: str,
    extensions: Sequence[str] = (),
    databases: Sequence[Mapping[str, Any]] = (),
    sslmode: str = "",
) -> dict[str, Any]:
    """What is in the cluster, from the role's variables of these names.

    sslmode: what clients are told of encryption, in libpq's word; empty: nothing.

    Gives `generate`, `values` and `fields` of the Secret postgresql, `roles` and `databases` as the module patroni_cluster takes
    them, and how many `pools` a pooler has.
    Raises StackgateError for names that cannot be.
    """
    owners = [{"name": database, "username": username, "extensions": extensions}, *databases]
    guests = [{**user, "database": user.get("database") or database} for user in users]
    if mistakes := [*_mistakes(owners, guests)]:
        raise StackgateError(
            "databases and users of PostgreSQL that can be made",
            "; ".join(mistakes),
            "postgresql_database, postgresql_username, postgresql_databases, postgresql_users; nothing was changed",
        )
    values = {"host": POOLED, "port": str(PORT), "database": database}
    if sslmode:
        values["sslmode"] = sslmode
    query = "?sslmode=${sslmode}" if sslmode else ""
    generate: dict[str, Any] = {}
    fields: dict[str, str] = {}
    roles = []
    logins: list[tuple[str, str, str, Mapping[str, Any]]] = [
        ("" if owner is owners[0] else f"{owner['name']}-", owner["username"], owner["name"], {}) for owner in owners
    ]
    logins += [(f"{guest['name']}-", guest["name"], guest["database"], guest) for guest in guests]
    for prefix, name, where, more in logins:
        generate[f"{prefix}password"] = {}
        values[f"{prefix}username"] = name
        for kind, host in (("uri", "${host}"), ("leader-uri", LEADER)):
            path = where if prefix else "${database}"
            fields[f"{prefix}{kind}"] = f"postgresql://${{{prefix}username}}:${{{prefix}password}}@{host}:${{port}}/{path}{query}"
        roles.append(
            {
                "name": name,
                "password_secret": APPLICATION,
                "password_key": f"{prefix}password",
                "member_of": list(more.get("member_of") or ()),
                "connection_limit": more.get("connection_limit", -1),
            }
        )
    roles.append({"name": "exporter", "password_secret": MEMBERS, "password_key": "exporter-password", "member_of": ["pg_monitor"]})
    return {
        "generate": generate,
        "values": values,
        "fields": fields,
        # A pool serves one user in one database.
        "pools": len(logins),
        "roles": roles,
        "databases": [
            {
                "name": owner["name"],
                "owner": owner["username"],
                "extensions": list(owner.get("extensions") or ()),
                "connect": [guest["name"] for guest in guests if guest["database"] == owner["name"]],
            }
            for owner in owners
        ],
    }


def _mistakes(owners: Sequence[Mapping[str, Any]], guests: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    databases = [owner["name"] for owner in owners]
    users = [owner["username"] for owner in owners] + [guest["name"] for guest in guests]
    for what, names, own in (("database", databases, OWN_DATABASES), ("user", users, OWN_USERS)):
        for name, times in Counter(names).items():
            if times > 1:
                yield f"{times} {what}s are called {name}"
            if name in own:
                yield f"{name} is a {what} of the role itself"
            if not NAME.fullmatch(name):
                yield f"the {what} {name!r} has a name of other than at most 63 lower-case letters, digits, - and _"
    # Both name keys of the same Secret.
    for name in {*databases[1:]} & {guest["name"] for guest in guests}:
        yield f"{name} is the name of a database and of a further user"
    for guest in guests:
        if guest["database"] not in databases:
            yield f"{guest['name']}: there is no database {guest['database']}"
