# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the doc fragment patroni_members, turned into members that can be asked."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import client
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.client import Address, Credentials, Members

# Ansible imports the actions that use this once, before it forks: the driver is loaded there, and only by playbooks that need it.
with contextlib.suppress(ImportError):
    importlib.import_module("psycopg")

Secret = Callable[[str, str], str]


def access(options: Mapping[str, Any], connect: Callable[[], Cluster], check: bool = False) -> Members:
    """The members, from the options of a task. connect: makes the connection to the cluster; called only when it is needed.

    Raises StackgateError when options contradict each other, a Secret or its key is missing, or a library is.
    """
    need_psycopg()
    cluster = functools.cache(connect)
    where = addresses(options["members"])
    namespace = str(options["namespace"] or "")
    if not namespace and (any(one.pod for one in where) or options["credentials_secret"]):
        raise StackgateError("namespace says where the pods and Secrets are", "it is not given", "set the option namespace")
    superuser = _given(options, "login_user", "login_password")
    rest = _given(options, "rest_user", "rest_password")
    if options["credentials_secret"]:
        name, secret = str(options["credentials_secret"]), secrets(namespace, cluster, check)
        superuser = Credentials(secret(name, "superuser-username"), secret(name, "superuser-password"))
        rest = Credentials(secret(name, "rest-username"), secret(name, "rest-password"))
    return client.reach(str(options["scope"]), where, superuser, rest, namespace, cluster, float(options["answer_timeout"]))


def addresses(members: Sequence[Mapping[str, Any]]) -> list[Address]:
    """Where the members of the option are. Raises StackgateError with every member that is not complete."""
    found = [
        Address(
            str(one["name"]),
            str(one.get("pod") or ""),
            str(one.get("host") or ""),
            int(one.get("port") or client.PORT),
            int(one.get("api_port") or client.API_PORT),
        )
        for one in members
    ]
    names = [address.name for address in found]
    wrong = [f"{address.name} has neither" for address in found if not address.pod and not address.host]
    wrong += [f"{name} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if wrong or not found:
        raise StackgateError("members, each once, each with a pod or a host", "; ".join(wrong) or "none is given")
    return found


def secrets(namespace: str, connect: Callable[[], Cluster], check: bool = False) -> Secret:
    """A function that gives the value of a key of a Secret, each Secret read once.

    check: in check mode a Secret that is missing is taken for one that the run makes before this task.
    """

    @functools.cache
    def read(name: str) -> Mapping[str, str] | None:
        found = connect().get("v1", "Secret", name, namespace)
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
        if key not in data and not check:
            raise StackgateError(f"the Secret {name} has the key {key}", f"it has {', '.join(sorted(data)) or 'no key'}")
        return base64.b64decode(data.get(key, "")).decode()

    return secret


def need_psycopg() -> None:
    """StackgateError when the client library is not installed."""
    try:
        import psycopg  # noqa: F401  # pylint: disable=unused-import
    except ImportError as error:
        raise StackgateError("the Python package psycopg is installed", str(error), "install it: pip install 'psycopg[binary]'") from error


def _given(options: Mapping[str, Any], user: str, password: str) -> Credentials | None:
    return Credentials(str(options[user]), str(options[password] or "")) if options[user] else None
