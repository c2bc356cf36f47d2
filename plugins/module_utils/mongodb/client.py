# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of a set as they can be reached from here: by address, or as pods through the API server's port-forward.

Each member is asked for itself, over one connection that is made when it is first needed, and all of them at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Connection, Dial

T = TypeVar("T")

PORT = 27017
# Seconds that a member may take to answer a question about its state.
ANSWER_TIMEOUT = 5.0
# Seconds by which the answer to a command with maxTimeMS may be later than that: some are (recorded: 04f, 10 s for 3 s).
GRACE = 15.0

UNAUTHORIZED = 13


@dataclass(frozen=True)
class Credentials:
    """A user of a database. The password is in no text of this object."""

    username: str
    password: str = field(repr=False)
    source: str = "admin"


def split(host: str) -> tuple[str, int]:
    """Name and port of `name:port`; the port may be left out, an IPv6 address is in brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = host, str(PORT)
    return name.strip("[]"), int(port)


def direct_dial(host: str) -> Dial:
    """The way to a member by the address in its name."""
    return lambda seconds: socket.create_connection(split(host), timeout=seconds)


def pod_dial(cluster: Cluster, namespace: str, pod: str, port: int) -> Dial:
    """The way to a member in a pod. In the pod the connection comes from 127.0.0.1."""
    return lambda seconds: cluster.connect_pod(pod, namespace, port, timeout=seconds)


class Member:
    """One member. Methods may be called from any thread, one after the other.

    host: its name in the set; label: what errors call it. credentials: used as soon as the server wants a login.
    """

    def __init__(self, host: str, dial: Dial, credentials: Credentials | None = None, label: str = "") -> None:
        self.host, self.label = host, label or host
        self.credentials = credentials
        # None: not tried on this connection; else whether the login worked.
        self.logged_in: bool | None = None
        self._dial = dial
        self._connection: Connection | None = None
        self._lock = threading.RLock()

    def command(
        self, body: Mapping[str, Any], database: str = "admin", timeout: float = ANSWER_TIMEOUT, login: bool = True
    ) -> dict[str, Any]:
        """Send one command and return its reply; logs in first when the server asks for it, as far as that works.

        timeout: seconds, also for connecting. login: whether to log in when the server wants it.
        Raises CommandFailed when the server refuses, Unreachable when it does not answer: whether the command was carried out
        is not known then.
        """
        with self._lock:
            begun = time.monotonic()
            connection = self._open()
            try:
                return connection.command(body, database, timeout)
            except CommandFailed as error:
                if error.code != UNAUTHORIZED or self.logged_in or not login or not self.login(timeout):
                    raise
            return connection.command(body, database, max(timeout - (time.monotonic() - begun), 1.0))

    def hello(self, timeout: float = ANSWER_TIMEOUT) -> dict[str, Any]:
        """Who it is and what it does.

        With credentials a login is tried before, once: in a set that stands all that follows needs it, and later it means to connect
        again.
        """
        with self._lock:
            self._open()
            if self.logged_in is None:
                self.login(timeout)
            return self.command({"hello": 1}, timeout=timeout)

    def login(self, timeout: float = ANSWER_TIMEOUT) -> bool:
        """Authenticate; False when there are no credentials, or the server does not take them."""
        with self._lock:
            if self.credentials is None:
                return False
            connection = self._open()
            try:
                connection.login(self.credentials.username, self.credentials.password, self.credentials.source, timeout)
                self.logged_in = True
            except CommandFailed:  # 18, or the server is in no state to tell: then it refuses what needs a login
                self.logged_in = False
            return self.logged_in

    def accepts(self, credentials: Credentials, timeout: float = ANSWER_TIMEOUT) -> bool:
        """Whether a login with these works, tried on a connection of its own."""
        with contextlib.closing(Member(self.host, self._dial, credentials, self.label)) as other:
            return other.login(timeout)

    def close(self) -> None:
        """End the connection; the next command opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self.logged_in = None, None

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self.logged_in = None
            self._connection = Connection(self._dial, self.label)
        return self._connection


class Members:
    """Members by host. Use it in a `with`: it closes the connections."""

    def __init__(self, members: Iterable[Member], make: Callable[[str], Member] | None = None) -> None:
        self._members = {member.host: member for member in members}
        self._make = make

    def __getitem__(self, host: str) -> Member:
        """The member of that name; one that was not named before is reached as the others are."""
        if host not in self._members and self._make is not None:
            self._members[host] = self._make(host)
        return self._members[host]

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def ask(self, question: Callable[[Member], T], hosts: Iterable[str] | None = None) -> dict[str, T | StackgateError]:
        """Ask all of them (or these) at the same time: answers, and StackgateErrors, by host. Another exception is raised."""
        asked = [self[host] for host in hosts] if hosts is not None else list(self)
        if not asked:
            return {}

        def work(member: Member) -> T | StackgateError:
            try:
                return question(member)
            except StackgateError as error:
                return error

        with ThreadPoolExecutor(len(asked)) as pool:
            return dict(zip([member.host for member in asked], pool.map(work, asked), strict=True))

    def close(self) -> None:
        """End all connections."""
        for member in self:
            member.close()

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def reach(
    hosts: Mapping[str, str], credentials: Credentials | None, namespace: str = "", cluster: Callable[[], Cluster] | None = None
) -> Members:
    """The members of these hosts. hosts: host to the name of its pod, empty for one that is connected to directly.

    cluster: makes the connection to the API server; called once, and only when there are pods.
    A member that turns up later, in a set's configuration, is taken for the pod that its host begins with when the others are pods.
    """
    pods = any(hosts.values())
    connected = cluster() if pods and cluster is not None else None

    def make(host: str) -> Member:
        pod = hosts.get(host, split(host)[0].partition(".")[0] if pods else "")
        if not pod or connected is None:
            return Member(host, direct_dial(host), credentials)
        return Member(host, pod_dial(connected, namespace, pod, split(host)[1]), credentials, f"{host} (Pod/{pod})")

    return Members([make(host) for host in hosts], make)
