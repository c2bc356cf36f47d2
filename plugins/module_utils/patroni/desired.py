# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles and databases that a cluster is to have, from a task's options. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# The longest name that PostgreSQL keeps, in bytes: it cuts a longer one off without an error.
LONGEST_NAME = 63


@dataclass(frozen=True)
class Role:
    """A role. password: None leaves it alone; reset: whether one that differs is set. member_of: all that it is a member of."""

    name: str
    login: bool = True
    superuser: bool = False
    createdb: bool = False
    createrole: bool = False
    replication: bool = False
    connection_limit: int = -1
    member_of: frozenset[str] = frozenset()
    password: str | None = field(default=None, repr=False)
    reset: bool = True


@dataclass(frozen=True)
class Database:
    """A database. connect: who may connect besides the owner; public: whether everybody may."""

    name: str
    owner: str
    extensions: tuple[str, ...] = ()
    connect: frozenset[str] = frozenset()
    public: bool = False


@dataclass(frozen=True)
class Desired:
    """Everything that is wanted of the catalogues."""

    roles: tuple[Role, ...] = ()
    databases: tuple[Database, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.roles or self.databases)


def from_options(
    roles: Sequence[Mapping[str, Any]], databases: Sequence[Mapping[str, Any]], secret: Callable[[str, str], str], reset: bool
) -> Desired:
    """From the options `roles` and `databases`. secret: value of a key of a Secret. Raises StackgateError with every mistake."""
    wrong = [*_names("role", roles), *_names("database", databases)]
    wrong += [f"role {one['name']}: password and password_secret" for one in roles if one.get("password") and one.get("password_secret")]
    wrong += [f"database {one['name']} without owner" for one in databases if not one.get("owner")]
    if wrong:
        raise StackgateError("roles and databases that PostgreSQL can have, each once, with at most one password", "; ".join(wrong))
    return Desired(
        tuple(_role(one, secret, reset) for one in roles),
        tuple(
            Database(
                str(one["name"]),
                str(one["owner"]),
                tuple(dict.fromkeys(map(str, one.get("extensions") or ()))),
                frozenset(map(str, one.get("connect") or ())),
                bool(one.get("public")),
            )
            for one in databases
        ),
    )


def _role(given: Mapping[str, Any], secret: Callable[[str, str], str], reset: bool) -> Role:
    password = given.get("password") or None
    if given.get("password_secret"):
        password = secret(str(given["password_secret"]), str(given.get("password_key") or "password"))
    flags = {name: bool(given.get(name)) for name in ("superuser", "createdb", "createrole", "replication")}
    limit = given.get("connection_limit")
    return Role(
        str(given["name"]),
        login=given.get("login") is not False,
        connection_limit=-1 if limit is None else int(limit),
        member_of=frozenset(map(str, given.get("member_of") or ())),
        password=password,
        reset=reset,
        **flags,
    )


def _names(what: str, given: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with names."""
    names = [str(one.get("name") or "") for one in given]
    wrong = [f"{what} {name} twice" for name, times in Counter(names).items() if times > 1]
    for name in names:
        if not name or "\0" in name:
            wrong.append(f"a {what} without name")
        elif len(name.encode()) > LONGEST_NAME:
            wrong.append(f"{what} {name}: longer than {LONGEST_NAME} bytes")
        elif what == "role" and name.startswith("pg_"):
            wrong.append(f"role {name}: names that begin with pg_ are PostgreSQL's own")
    return wrong
