# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, databases and extensions: what a server has, what it lacks, and the statements that make it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import scram
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Member
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.desired import Database, Desired, Role
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.sql import Session

# The database that is always there.
POSTGRES = "postgres"
FLAGS: Mapping[str, str] = {
    "login": "LOGIN",
    "superuser": "SUPERUSER",
    "createdb": "CREATEDB",
    "createrole": "CREATEROLE",
    "replication": "REPLICATION",
}
ROLES = """
SELECT r.rolname, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolconnlimit, r.rolpassword,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid WHERE m.member = r.oid)
  FROM pg_authid r WHERE r.rolname = ANY(%s)
"""
# Who has which right: grantee 0 is PUBLIC. Without an entry the defaults hold, which acldefault tells.
DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba),
       ARRAY(SELECT DISTINCT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END
               FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
              WHERE a.privilege_type = 'CONNECT' OR (a.grantee = 0 AND a.privilege_type = 'TEMPORARY'))
  FROM pg_database d WHERE d.datname = ANY(%s)
"""
EXTENSIONS = "SELECT extname FROM pg_extension"


@dataclass(frozen=True)
class FoundRole:
    """A role as the server has it. verifier: of its password, None for none."""

    name: str
    flags: Mapping[str, bool]
    connection_limit: int
    member_of: frozenset[str]
    verifier: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FoundDatabase:
    """A database as the server has it. connect: who has been granted to connect; the empty name is PUBLIC."""

    name: str
    owner: str
    connect: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalogue:
    """Of the wanted roles and databases those that are there, by name."""

    roles: Mapping[str, FoundRole] = field(default_factory=dict)
    databases: Mapping[str, FoundDatabase] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One statement. database: where it runs. sentence: what it does, for people; it holds no password.

    statement: made of a session (a verifier is computed there), as psycopg composes it.
    """

    sentence: str
    statement: Callable[[Session], Any] = field(repr=False)
    database: str = POSTGRES


@dataclass(frozen=True)
class Review:
    """What is to be done, and what was left alone."""

    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()


def read(leader: Member, wanted: Desired) -> Catalogue:
    """What a server has of what is wanted. Raises StackgateError."""
    names = [database.name for database in wanted.databases]
    with leader.connect() as session:
        roles = [_found_role(row) for row in session.rows(ROLES, ([role.name for role in wanted.roles],))] if wanted.roles else []
        rows = session.rows(DATABASES, (names,)) if names else []
    there = {str(row[0]) for row in rows}
    asked = [database.name for database in wanted.databases if database.extensions and database.name in there]

    def extensions(name: str) -> frozenset[str]:
        with leader.connect(name) as session:
            return frozenset(str(row[0]) for row in session.rows(EXTENSIONS))

    with ThreadPoolExecutor(max(len(asked), 1)) as pool:
        have = dict(zip(asked, pool.map(extensions, asked), strict=True))
    databases = [FoundDatabase(str(row[0]), str(row[1]), frozenset(row[2]), have.get(str(row[0]), frozenset())) for row in rows]
    return Catalogue({role.name: role for role in roles}, {database.name: database for database in databases})


def review(wanted: Desired, found: Catalogue) -> Review:
    """What makes the catalogue as it is wanted, in an order in which each statement finds what it needs. Pure."""
    warnings: list[str] = []
    changes = [change for role in wanted.roles for change in _role_changes(role, found.roles.get(role.name), warnings)]
    changes += [change for role in wanted.roles for change in _memberships(role, found.roles.get(role.name))]
    changes += [change for one in wanted.databases for change in _database_changes(one, found.databases.get(one.name))]
    return Review(tuple(changes), tuple(warnings))


def apply(leader: Member, changes: Sequence[Change], done: Callable[[Change], None]) -> None:
    """Carry them out in their order. done: called after each. Raises StackgateError."""
    position = 0
    while position < len(changes):
        database = changes[position].database
        with leader.connect(database) as session:
            while position < len(changes) and changes[position].database == database:
                change = changes[position]
                session.do(change.statement(session), doing=change.sentence)
                done(change)
                position += 1


# -- roles ---------------------------------------------------------------------------------------------------------------


def _role_changes(role: Role, found: FoundRole | None, warnings: list[str]) -> Iterator[Change]:
    if found is None:
        flags = [word for name, word in FLAGS.items() if getattr(role, name)]
        told = f"create role {role.name}" + (f" ({', '.join(word.lower() for word in flags)})" if flags else "")
        yield Change(told, _role_statement("CREATE ROLE {}", role, list(FLAGS), role.connection_limit != -1, bool(role.password)))
        return
    differing = [name for name in FLAGS if getattr(role, name) != found.flags[name]]
    limited = role.connection_limit != found.connection_limit
    wrong = role.password is not None and not scram.matches(found.verifier, role.password)
    words = [f"{'' if getattr(role, name) else 'no'}{FLAGS[name].lower()}" for name in differing]
    words += [f"connection limit {role.connection_limit} in place of {found.connection_limit}"] if limited else []
    words += ["the password of its Secret"] if wrong and role.reset else []
    if wrong and not role.reset:
        warnings.append(f"role {role.name} has another password than the one given; update_password=always sets it")
    if words:
        statement = _role_statement("ALTER ROLE {}", role, differing, limited, wrong and role.reset)
        yield Change(f"give role {role.name} {', '.join(words)}", statement)


def _role_statement(begin: str, role: Role, flags: Sequence[str], limited: bool, with_password: bool) -> Callable[[Session], Any]:
    def made(session: Session) -> Any:
        from psycopg import sql

        parts: list[Any] = [sql.SQL(begin).format(sql.Identifier(role.name))]
        parts += [sql.SQL(("" if getattr(role, name) else "NO") + FLAGS[name]) for name in flags]
        if limited:
            parts.append(sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(role.connection_limit)))
        if with_password and role.password is not None:
            parts.append(sql.SQL("PASSWORD {}").format(sql.Literal(session.verifier(role.name, role.password))))
        return sql.SQL(" ").join(parts)

    return made


def _memberships(role: Role, found: FoundRole | None) -> Iterator[Change]:
    has = found.member_of if found else frozenset()
    for group in sorted(role.member_of - has):
        yield Change(f"make role {role.name} a member of {group}", _of("GRANT {} TO {}", group, role.name))
    for group in sorted(has - role.member_of):
        yield Change(f"end role {role.name}'s membership of {group}", _of("REVOKE {} FROM {}", group, role.name))


# -- databases -----------------------------------------------------------------------------------------------------------


def _database_changes(wanted: Database, found: FoundDatabase | None) -> Iterator[Change]:
    name, owner = wanted.name, wanted.owner
    if found is None:
        yield Change(f"create database {name} of {owner}", _of("CREATE DATABASE {} OWNER {}", name, owner))
        found = FoundDatabase(name, owner, frozenset({"", owner}))
    elif found.owner != owner:
        yield Change(
            f"make {owner} the owner of database {name}, in place of {found.owner}", _of("ALTER DATABASE {} OWNER TO {}", name, owner)
        )
    if "" in found.connect and not wanted.public:
        yield Change(f"let only its users connect to database {name}", _of("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", name))
    elif "" not in found.connect and wanted.public:
        yield Change(f"let everybody connect to database {name}", _of("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC", name))
    allowed = found.connect - {"", found.owner, owner}
    for role in sorted(wanted.connect - {owner} - allowed):
        yield Change(f"let {role} connect to database {name}", _of("GRANT CONNECT ON DATABASE {} TO {}", name, role))
    for role in sorted(allowed - wanted.connect):
        yield Change(f"let {role} no longer connect to database {name}", _of("REVOKE CONNECT ON DATABASE {} FROM {}", name, role))
    for extension in wanted.extensions:
        if extension not in found.extensions:
            yield Change(
                f"create extension {extension} in database {name}", _of("CREATE EXTENSION IF NOT EXISTS {} CASCADE", extension), name
            )


def _of(text: str, *names: str) -> Callable[[Session], Any]:
    """A statement with names in it."""

    def made(_session: Session) -> Any:
        from psycopg import sql

        return sql.SQL(text).format(*map(sql.Identifier, names))

    return made


def _found_role(row: tuple[Any, ...]) -> FoundRole:
    name, login, superuser, createdb, createrole, replication, limit, verifier, groups = row
    flags = dict(zip(FLAGS, (login, superuser, createdb, createrole, replication), strict=True))
    return FoundRole(str(name), flags, int(limit), frozenset(groups), verifier)
