# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members and the users of the role mongodb's set, from its variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import desired

NAME = "mongodb"
ARBITER = "mongodb-arbiter-0"
# What a member may have of its own.
OWN = ("priority", "votes", "hidden", "secondary_delay_s", "build_indexes", "tags", "horizons")

# Where all users are, whatever database their roles are in.
SOURCE = "admin"
# Users that the role makes for itself, each with a Secret of its own, and the least roles for its purpose.
SERVICE_USERS: Mapping[str, Sequence[tuple[str, str]]] = {
    "exporter": (("clusterMonitor", "admin"), ("read", "local")),
    "backup": (("backup", "admin"),),
}
ADMIN = "admin"
# A user's name is part of keys of a Secret and of a URI.
USER = re.compile(r"[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?")
# What the server takes for a database's name, as far as a URI takes it, too.
DATABASE = re.compile(r"[-_a-zA-Z0-9]{1,63}")


def members(
    own: Mapping[str, Mapping[str, Any]],
    replica_set: str,
    replicas: int,
    domain: str,
    arbiter: bool = False,
    even_votes: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The members as the module mongodb_replica_set takes them, the arbiter last.

    own:    what members have of their own, by name. domain: what follows a pod's name in its address.
    Raises StackgateError for what no server would accept, and for an even number of votes unless even_votes.
    """
    names = [f"{NAME}-{ordinal}" for ordinal in range(replicas)]
    if mistakes := [*_mistakes(own, names)]:
        raise StackgateError(
            f"mongodb_members has members of {', '.join(names) or 'none'}, each with {', '.join(OWN)}",
            "; ".join(mistakes),
            "nothing was changed",
        )
    found = [_member(name, domain, arbiter=False, own=own.get(name) or {}) for name in names]
    if arbiter:
        found.append(_member(ARBITER, domain, arbiter=True, own={}))
    # The server's own rules: votes, priorities, delays, settings.
    wanted = desired.from_options(replica_set, found, settings)
    votes = sum(member.votes for member in wanted.members)
    if votes % 2 == 0 and not even_votes:
        may_fail = (votes - 1) // 2
        raise StackgateError(
            "an odd number of members with a vote",
            f"{votes}: {may_fail} of them may fail, as of {votes - 1}",
            f"mongodb_replicas one more or less, or mongodb_arbiter {'off' if arbiter else 'on'}, or votes: 0 for one of mongodb_members; "
            "mongodb_even_votes accepts it; nothing was changed",
        )
    return found


def _member(name: str, domain: str, *, arbiter: bool, own: Mapping[str, Any]) -> dict[str, Any]:
    """One member. Tags and horizons that nobody names are none, so that they go where somebody made some by hand."""
    always: dict[str, Any] = {
        "name": name,
        "pod": name,
        "host": f"{name}.{domain}:{desired.DEFAULT_PORT}",
        "arbiter": arbiter,
        "hidden": False,
    }
    unnamed: dict[str, Any] = {} if arbiter else {"tags": {}, "horizons": {}}
    return {**always, **unnamed, **own}


def _mistakes(own: Mapping[str, Any], names: Iterable[str]) -> Iterable[str]:
    known = set(names)
    for name, fields in own.items():
        if name not in known:
            yield f"there is no member {name}"
        elif not isinstance(fields, Mapping):
            yield f"{name}: {fields!r}"
        else:
            yield from (f"{name}: {field} is unknown" for field in fields if field not in OWN)


def users(
    further: Sequence[Mapping[str, Any]], username: str, database: str, hosts: str, replica_set: str, port: int = desired.DEFAULT_PORT
) -> dict[str, Any]:
    """The application's users: `generate`, `values` and `fields` of the Secret mongodb, and the `accounts` of all users but the admin.

    further: users beside `username`, each with name, database and perhaps roles. hosts: `name:port` with commas between.
    Raises StackgateError for names that cannot be.
    """
    everybody = [{"name": username, "database": database}, *further]
    if mistakes := [*_user_mistakes(everybody)]:
        raise StackgateError(
            "users of the MongoDB set that can be made", "; ".join(mistakes), "mongodb_username, mongodb_users; nothing was changed"
        )
    options = f"?replicaSet={replica_set}&authSource={SOURCE}&w=majority"
    generate: dict[str, Any] = {}
    values = {"hosts": hosts, "port": str(port), "replica-set": replica_set, "auth-source": SOURCE, "database": database}
    fields = {}
    accounts = []
    for user in everybody:
        prefix = "" if user is everybody[0] else f"{user['name']}-"
        generate[f"{prefix}password"] = {}
        values[f"{prefix}username"] = user["name"]
        fields[f"{prefix}uri"] = f"mongodb://${{{prefix}username}}:${{{prefix}password}}@${{hosts}}/{user['database']}{options}"
        roles = [(role, user["database"]) for role in user.get("roles") or ["readWrite"]]
        accounts.append(_account(user["name"], roles, NAME, f"{prefix}password"))
    accounts += [_account(name, roles, f"{NAME}-{name}", "password") for name, roles in SERVICE_USERS.items()]
    return {"generate": generate, "values": values, "fields": fields, "accounts": accounts}


def _account(name: str, roles: Iterable[tuple[str, str]], secret: str, key: str) -> dict[str, Any]:
    return {
        "name": name,
        "database": SOURCE,
        "roles": [{"role": role, "db": database} for role, database in roles],
        "password_secret": secret,
        "password_key": key,
    }


def _user_mistakes(everybody: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for name, times in Counter(user["name"] for user in everybody).items():
        if times > 1:
            yield f"{times} users are called {name}"
        if name in (ADMIN, *SERVICE_USERS):
            yield f"{name} is a user of the role itself"
        if not USER.fullmatch(name):
            yield f"the user {name!r} has a name of other than letters, digits and - _ . between them"
    for user in everybody:
        if not DATABASE.fullmatch(user["database"]):
            yield f"{user['name']}: the database {user['database']!r} has a name of other than letters, digits, - and _, or more than 63"
