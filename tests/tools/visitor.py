# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A visitor of a web page: HTTP with cookies, by an address and a host name of one's own choice.

Written with the standard library and apart from the collection's own client, so that the two check each other.
"""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

# Seconds for one request: a forum's first page after a start compiles its templates.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Upload:
    """A file in a multipart form."""

    name: str
    content: bytes
    type: str = "application/octet-stream"


@dataclass
class Visitor:
    """One browser session. `address` is where to connect to, `host` what to ask for."""

    address: str
    host: str
    port: int = 80
    timeout: float = TIMEOUT
    cookies: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; redirects are not followed. OSError when nothing answers within `timeout` seconds."""
        sent = {"Host": self.host, "Accept": "*/*", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method != "GET":
            sent |= {"X-CSRFToken": self.cookies.get("csrftoken", ""), "Referer": f"http://{self.host}/"}
        connection = http.client.HTTPConnection(self.address, self.port, timeout=self.timeout)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie") or []:
                self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, data: Any, method: str = "POST") -> Answer:
        """`data` as JSON."""
        return self.request(method, path, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def upload(self, path: str, fields: Mapping[str, str | Upload]) -> Answer:
        """A multipart form, as a browser sends it for a file."""
        boundary = secrets.token_hex(16)
        parts = []
        for name, value in fields.items():
            disposition = f'Content-Disposition: form-data; name="{name}"'
            if isinstance(value, Upload):
                parts.append(
                    f'--{boundary}\r\n{disposition}; filename="{value.name}"\r\nContent-Type: {value.type}\r\n\r\n'.encode() + value.content
                )
            else:
                parts.append(f"--{boundary}\r\n{disposition}\r\n\r\n{value}".encode())
        body = b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])
        return self.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
