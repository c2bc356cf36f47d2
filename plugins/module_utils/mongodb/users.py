# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of a set: the first one through the localhost exception, the others with exactly the roles that are asked for.

Whether a password is right is found out by logging in with it, so that nothing is written when nothing differs.
Everything here speaks to the primary; when it moves meanwhile, CommandFailed (10107) says so and the caller begins again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import UNAUTHORIZED, Credentials, Member
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed

# (role, database)
Role = tuple[str, str]
ADMIN_ROLES: frozenset[Role] = frozenset({("root", "admin")})
# Milliseconds for a majority to acknowledge; afterwards `settle` waits on without blocking the server.
ACKNOWLEDGE_MS = 10_000
# Seconds for a command that waits for that.
PATIENCE = ACKNOWLEDGE_MS / 1000 + 5
# Seconds between two looks at how far the majority is.
PAUSE = 0.5
# Before 4.0 there is only SCRAM-SHA-1, which this collection does not speak.
MECHANISMS = ("SCRAM-SHA-256",)


@dataclass(frozen=True)
class User:
    """A user as it should be. reset: give it this password also when it has another one."""

    credentials: Credentials
    roles: frozenset[Role]
    reset: bool = False

    def __str__(self) -> str:
        return f"{self.credentials.username}@{self.credentials.source}"

    @property
    def key(self) -> dict[str, str]:
        """How the server names it."""
        return {"user": self.credentials.username, "db": self.credentials.source}


@dataclass(frozen=True)
class Change:
    """One command that makes one user as it should be. The command holds the password: it is never shown."""

    sentence: str
    database: str
    command: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Review:
    """What is to be done about users, and what is left alone although it differs."""

    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()


def roles_of(given: Sequence[Any], database: str) -> frozenset[Role]:
    """Roles as people write them: a name, which is a role of the user's own database, or {role, db}."""
    return frozenset((str(one["role"]), str(one["db"])) if isinstance(one, Mapping) else (str(one), database) for one in given)


def review(primary: Member, admin: User | None, users: Sequence[User]) -> Review:
    """What differs. Changes nothing. Raises CommandFailed, Unreachable; StackgateError when the admin's password is not taken.

    admin: whoever the connection logs in as. Where no user exists yet it is the first to be made, and everything else follows.
    """
    if admin is not None and not primary.logged_in and not primary.login():
        if not exception_open(primary):
            raise StackgateError(
                f"{primary.label} takes the password of {admin}",
                "it does not, and it has users already",
                "give the credentials that the set has; a new password is set by logging in with the old one",
            )
        return Review(creations((admin, *users)))
    everybody = [*([admin] if admin is not None else []), *users]
    if not everybody:
        return Review()
    asked = {"usersInfo": [user.key for user in everybody]}
    found = {(info["user"], info["db"]): info for info in primary.command(asked)["users"]}
    infos = [found.get((user.credentials.username, user.credentials.source)) for user in everybody]
    return _join([_compare(user, info, right) for user, info, right in zip(everybody, infos, _try(primary, everybody, infos), strict=True)])


def creations(users: Sequence[User]) -> tuple[Change, ...]:
    """What makes these users in a set that has none."""
    return tuple(_create(user) for user in users)


def exception_open(member: Member) -> bool:
    """Whether a member without a login still allows what the localhost exception does: there is no user, and we come from loopback.

    A server without access control allows it, too.
    """
    try:
        member.command({"replSetGetStatus": 1})
    except CommandFailed as error:
        return error.code != UNAUTHORIZED
    return True


def apply(primary: Member, change: Change) -> None:
    """Carry one change out, at a majority of the members.

    Raises CommandFailed, Unreachable; StackgateError when a majority does not have it: then the user is there, and may be lost
    with the primary.
    """
    concern = {"writeConcern": {"w": "majority", "wtimeout": ACKNOWLEDGE_MS}}
    reply = primary.command({**change.command, **concern}, change.database, timeout=PATIENCE)
    if not primary.logged_in:  # the first user: from here on a login is wanted, and possible
        primary.login()
    if "writeConcernError" in reply:  # recorded: 08b, ok 1 and the user exists
        _settle(primary, change, reply.get("operationTime"))


def _settle(primary: Member, change: Change, written: Any) -> None:
    """Wait until a majority has what was written at that time."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE:
        last = primary.hello().get("lastWrite") or {}
        majority = (last.get("majorityOpTime") or {}).get("ts")
        if written is None or (majority is not None and majority >= written):
            return
        time.sleep(PAUSE)
    waited = time.monotonic() - begun + ACKNOWLEDGE_MS / 1000
    raise StackgateError(f"a majority of the members has this: {change.sentence}", "only the primary has it", waited=waited)


def _try(primary: Member, users: Sequence[User], infos: Sequence[Any]) -> list[bool]:
    """Whether each existing user's password is the one asked for."""

    def right(position: int) -> bool:
        user = users[position]
        if infos[position] is None or user.credentials == primary.credentials:
            return infos[position] is not None
        return primary.accepts(user.credentials)

    with ThreadPoolExecutor(max(len(users), 1)) as pool:
        return list(pool.map(right, range(len(users))))


def _compare(user: User, info: Mapping[str, Any] | None, right: bool) -> Review:
    """What one user lacks. info: what usersInfo says of it, None when it does not exist."""
    if info is None:
        return Review((_create(user),))
    update: dict[str, Any] = {}
    words = []
    warnings = []
    has = frozenset((str(role["role"]), str(role["db"])) for role in info["roles"])
    if has != user.roles:
        update["roles"] = _documents(user.roles)
        words.append(f"roles {_names(user.roles)} in place of {_names(has)}")
    if not right and user.reset:
        update.update(pwd=user.credentials.password, mechanisms=list(MECHANISMS))
        words.append("the new password")
    elif not right:
        warnings.append(f"user {user} has another password than the one given; it was left alone, update_password=always sets it")
    if not update:
        return Review((), tuple(warnings))
    change = Change(f"give user {user} {' and '.join(words)}", user.credentials.source, {"updateUser": user.credentials.username, **update})
    return Review((change,), tuple(warnings))


def _create(user: User) -> Change:
    body = {"createUser": user.credentials.username, "pwd": user.credentials.password, "roles": _documents(user.roles)}
    return Change(f"create user {user} with {_names(user.roles)}", user.credentials.source, {**body, "mechanisms": list(MECHANISMS)})


def _documents(roles: frozenset[Role]) -> list[dict[str, str]]:
    return [{"role": role, "db": database} for role, database in sorted(roles)]


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(f"{role}@{database}" for role, database in sorted(roles)) or "no role"


def _join(reviews: Sequence[Review]) -> Review:
    return Review(tuple(c for one in reviews for c in one.changes), tuple(w for one in reviews for w in one.warnings))
