# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request over a socket that somebody else has opened."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _reach
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._reach import Door

# Bytes of an answer that are read; a marker is looked for in them.
MOST_BYTES = 4 * 1024 * 1024
AGENT = "stackgate"
_contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
_contexts_lock = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode(errors="replace")

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class Tls:
    """How to check the other side's certificate. name: whom it must name; ca: PEM text or a file of the control node."""

    name: str = ""
    ca: str = ""
    verify: bool = True


def context(tls: Tls) -> ssl.SSLContext:
    """A TLS context, made once for the same authority. StackgateError when the authority cannot be read."""
    key = (tls.ca, tls.verify)
    with _contexts_lock:
        if key not in _contexts:
            _contexts[key] = _make_context(tls)
        return _contexts[key]


def _make_context(tls: Tls) -> ssl.SSLContext:
    if not tls.verify:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        return made
    try:
        text = tls.ca if "-----BEGIN" in tls.ca or not tls.ca else Path(tls.ca).expanduser().read_text(encoding="ascii")
        return ssl.create_default_context(cadata=text or None)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise StackgateError("ca_cert is a certificate authority in PEM, as text or as a file", str(error)) from error


def exchange(
    door: Door,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    tls: Tls | None = None,
    timeout: float = 5.0,
    whole: Callable[[bytes], bool] | None = None,
) -> Answer:
    """Ask once, on a connection of its own. timeout: seconds for connecting and for each read.

    whole: tells whether a body is complete, for servers that say so by closing only: a port-forward hands that on a second later.
    Raises StackgateError: nobody answered, or not over HTTP, or the certificate is wrong.
    """
    begun = time.monotonic()
    raw: socket.socket | None = None
    # The connection's own host is never used to connect: the socket is there already.
    connection = http.client.HTTPConnection("unused", timeout=timeout)
    try:
        raw = door.connect(timeout)
        raw.settimeout(timeout)
        connection.sock = context(tls).wrap_socket(raw, server_hostname=tls.name or door.host.partition(":")[0]) if tls else raw
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": door.host, "User-Agent": AGENT, "Connection": "close", **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Length", str(len(body)))
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read(MOST_BYTES) if whole is None else _read_until(answer, whole)
        return Answer(answer.status, answer.reason, tuple(answer.getheaders()), content, time.monotonic() - begun)
    except ssl.SSLCertVerificationError as error:
        raise StackgateError(f"a certificate for {(tls or Tls()).name or door.host}", f"{door.label}: {error.verify_message}") from error
    except StackgateError as error:
        raise StackgateError(f"{door.label} answers", f"{door.label}: {_reach.why(error)}", error.hint) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, http.client.BadStatusLine) and not getattr(raw, "error", ""):
            said = f"no HTTP answer but {str(error)[:60]!r}" if str(error).strip("'") else "the connection was closed without an answer"
        else:
            said = _reach.why(error, raw)
        raise StackgateError(f"{door.label} answers", f"{door.label}: {said}", waited=time.monotonic() - begun) from error
    finally:
        connection.close()
        if raw is not None:
            raw.close()


def _read_until(answer: http.client.HTTPResponse, whole: Callable[[bytes], bool]) -> bytes:
    """The body, as soon as it is complete or ends."""
    content = b""
    while not whole(content) and len(content) < MOST_BYTES:
        more = answer.read1(MOST_BYTES)
        if not more:
            break
        content += more
    return content


def excerpt(answer: Answer, length: int = 160) -> str:
    """The beginning of a body that a person can read: no tags, one line."""
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", answer.text[:20000])
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def mismatch(answer: Answer, status: int | list[int], body: str | list[str], headers: Mapping[str, str]) -> str:
    """What is not as expected in an answer; empty when all is. headers: name to a regular expression."""
    wanted = status if isinstance(status, list) else [status]
    if answer.status not in wanted:
        moved = f" to {answer.values('Location')[0]}" if answer.values("Location") else ""
        return f"status {answer.status} {answer.reason}{moved}, expected {' or '.join(map(str, wanted))}: {excerpt(answer)}"
    for marker in [body] if isinstance(body, str) else body:
        if marker not in answer.text:
            return f"status {answer.status}, but the body does not contain {marker!r}: {excerpt(answer)}"
    for name, pattern in headers.items():
        values = answer.values(name)
        if not any(re.search(pattern, value) for value in values):
            has = ", ".join(map(repr, values)) or "absent"
            return f"status {answer.status}, but header {name} is {has}, expected to match {pattern!r}"
    return ""
