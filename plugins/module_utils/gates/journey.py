# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A visitor's conversation with the application: requests in order, each building on the answers before."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _content, _reach, _web
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._content import File
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._cookies import Jar
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._protocol import Condition, Observation, failed, holds, waiting
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View

PLACES = ("ingress", "service", "pod", "url")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SAVES = re.compile(r"(json|cookie|header|regex)(?: (.+))?", re.DOTALL)
REDIRECTS = (301, 302, 303, 307, 308)
# Names that every journey has: a random text, so that what it makes is its own.
BUILT_IN = ("run",)
MOST_REDIRECTS = 5


@dataclass(kw_only=True)
class Expect:
    """What an answer must be like."""

    status: int | list[int] = field(default=200, metadata={"doc": "Status code or codes that are right."})
    body: str | list[str] = field(default_factory=list, metadata={"doc": "Text or texts that the body must contain."})
    headers: dict[str, str] = field(
        default_factory=dict, metadata={"doc": "Header name to a regular expression that its value must match somewhere."}
    )
    json: dict[str, Any] = field(
        default_factory=dict,
        metadata={"doc": "Path into the JSON (results.0.id) to its value; a text that begins with ~ is a regular expression."},
    )


@dataclass(kw_only=True)
class SecretKey:
    """Where a secret value is kept."""

    secret: str = field(metadata={"doc": "Name of the Secret in the gate's namespace."})
    key: str = field(metadata={"doc": "Key in it."})


@dataclass(kw_only=True)
class Csrf:
    """A token that comes as a cookie and goes back as a header, with every request that changes something."""

    cookie: str = field(metadata={"doc": "Name of the cookie, csrftoken for instance."})
    header: str = field(metadata={"doc": "Name of the header, X-CSRFToken for instance."})


@dataclass(kw_only=True)
class Step:
    """One request."""

    name: str = field(metadata={"doc": "What the visitor does; it stands in messages."})
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = field(default="GET", metadata={"doc": "HTTP method."})
    path: str = field(metadata={"doc": "Path and query; of a whole address (which an answer gave) the host is left out."})
    host: str | None = field(default=None, metadata={"doc": "Host header of this step."})
    session: str = field(default="visitor", metadata={"doc": "Whose cookies: each name is a visitor of its own."})
    form: dict[str, Any] | None = field(default=None, metadata={"doc": "Body: a form."})
    json: Any = field(default=None, metadata={"doc": "Body: JSON."})
    multipart: dict[str, str | File] | None = field(
        default=None,
        metadata={"doc": "Body: a form with files; a field is a text, or {png: 64x64}, or {text: ...}, with filename and type."},
    )
    headers: dict[str, str] = field(default_factory=dict, metadata={"doc": "More request headers."})
    follow: bool = field(default=False, metadata={"doc": "Whether redirects are followed."})
    expect: Expect = field(default_factory=Expect, metadata={"doc": "What the answer must be like; status 200 when nothing is said."})
    save: dict[str, str] = field(
        default_factory=dict,
        metadata={
            "doc": "Name to what is kept of the answer: json <path>, cookie <name>, header <name>, or regex <expression> (its first group)."
        },
    )
    retry: bool = field(default=False, metadata={"doc": "Ask again, once a round, until the answer is as expected."})
    always: bool = field(
        default=False, metadata={"doc": "Clean-up: done even after a step has failed, as far as the values that it needs are known."}
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """One body, and sources that are understood."""
        bodies = [name for name in ("form", "json", "multipart") if getattr(self, name) is not None]
        if len(bodies) > 1:
            yield bodies[0], f"a request has one body, not {' and '.join(bodies)}"
        for name, source in self.save.items():
            parsed = SAVES.fullmatch(source)
            if not parsed or (parsed[1] != "json" and not parsed[2]):
                yield f"save[{name}]", "expected json <path>, cookie <name>, header <name> or regex <expression>"
            elif parsed[1] == "regex":
                try:
                    re.compile(parsed[2])
                except re.error as error:
                    yield f"save[{name}]", f"no regular expression: {error}"

    @property
    def needs(self) -> set[str]:
        """The names of the values that it takes from elsewhere."""
        given = (self.path, self.host, self.form, self.json, self.multipart, self.headers, self.expect.body, self.expect.json)
        return _content.placeholders(given)


@dataclass(kw_only=True)
class Journey(Condition):
    """See the module's text and docs/gates.md."""

    repeats: ClassVar[bool] = False

    name: str = field(default="", metadata={"doc": "What it is called in messages."})
    ingress: str | None = field(default=None, metadata={"doc": "Ingress by whose first address to go."})
    service: str | None = field(default=None, metadata={"doc": "Service to ask (through the API server)."})
    pod: str | None = field(default=None, metadata={"doc": "Pod to ask (through the API server)."})
    url: str | None = field(
        default=None, metadata={"doc": "Address of the site.", "pattern": r"https?://[^/\s]+/?", "like": "http://<host>"}
    )
    port: int | str | None = field(default=None, metadata={"doc": "Port, by number or name."})
    scheme: Literal["http", "https"] = field(default="http", metadata={"doc": "How it is spoken to."})
    host: str | None = field(default=None, metadata={"doc": "Host header; the host of the Ingress' first rule when unset."})
    tls_name: str | None = field(default=None, metadata={"doc": "Name that the certificate must carry; the host when unset."})
    ca_cert: str | None = field(
        default=None, metadata={"doc": "Authority that has signed the certificate: PEM text or a file of the control node."}
    )
    tls_verify: bool = field(default=True, metadata={"doc": "Whether the certificate is checked."})
    request_timeout: float = field(default=15.0, metadata={"doc": "Seconds for one answer.", "above": 0})
    secrets: dict[str, SecretKey] = field(
        default_factory=dict, metadata={"doc": "Name to {secret, key}: values read when the journey begins, and never shown."}
    )
    variables: dict[str, Any] = field(default_factory=dict, metadata={"doc": "Name to value, for ${name}. ${run} is a random text."})
    csrf: Csrf | None = field(default=None, metadata={"doc": "{cookie, header}: the token that requests which change something carry."})
    steps: list[Step] = field(metadata={"doc": "The requests, in order."})

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._position = 0
        self._over = False
        self._values: dict[str, Any] = {"run": secrets.token_hex(4), **self.variables}
        self._hidden: list[str] = []
        self._jars: dict[str, Jar] = {}
        self._done: list[dict[str, Any]] = []

    def check(self) -> Iterator[tuple[str, str]]:
        yield from _reach.one_of(PLACES, self)
        if not self.steps:
            yield "steps", "there are none"
        known = {*BUILT_IN, *self.variables, *self.secrets}
        for position, step in enumerate(self.steps):
            for name in sorted(step.needs - known):
                yield f"steps[{position}]", f"nothing before it gives a value to ${{{name}}}; known: {', '.join(sorted(known))}"
            known |= step.save.keys()

    def describe(self) -> str:
        return f"journey {self.name or 'of ' + str(len(self.steps)) + ' steps'} through {self._target()}"

    def expected(self) -> str:
        return "each step is answered as expected: " + ", ".join(step.name for step in self.steps)

    # -- running -------------------------------------------------------------------------------------------------

    def observe(self, view: View) -> Observation:
        """Go on where the last look ended, as far as it goes."""
        if view.session.check_mode:
            return waiting("not begun in check mode: a journey changes what it visits")
        with self._lock:
            if self._over:
                return failed("ended early")
            try:
                doors = _reach.doors(self._target(), view)
                self._read_secrets(view)
            except _reach.NoDoor as none:
                return none.observation
            while self._position < len(self.steps):
                step = self.steps[self._position]
                wrong = self._try(step, doors)
                if wrong and (step.retry or self._position == 0):
                    # Before the first step has held, nothing has begun.
                    return waiting(self._said(step, wrong), data={"steps": self._done})
                if wrong:
                    self._over = True
                    said = self._said(step, wrong) + self._clean_up(self._position + 1, doors)
                    return failed(said, hint=self._hint(doors), data={"steps": self._done})
                self._position += 1
            self._over = True
            total = sum(done["seconds"] for done in self._done)
            return holds(f"{len(self.steps)} steps in {total:.1f} s", data={"steps": self._done})

    def close(self, view: View) -> None:
        """The gate ended before the journey did: clean up what it has made."""
        if not self._lock.acquire(timeout=self.request_timeout):
            return
        try:
            if not self._over and self._position:
                self._over = True
                self._clean_up(self._position, _reach.doors(self._target(), view))
        except (_reach.NoDoor, StackgateError):
            return
        finally:
            self._lock.release()

    def _clean_up(self, begin: int, doors: list[_reach.Door]) -> str:
        """Do the steps marked always whose values are known; what went wrong with them, as an appendix to a message."""
        said = ""
        for step in self.steps[begin:]:
            if step.always and step.needs <= self._values.keys():
                wrong = self._try(step, doors)
                if wrong:
                    said += f"; clean-up {step.name!r} failed: {wrong}"
        return self._masked(said)

    def _said(self, step: Step, wrong: str) -> str:
        return self._masked(f"step {self.steps.index(step) + 1} of {len(self.steps)}, {step.name!r} ({step.method} {step.path}): {wrong}")

    def _hint(self, doors: list[_reach.Door]) -> str:
        host = self.host or doors[0].host
        withheld = [name for jar in self._jars.values() for name in jar.withheld(host)] if self._scheme() == "http" else []
        if withheld:
            names = ", ".join(sorted(set(withheld)))
            return f"the site marks {names} as Secure, so that it is not sent over http: visit it over https, or unmark it"
        return ""

    def _masked(self, text: str) -> str:
        for value in self._hidden:
            text = text.replace(value, "***")
        return text

    def _read_secrets(self, view: View) -> None:
        for name, where in self.secrets.items():
            if name in self._values:
                continue
            secret = view.cluster.get("v1", "Secret", where.secret, view.namespace)
            data = (secret or {}).get("data") or {}
            if where.key not in data:
                lacks = "does not exist" if secret is None else f"has no key {where.key}; it has {', '.join(sorted(data))}"
                raise StackgateError(f"Secret {where.secret} with key {where.key}", f"Secret {where.secret} {lacks}")
            value = base64.b64decode(data[where.key]).decode()
            self._values[name] = value
            # In JSON and in forms a value may look different: hide those forms, too.
            shapes = {value, json.dumps(value)[1:-1], urllib.parse.quote_plus(value), data[where.key]}
            self._hidden = sorted({*self._hidden, *(shape for shape in shapes if len(shape) > 3)}, key=len, reverse=True)

    # -- one step ------------------------------------------------------------------------------------------------

    def _try(self, step: Step, doors: list[_reach.Door]) -> str:
        """Do a step; what is wrong with its answer, empty when nothing is."""
        begun = time.monotonic()
        try:
            answer = self._request(step, doors)
        except StackgateError as error:
            return error.seen
        wrong = self._wrong(step, answer) or self._save(step, answer, doors)
        self._done.append({"name": step.name, "status": answer.status, "seconds": round(time.monotonic() - begun, 3), "right": not wrong})
        return wrong

    def _request(self, step: Step, doors: list[_reach.Door]) -> _web.Answer:
        method, body, content_type = step.method, *self._body(step)
        path, host = _path(str(_content.filled(step.path, self._values))), self._host(step, doors)
        for _hop in range(MOST_REDIRECTS + 1):
            answer = self._ask(step, method, path, host, body, content_type, doors)
            self._jar(step).store(host, answer.values("Set-Cookie"))
            if not (step.follow and answer.status in REDIRECTS and answer.values("Location")):
                return answer
            target = urllib.parse.urlsplit(urllib.parse.urljoin(f"{self._scheme()}://{host}{path}", answer.values("Location")[0]))
            path, host = _path(target.geturl()), target.netloc
            if answer.status in (301, 302, 303) and method != "HEAD":
                method, body, content_type = "GET", None, ""
        raise StackgateError("an answer", f"more than {MOST_REDIRECTS} redirects, the last to {path}")

    def _ask(
        self, step: Step, method: str, path: str, host: str, body: bytes | None, content_type: str, doors: list[_reach.Door]
    ) -> _web.Answer:
        """One exchange, through the first door that lets us in."""
        headers = {"Host": host, **self._headers(step, method, path, host)}
        if content_type:
            headers["Content-Type"] = content_type
        headers.update({name: str(value) for name, value in _content.filled(step.headers, self._values).items()})
        tls = _web.Tls(self.tls_name or host.partition(":")[0], self.ca_cert or "", self.tls_verify) if self._scheme() == "https" else None
        for door in doors[:-1]:
            try:
                door.connect(self.request_timeout).close()
            except (OSError, StackgateError):
                continue
            return _web.exchange(door, method, path, headers=headers, body=body, tls=tls, timeout=self.request_timeout)
        return _web.exchange(doors[-1], method, path, headers=headers, body=body, tls=tls, timeout=self.request_timeout)

    def _headers(self, step: Step, method: str, path: str, host: str) -> dict[str, str]:
        jar, secure = self._jar(step), self._scheme() == "https"
        headers = {"Accept": "*/*"}
        cookies = jar.header(host, path, secure)
        if cookies:
            headers["Cookie"] = cookies
        if method in UNSAFE:
            # Django compares both with the host when it is asked over https.
            headers |= {"Origin": f"{self._scheme()}://{host}", "Referer": f"{self._scheme()}://{host}/"}
            token = jar.value(host, self.csrf.cookie) if self.csrf else None
            if self.csrf and token:
                headers[self.csrf.header] = token
        return headers

    def _body(self, step: Step) -> tuple[bytes | None, str]:
        if step.form is not None:
            return _content.form_body(_content.filled(step.form, self._values))
        if step.json is not None:
            return _content.json_body(_content.filled(step.json, self._values))
        if step.multipart is not None:
            return _content.multipart_body(_content.filled(step.multipart, self._values))
        return (b"", "") if step.method in UNSAFE else (None, "")

    def _wrong(self, step: Step, answer: _web.Answer) -> str:
        expect = step.expect
        body, wanted = _content.filled(expect.body, self._values), _content.filled(expect.json, self._values)
        wrong = _web.mismatch(answer, expect.status, body, expect.headers)
        if wrong or not wanted:
            return wrong
        try:
            parsed = json.loads(answer.body)
        except ValueError:
            return f"status {answer.status}, but no JSON: {_web.excerpt(answer)}"
        for path, value in wanted.items():
            try:
                found = _content.at(parsed, path)
            except LookupError as error:
                return f"status {answer.status}, but {error}"
            right = re.search(value[1:], str(found)) if isinstance(value, str) and value.startswith("~") else found == value
            if not right:
                return f"status {answer.status}, but JSON {path} is {found!r}, expected {value!r}"
        return ""

    def _save(self, step: Step, answer: _web.Answer, doors: list[_reach.Door]) -> str:
        """Keep what the step saves; what could not be found, empty when all was."""
        for name, source in step.save.items():
            kind, _space, what = source.partition(" ")
            try:
                self._values[name] = self._find(kind, what, step, answer, doors)
            except (LookupError, ValueError) as error:
                return f"status {answer.status}, but {name} ({source}) cannot be saved: {error}"
        return ""

    def _find(self, kind: str, what: str, step: Step, answer: _web.Answer, doors: list[_reach.Door]) -> Any:
        if kind == "json":
            return _content.at(json.loads(answer.body), what)
        if kind == "header":
            found = next(iter(answer.values(what)), None)
        elif kind == "cookie":
            found = self._jar(step).value(self._host(step, doors), what)
        else:
            match = re.search(what, answer.text)
            found = (match[1] if match.re.groups else match[0]) if match else None
        if found is None:
            raise LookupError(f"no such {kind}: {_web.excerpt(answer)}" if kind == "regex" else f"no such {kind}")
        return found

    # -- parts ---------------------------------------------------------------------------------------------------

    def _target(self) -> _reach.Target:
        return _reach.Target(self.ingress, self.service, self.pod, self.url, None, self.port, self._scheme(), self.host)

    def _scheme(self) -> str:
        return self.url.partition(":")[0] if self.url else self.scheme

    def _host(self, step: Step, doors: list[_reach.Door]) -> str:
        return str(_content.filled(step.host, self._values)) if step.host else doors[0].host

    def _jar(self, step: Step) -> Jar:
        return self._jars.setdefault(step.session, Jar())


def _path(address: str) -> str:
    """The path and query of an address or a path."""
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit(("", "", urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._"), parts.query, ""))
