# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and passwords from Secrets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials


def credentials(cluster: Callable[[], Cluster], namespace: str, where: Mapping[str, Any] | None, check: bool = False) -> Credentials | None:
    """A user by name, with the password that a key of a Secret has. where: {secret, username, key}; None: nobody logs in.

    check: a Secret that is missing is taken for one that is still to be made. Raises StackgateError.
    """
    if not where:
        return None
    username = str(where["username"])
    return Credentials(
        username, secret_value(cluster, namespace, str(where["secret"]), str(where.get("key") or f"{username}-password"), check)
    )


def application(cluster: Callable[[], Cluster], namespace: str, secret: str) -> Credentials:
    """The user of a Secret with the keys `username` and `password`. Raises StackgateError."""
    return Credentials(*(secret_value(cluster, namespace, secret, key) for key in ("username", "password")))


def secret_value(cluster: Callable[[], Cluster], namespace: str, name: str, key: str, check: bool = False) -> str:
    """The value of a Secret's key. Raises StackgateError when there is none."""
    found = cluster().get("v1", "Secret", name, namespace)
    if found is None and check:
        return ""
    if found is None:
        raise StackgateError(
            f"the Secret {name} is in namespace {namespace}",
            "it is not there",
            "make it first, for instance with generated_secret, or correct its name",
        )
    data = found.get("data") or {}
    if key not in data:
        raise StackgateError(f"the Secret {name} has the key {key}", f"it has {', '.join(sorted(data)) or 'no key'}")
    return base64.b64decode(data[key]).decode()
