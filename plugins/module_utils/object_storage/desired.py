# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets and users as declared. Pure: every mistake is named at once, before anything is asked or done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import lifecycle, policy
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.quantity import in_bytes

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
# Characters of an access key and of a secret key, at least. Source: internal/auth/credentials.go.
SHORTEST = (3, 8)


@dataclass(frozen=True)
class Bucket:
    """A bucket. None: left as it is. quota: bytes, 0 for none. retention: as `compliance 30 days`, empty for none."""

    name: str
    present: bool = True
    force: bool = False
    versioning: str | None = None
    quota: int | None = None
    object_lock: bool | None = None
    retention: str | None = None
    lifecycle: tuple[lifecycle.Rule, ...] | None = None


@dataclass(frozen=True)
class User:
    """A user with one policy, which is its own. keys: None in check mode when its Secret is yet to be made; source: that Secret."""

    name: str
    present: bool = True
    keys: Keys | None = None
    source: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def policy(self) -> str:
        """The name of its policy."""
        return f"user-{self.name}"


@dataclass(frozen=True)
class Desired:
    """Everything that was asked for."""

    buckets: tuple[Bucket, ...] = ()
    users: tuple[User, ...] = ()


def parse(buckets: Sequence[Mapping[str, Any]], users: Sequence[Mapping[str, Any]], keys: Mapping[str, Keys | None]) -> Desired:
    """From the module's options. keys: those of each user's Secret, by the Secret's name. StackgateError lists all mistakes."""
    mistakes: list[str] = []
    made = tuple(_bucket(given, mistakes) for given in buckets)
    people = tuple(_user(given, keys, mistakes) for given in users)
    for what, names in (("bucket", [bucket.name for bucket in made]), ("user", [user.name for user in people])):
        mistakes += [f"{what} {name} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    gone = {bucket.name for bucket in made if not bucket.present}
    mistakes += [
        f"user {given.get('secret') or given.get('name')}: bucket {name} is to be deleted"
        for given in users
        for name in given.get("buckets") or []
        if name in gone and given.get("state") != "absent"
    ]
    if mistakes:
        raise StackgateError("buckets and users that an object storage can have", "\n".join(mistakes))
    return Desired(made, people)


def _bucket(given: Mapping[str, Any], mistakes: list[str]) -> Bucket:
    name = str(given["name"])
    where = f"bucket {name}"
    if not NAME.fullmatch(name) or ".." in name or ADDRESS.fullmatch(name):
        mistakes.append(f"{where}: a name has 3 to 63 lower-case letters, digits, dots and hyphens, and is no IP address")
    lock, retention = given.get("object_lock"), given.get("retention")
    if retention and not lock:
        mistakes.append(f"{where}: retention needs object_lock")
    if lock and given.get("versioning") == "suspended":
        mistakes.append(f"{where}: object_lock needs versioning, which cannot be suspended then")
    rules = None
    if given.get("lifecycle") is not None:
        rules, wrong = lifecycle.from_options(given["lifecycle"])
        mistakes += [f"{where}: {text}" for text in wrong]
    quota = None
    if given.get("quota") is not None:
        try:
            quota = in_bytes(given["quota"])
        except StackgateError as error:
            mistakes.append(f"{where}: quota: expected {error.expected}, seen {error.seen}")
    return Bucket(
        name=name,
        present=given.get("state") != "absent",
        force=bool(given.get("force")),
        versioning=given.get("versioning"),
        quota=quota,
        object_lock=lock,
        retention=_retention(retention, where, mistakes) if lock else None,
        lifecycle=rules,
    )


def _retention(given: Mapping[str, Any] | None, where: str, mistakes: list[str]) -> str | None:
    if given is None:
        return None
    lengths = [(unit, given[unit]) for unit in ("days", "years") if given.get(unit)]
    if not given.get("mode") and not lengths:
        return ""
    if not given.get("mode") or len(lengths) != 1 or lengths[0][1] < 1:
        mistakes.append(f"{where}: retention has a mode, and one of days and years")
        return None
    return f"{given['mode']} {lengths[0][1]} {lengths[0][0]}"


def _user(given: Mapping[str, Any], keys: Mapping[str, Keys | None], mistakes: list[str]) -> User:
    source, present = str(given.get("secret") or ""), given.get("state") != "absent"
    found = keys.get(source)
    name = str(given.get("name") or (found.access_key if found else "") or source)
    where = f"user {name}"
    if not name:
        mistakes.append("a user needs a secret, or with state absent a name")
    if not present:
        return User(name, False)
    if not source:
        mistakes.append(f"{where}: a secret with its keys is missing")
    if given.get("name") and found and given["name"] != found.access_key:
        mistakes.append(f"{where}: the access key in Secret {source} is {found.access_key}")
    if found:
        for what, value, shortest in zip(("access", "secret"), (found.access_key, found.secret_key), SHORTEST, strict=True):
            if len(value) < shortest:
                mistakes.append(f"{where}: the {what} key in Secret {source} has {len(value)} characters; the server wants {shortest}")
    document, buckets = given.get("policy"), given.get("buckets") or []
    if bool(document) == bool(buckets):
        mistakes.append(f"{where}: give either buckets or a policy")
        return User(name, True, found, source)
    if document:
        mistakes += [f"{where}: {text}" for text in policy.mistakes(document)]
        return User(name, True, found, source, dict(document) if isinstance(document, Mapping) else {})
    return User(name, True, found, source, policy.of_buckets(buckets, str(given.get("access") or "readwrite")))
