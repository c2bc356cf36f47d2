# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pools and the users of the role object_storage, from its variables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

NAME = "object-storage"
PORT = 9000
# Where a pod finds its drives.
DRIVES = "/var/lib/object-storage"
# A user's name is its access key, of 3 characters or more, and a part of its Secret's name.
USER = re.compile(r"[a-z0-9][-.a-z0-9]+[a-z0-9]")


def pools(given: Sequence[Mapping[str, Any]], storage_class: str, domain: str, tls: bool = False) -> list[dict[str, Any]]:
    """The pools, each with its StatefulSet's name, its claims and the server's argument for it.

    given: replicas, drives_per_pod, storage_size, storage_class, as the role's variables name them.
    domain: what follows a pod's name in its address.
    """
    found = []
    total = sum(int(pool["replicas"]) * int(pool.get("drives_per_pod") or 1) for pool in given)
    for number, pool in enumerate(given, 1):
        name = NAME if number == 1 else f"{NAME}-{number}"
        pods, drives = int(pool["replicas"]), int(pool.get("drives_per_pod") or 1)
        address = f"http{'s' if tls else ''}://{name}-{ellipsis(pods)}.{domain}:{PORT}"
        found.append(
            {
                "name": name,
                "number": number,
                "pods": pods,
                "drives": drives,
                "size": pool.get("storage_size") or "10Gi",
                "storage_class": storage_class if pool.get("storage_class") is None else pool["storage_class"],
                "shape": f"{pods} pods with {drives} drives each",
                # A single drive is no erasure set, and has nobody to talk to.
                "argument": f"{'' if total == 1 else address}{DRIVES}/drive-{ellipsis(drives)}",
            }
        )
    return found


def ellipsis(count: int) -> str:
    """So many numbers from 0 on, as the server's arguments write them."""
    return f"{{0...{count - 1}}}" if count > 1 else "0"


def users(given: Sequence[Mapping[str, Any]], buckets: Iterable[Mapping[str, Any]], region: str, tls: bool = False) -> list[dict[str, Any]]:
    """The users, each with its Secret (name and given values) and its `account`, as the module object_storage takes it.

    writes: whether it may write to its first bucket, as far as this can be told without reading a policy.

    buckets: as the role's variable has them. Raises StackgateError for names that cannot be, or are not there.
    """
    if mistakes := [*_mistakes(given, {bucket["name"] for bucket in buckets if bucket.get("state") != "absent"})]:
        raise StackgateError(
            "users of the object storage that can be made", "; ".join(mistakes), "object_storage_users; nothing was changed"
        )
    found = []
    for user in given:
        secret = _secret(user)
        absent = user.get("state") == "absent"
        values = {
            "access-key": user["name"],
            "endpoint": f"http{'s' if tls else ''}://{NAME}:{PORT}",
            "host": NAME,
            "port": str(PORT),
            "region": region,
            "bucket": next(iter(user.get("buckets") or []), ""),
        }
        account = {"name": user["name"], "state": "absent" if absent else "present"}
        if not absent:
            own = (
                {"policy": user["policy"]}
                if user.get("policy")
                else {"buckets": user["buckets"], "access": user.get("access") or "readwrite"}
            )
            account |= {"secret": secret, **own}
        writes = account.get("access") == "readwrite"
        found.append({"name": user["name"], "secret": secret, "absent": absent, "writes": writes, "values": values, "account": account})
    return found


def _secret(user: Mapping[str, Any]) -> str:
    return str(user.get("secret") or f"{NAME}-{user['name']}")


def _mistakes(given: Sequence[Mapping[str, Any]], buckets: set[str]) -> Iterable[str]:
    for what, values in (("users are called", [user["name"] for user in given]), ("users have the Secret", map(_secret, given))):
        yield from (f"{times} {what} {value}" for value, times in Counter(values).items() if times > 1)
    for user in given:
        name = user["name"]
        if not USER.fullmatch(name):
            yield f"the name {name!r} is not of 3 or more lower-case letters, digits, - and . between them"
        if _secret(user) == f"{NAME}-root":
            yield f"{name}: the Secret {NAME}-root is the server's own"
        if user.get("state") == "absent":
            continue
        if not user.get("buckets") and not user.get("policy"):
            yield f"{name} has neither buckets nor a policy"
        yield from (f"{name}: object_storage_buckets has no {bucket}" for bucket in user.get("buckets") or [] if bucket not in buckets)
