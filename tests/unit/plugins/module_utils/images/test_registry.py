# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry client against a small HTTP server."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import (
    Address,
    Registry,
    RegistryError,
    Unreachable,
    is_private,
    parse_address,
    parse_challenge,
)

DIGEST = "sha256:" + "a" * 64
BASIC = "Basic " + base64.b64encode(b"user:se:cret").decode()


class Handler(BaseHTTPRequestHandler):
    """A registry with one image, team/stackgate/app:1. auth: none, basic or bearer."""

    auth: ClassVar[str] = "none"
    broken: ClassVar[bool] = False
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.asked.append((self.command, self.path, self.headers.get("Accept", "")))
        if self.path.startswith("/token"):
            self.answer(200 if authorization == BASIC else 401, json.dumps({"token": "tok"}))
        elif self.broken:
            self.answer(500)
        elif self.auth == "basic" and authorization != BASIC:
            self.answer(401, challenge='Basic realm="registry"')
        elif self.auth == "bearer" and authorization != "Bearer tok":
            port = self.server.server_address[1]
            self.answer(401, challenge=f'Bearer realm="http://127.0.0.1:{port}/token",service="reg"')
        elif self.path == "/v2/":
            self.answer(200, "{}")
        elif self.path == "/v2/team/stackgate/app/manifests/1":
            self.answer(200, digest=DIGEST)
        elif self.path == "/v2/team/stackgate/app/tags/list":
            self.answer(200, json.dumps({"tags": ["2", "1"]}))
        else:
            self.answer(404, "{}")

    def answer(self, status: int, body: str = "", challenge: str = "", digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (("WWW-Authenticate", challenge), ("Docker-Content-Digest", digest)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a running registry. A proxy is configured, and nobody is behind it."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(Handler, "auth", "none")
    monkeypatch.setattr(Handler, "broken", False)
    monkeypatch.setattr(Handler, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def registry(host: str, **options: Any) -> Registry:
    return Registry(parse_address(f"{host}/team"), **options)


def test_digest_is_that_of_the_manifest_as_it_was_pushed(host: str) -> None:
    assert registry(host).digest("stackgate/app", "1") == DIGEST
    method, _path, accept = Handler.asked[-1]
    assert method == "HEAD"
    assert "application/vnd.oci.image.manifest.v1+json" in accept
    assert "application/vnd.oci.image.index.v1+json" in accept


def test_what_is_missing_is_none(host: str) -> None:
    assert registry(host).digest("stackgate/app", "2") is None
    assert registry(host).tags("stackgate/other") == []


def test_tags(host: str) -> None:
    assert registry(host).tags("stackgate/app") == ["1", "2"]


def test_no_proxy_is_asked_for_a_private_registry(host: str) -> None:
    registry(host).ping()
    assert Handler.asked == [("GET", "/v2/", "application/json")]


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_are_given_when_asked_for(host: str, auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "auth", auth)
    known = registry(host, username="user", password="se:cret")
    known.ping()
    assert known.digest("stackgate/app", "1") == DIGEST
    with pytest.raises(RegistryError, match="401") as caught:
        registry(host, username="user", password="wrong").ping()
    assert "wrong" not in str(caught.value)
    assert "stackgate_registry_username" in caught.value.hint


def test_a_token_is_asked_for_once(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "auth", "bearer")
    known = registry(host, username="user", password="se:cret")
    for _turn in range(3):
        known.digest("stackgate/app", "1")
    assert sum(path.startswith("/token") for _method, path, _accept in Handler.asked) == 1


def test_missing_credentials_are_said(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "auth", "basic")
    with pytest.raises(RegistryError, match="401"):
        registry(host).digest("stackgate/app", "1")


def test_a_broken_registry_is_no_missing_image(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "broken", True)
    with pytest.raises(RegistryError, match="500"):
        registry(host).digest("stackgate/app", "1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_registry_that_is_down_says_where_it_was_looked_for() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        Registry(parse_address("registry.k3s:5000", f"http://127.0.0.1:{port}")).wait(0.3)
    assert f"http://127.0.0.1:{port}" in caught.value.expected
    assert "refused" in caught.value.seen
    assert caught.value.waited is not None
    assert 0.3 <= caught.value.waited < 3


def test_a_refusal_is_not_waited_for(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "auth", "basic")
    with pytest.raises(RegistryError, match="401"):
        registry(host).wait(60)


def test_tls_to_a_plain_registry_hints_at_it(host: str) -> None:
    with pytest.raises(RegistryError) as caught:
        Registry(parse_address(host, tls=True)).ping()
    assert f"stackgate_registry_url: http://{host}" in caught.value.hint


def test_what_is_no_http_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection = server.accept()[0]
            connection.recv(1000)
            connection.sendall(b"220 mail ready\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(RegistryError, match="speaks HTTP"):
            Registry(parse_address(f"127.0.0.1:{server.getsockname()[1]}")).ping()


@pytest.mark.parametrize(
    ("registry_name", "url", "tls", "expected"),
    [
        ("registry.k3s:5000", "", None, Address("http", "registry.k3s:5000")),
        ("registry.k3s:5000", "http://10.0.0.1:5000", None, Address("http", "10.0.0.1:5000")),
        ("registry.k3s:5000", "10.0.0.1:5000", True, Address("https", "10.0.0.1:5000")),
        ("registry.k3s:5000", "http://10.0.0.1:5000/", True, Address("http", "10.0.0.1:5000")),
        ("ghcr.io/team", "", None, Address("https", "ghcr.io", "team")),
        ("ghcr.io/team/sub/", "", None, Address("https", "ghcr.io", "team/sub")),
        ("localhost:5000", "", None, Address("http", "localhost:5000")),
        ("[::1]:5000", "", None, Address("http", "[::1]:5000")),
        ("192.168.1.4:5000", "", True, Address("https", "192.168.1.4:5000")),
    ],
)
def test_address(registry_name: str, url: str, tls: bool | None, expected: Address) -> None:
    assert parse_address(registry_name, url, tls) == expected


@pytest.mark.parametrize(
    ("registry_name", "url"), [("", ""), ("https://a.b", ""), ("a.b", "ftp://a.b"), ("a b", ""), ("a.b", "http://c/d")]
)
def test_a_bad_address_is_refused(registry_name: str, url: str) -> None:
    with pytest.raises(RegistryError, match="stackgate_registry"):
        parse_address(registry_name, url)


def test_the_path_of_a_registry_is_part_of_the_repository() -> None:
    assert parse_address("ghcr.io/team").repository("stackgate/app") == "team/stackgate/app"
    assert parse_address("ghcr.io").repository("stackgate/app") == "stackgate/app"


@pytest.mark.parametrize(
    ("name", "private"),
    [("127.0.0.1:5000", True), ("10.1.2.3", True), ("8.8.8.8", False), ("registry", True), ("registry.k3s:5000", True), ("ghcr.io", False)],
)
def test_private_hosts(name: str, private: bool) -> None:
    assert is_private(name) is private


def test_challenge() -> None:
    assert parse_challenge('Bearer realm="https://a/t",service="s",scope="r:x:pull,push"') == (
        "bearer",
        {"realm": "https://a/t", "service": "s", "scope": "r:x:pull,push"},
    )
