# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of a PostgreSQL cluster as they can be reached from here: Patroni's REST API and the server itself.

Patroni answers HTTP/1.0: each question is a connection of its own, through the API server's port-forward or to an address.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach, _web
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import sql
from ansible_collections.stackgate.k3s.plugins.module_utils.tunnel import Dial

T = TypeVar("T")

PORT, API_PORT = 5432, 8008
# Seconds that a member may take to answer a question.
ANSWER_TIMEOUT = 5.0


@dataclass(frozen=True)
class Credentials:
    """A user. The password is in no text of this object."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """Where a member is. pod: reached by port-forward; without it, by host. port: PostgreSQL's; api_port: Patroni's."""

    name: str
    pod: str = ""
    host: str = ""
    port: int = PORT
    api_port: int = API_PORT


class Refused(StackgateError):
    """Patroni answered with an error. status: of HTTP; said: its words."""

    def __init__(self, where: str, request: str, status: int, said: str) -> None:
        self.status, self.said = status, said
        hint = "the REST API's user or password is another one" if status == 401 else ""
        super().__init__(f"{where} accepts {request}", f"{status} {said}", hint)


class Member:
    """One member. Methods may be called from any thread.

    label: what errors call it. api, dial: ways to Patroni's REST API and to PostgreSQL.
    superuser, rest: whom to log in as there; None where nobody may.
    """

    def __init__(
        self, address: Address, api: Dial, dial: Dial, superuser: Credentials | None = None, rest: Credentials | None = None
    ) -> None:
        self.name, self.address = address.name, address
        self.label = f"{address.name} (Pod/{address.pod})" if address.pod and address.pod != address.name else address.name
        self._api, self.dial, self._superuser, self._rest = api, dial, superuser, rest

    def status(self, path: str, timeout: float = ANSWER_TIMEOUT) -> int:
        """The HTTP status of a health check such as /primary. Raises StackgateError when nobody answers."""
        return self._exchange("GET", path, None, timeout, lambda body: True).status

    def get(self, path: str, timeout: float = ANSWER_TIMEOUT) -> Any:
        """The JSON at a path. Raises Refused, or another StackgateError when nobody answers."""
        answer = self._exchange("GET", path, None, timeout)
        if answer.status != 200:
            raise Refused(self.label, f"GET {path}", answer.status, _web.excerpt(answer))
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise StackgateError(f"{self.label} answers GET {path} with JSON", _web.excerpt(answer)) from error

    def send(self, method: str, path: str, body: Mapping[str, Any], timeout: float) -> str:
        """Do something that needs the REST API's user; what Patroni says of it. Raises as get()."""
        answer = self._exchange(method, path, body, timeout)
        if not 200 <= answer.status < 300:
            raise Refused(self.label, f"{method} {path}", answer.status, _web.excerpt(answer))
        return answer.text

    def connect(self, database: str = "postgres", credentials: Credentials | None = None, timeout: float = ANSWER_TIMEOUT) -> sql.Session:
        """A connection to its server, as the superuser unless told otherwise. Use it in a `with`. Raises StackgateError."""
        login = credentials or self._superuser
        if login is None:
            raise StackgateError("a user to log in to PostgreSQL as", "none is given", "set credentials_secret or login_user")
        return sql.Session(self.dial, self.label, login.username, login.password, database, timeout)

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float, whole: Callable[[bytes], bool] | None = None
    ) -> _web.Answer:
        headers = {}
        if self._rest is not None and method != "GET":
            token = base64.b64encode(f"{self._rest.username}:{self._rest.password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        door = _reach.Door(self.label, "patroni", self._api)
        content = None if body is None else json.dumps(body).encode()
        return _web.exchange(door, method, path, headers=headers, body=content, timeout=timeout, whole=whole or _is_json)


class Members:
    """The members that were named, by name. timeout: seconds for an answer to a question about their state.

    make: reaches a member that was not named.
    """

    def __init__(
        self, scope: str, members: Iterable[Member], timeout: float = ANSWER_TIMEOUT, make: Callable[[str], Member] | None = None
    ) -> None:
        self.scope, self.timeout, self._make = scope, timeout, make
        self._members = {member.name: member for member in members}

    def __getitem__(self, name: str) -> Member:
        """The member of that name; StackgateError for one that nobody has named."""
        if name not in self._members:
            raise StackgateError(f"{name} is one of the members", f"these were given: {', '.join(self._members)}")
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def including(self, names: Iterable[str]) -> Members:
        """These, and those of that name, reached as the others are; who cannot be reached so is left out."""
        more = [self._make(name) for name in names if name not in self] if self._make else []
        return Members(self.scope, [*self, *more], self.timeout, self._make)

    def ask(self, *questions: Callable[[Member], T]) -> dict[str, tuple[T | StackgateError, ...]]:
        """Ask all members all questions at the same time: answers, and StackgateErrors, by name. Another exception is raised."""

        def work(task: tuple[Member, Callable[[Member], T]]) -> T | StackgateError:
            member, question = task
            try:
                return question(member)
            except StackgateError as error:
                return error

        tasks = [(member, question) for member in self for question in questions]
        if not tasks:
            return {}
        with ThreadPoolExecutor(len(tasks)) as pool:
            answers = iter(list(pool.map(work, tasks)))
        return {member.name: tuple(next(answers) for _question in questions) for member in self}


def reach(
    scope: str,
    addresses: Iterable[Address],
    superuser: Credentials | None = None,
    rest: Credentials | None = None,
    namespace: str = "",
    cluster: Callable[[], Cluster] | None = None,
    timeout: float = ANSWER_TIMEOUT,
) -> Members:
    """The members at these addresses. cluster: makes the connection to the API server; called once, and only when there are pods.

    A member that turns up later is taken for a pod of its name when the others are pods.
    """
    known = tuple(addresses)
    connected = cluster() if cluster is not None and any(address.pod for address in known) else None

    def dial(address: Address, port: int) -> Dial:
        if address.pod and connected is not None:
            return lambda seconds: connected.connect_pod(address.pod, namespace, port, timeout=seconds)
        return lambda seconds: socket.create_connection((address.host, port), timeout=seconds)

    def member(address: Address) -> Member:
        return Member(address, dial(address, address.api_port), dial(address, address.port), superuser, rest)

    def another(name: str) -> Member:
        return member(Address(name, pod=name, port=known[0].port, api_port=known[0].api_port))

    return Members(scope, map(member, known), timeout, another if connected is not None else None)


def _is_json(body: bytes) -> bool:
    """Whether a body is complete. One that is no JSON, such as an error's text, is read to its end."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def quietly(work: Callable[[], object]) -> None:
    """Do something of which nothing depends on whether it works."""
    with contextlib.suppress(StackgateError):
        work()
