# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the doc fragment mongodb_members, turned into members that can be asked."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import client
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.client import Credentials, Members
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import host_and_port

# Ansible imports the actions that use this once, before it forks: the driver is loaded there, and only by playbooks that need it.
with contextlib.suppress(ImportError):
    importlib.import_module("pymongo")


@dataclass
class Access:
    """How a set is reached. Use it in a `with`: it closes the connections.

    names: what each host is called. administrator: whom the connections log in as. secret: value of a key of a Secret.
    """

    members: Members
    names: Mapping[str, str]
    administrator: Credentials | None
    secret: Callable[[str, str], str]

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_error: object) -> None:
        self.members.close()


def access(options: Mapping[str, Any], connect: Callable[[], Cluster], check: bool = False) -> Access:
    """From the options of a task. connect: makes the connection to the cluster; called at most once, and only when it is needed.

    check: in check mode a Secret that is missing is taken for one that the run makes before this task.
    Raises StackgateError when options contradict each other, a Secret or its key is missing, or a library is.
    """
    need_pymongo()
    cluster = functools.cache(connect)
    namespace = str(options["namespace"] or "")
    pods = {host_and_port(str(member["host"])): str(member.get("pod") or "") for member in options["members"]}
    names = {host_and_port(str(member["host"])): str(member.get("name") or member["host"]) for member in options["members"]}
    if not namespace and (any(pods.values()) or options["credentials_secret"]):
        raise StackgateError("namespace says where the pods and Secrets are", "it is not given", "set the option namespace")

    @functools.cache
    def read(name: str) -> Mapping[str, str] | None:
        found = cluster().get("v1", "Secret", name, namespace) if namespace else None
        if found is None and not check:
            raise StackgateError(
                f"the Secret {name} is in namespace {namespace or '(none given)'}",
                "it is not there",
                "make it first, for instance with generated_secret, or correct its name",
            )
        return None if found is None else found.get("data") or {}

    def secret(name: str, key: str) -> str:
        data = read(name)
        if data is None:
            return f"({key} of Secret {name})"
        if key not in data:
            raise StackgateError(f"the Secret {name} has the key {key}", f"it has {', '.join(sorted(data)) or 'no key'}")
        return base64.b64decode(data[key]).decode()

    administrator = None
    if options["credentials_secret"]:
        administrator = Credentials(secret(options["credentials_secret"], "username"), secret(options["credentials_secret"], "password"))
    elif options["login_user"]:
        administrator = Credentials(str(options["login_user"]), str(options["login_password"] or ""))
    return Access(client.reach(pods, administrator, namespace, cluster), names, administrator, secret)


def need_pymongo() -> None:
    """StackgateError when the client library is not installed."""
    try:
        import pymongo  # noqa: F401  # pylint: disable=unused-import
    except ImportError as error:
        raise StackgateError("the Python package pymongo is installed", str(error), "install it: pip install pymongo") from error
