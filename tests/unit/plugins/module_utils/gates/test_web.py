# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""http, tcp and journey against a small server of our own; the port-forward to a pod is a stand-in."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _content, _protocol
from ansible_collections.stackgate.k3s.plugins.module_utils.gates._cookies import Jar

PASSWORD = 'correct "horse"'


class Forum(BaseHTTPRequestHandler):
    """A forum: log in with a token and a password, post, read, upload."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def state(self) -> dict[str, Any]:
        return self.server.state  # type: ignore[attr-defined,no-any-return]

    def answer(self, status: int, body: Any = "", **headers: str) -> None:
        content = body if isinstance(body, bytes) else (json.dumps(body) if isinstance(body, dict | list) else str(body)).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", "X-Forum": "yes", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.state["seen"].append(f"GET {self.path} {self.headers['Host']} {self.headers.get('Cookie', '')}".strip())
        thread = self.state["threads"].get(self.path)
        if self.path == "/":
            self.answer(200, "<html><title>Forum</title></html>", Set_Cookie=f"csrftoken=tok; Path=/{self.state['cookie']}")
        elif self.path == "/moved":
            self.answer(302, "", Location="/")
        elif self.path == "/file":
            self.answer(200, self.state["file"], Content_Type="image/png")
        elif self.path == "/slow" and self.state["slow"] > 0:
            self.state["slow"] -= 1
            self.answer(404, "not yet")
        elif thread or self.path == "/slow":
            self.answer(200, thread or "done")
        else:
            self.answer(404, "<h1>no such page</h1>")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.state["seen"].append(f"POST {self.path}")
        if "csrftoken=tok" not in (self.headers["Cookie"] or "") or self.headers["X-CSRFToken"] != "tok":
            self.answer(403, {"detail": "CSRF failed"})
        elif self.path == "/api/auth/":
            given = json.loads(body)
            right = given == {"username": "admin", "password": PASSWORD}
            said: dict[str, Any] = {"user": {"id": 7}} if right else {"detail": f"wrong password {given['password']}"}
            self.answer(200 if right else 400, said, Set_Cookie="sessionid=s; HttpOnly")
        elif "sessionid=s" not in self.headers["Cookie"]:
            self.answer(401, {"detail": "log in"})
        elif self.path == "/api/threads/":
            given = json.loads(body)
            self.state["threads"]["/t/1/"] = f"<h1>{given['title']}</h1> in {given['category']!r}"
            self.answer(200, {"id": 1, "url": "http://forum.test/t/1/", "results": [{"id": 5}]})
        else:
            self.state["file"] = body[body.index(b"\x89PNG") : body.rindex(b"\r\n--")]
            self.answer(200, {"url": "/file"})

    def do_DELETE(self) -> None:
        self.state["seen"].append(f"DELETE {self.path}")
        self.answer(204 if self.state["threads"].pop("/t/1/", None) else 404)


@pytest.fixture
def forum() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forum)
    server.state = {"threads": {}, "seen": [], "file": b"", "cookie": "", "slow": 2}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def web(scene: Callable[..., Any], forum: ThreadingHTTPServer) -> Any:
    """A recorded cluster whose pods' port 8080 is the forum, and any other port closed."""
    made = scene("web_ready")

    def connect(pod: str, namespace: str, port: int, timeout: float) -> socket.socket:
        made.cluster.calls.append(f"forward {pod}:{port}")
        near, far = socket.socketpair()
        near.settimeout(timeout)
        if port == 8080:
            behind = socket.create_connection(forum.server_address)  # type: ignore[arg-type]
            for one, other in ((far, behind), (behind, far)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()
            return near
        far.close()

        class Refused(socket.socket):
            error = "dial tcp4 127.0.0.1:9: connect: connection refused"

        return Refused(fileno=near.detach())

    made.cluster.connect_pod = connect
    return made


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        return


def url(forum: ThreadingHTTPServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{forum.server_address[1]}"


# -- http --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "state", "words"),
    [
        ({}, "holds", "200 from"),
        ({"body": "Forum"}, "holds", "200 from"),
        ({"body": ["Forum", "Chat"]}, "waiting", "the body does not contain 'Chat': Forum"),
        ({"path": "/none"}, "waiting", "status 404 Not Found, expected 200: no such page"),
        ({"path": "/none", "status": [200, 404]}, "holds", "404 from"),
        ({"path": "/moved"}, "waiting", "status 302 Found to /, expected 200"),
        ({"path": "/moved", "status": 302, "headers": {"location": "^/$"}}, "holds", "302 from"),
        ({"headers": {"x-forum": "ye"}}, "holds", "200 from"),
        ({"headers": {"x-forum": "no"}}, "waiting", "header x-forum is 'yes', expected to match 'no'"),
        ({"headers": {"x-none": "."}}, "waiting", "header x-none is absent"),
    ],
)
def test_http_checks_what_is_asked(web: Any, forum: Any, fields: dict[str, Any], state: str, words: str) -> None:
    seen = web.observe("http", url=url(forum), **fields)
    assert (str(seen.state), words in seen.seen) == (state, True), seen.seen


def test_http_through_a_service_asks_every_ready_pod(web: Any, forum: Any) -> None:
    seen = web.observe("http", service="web", body="Forum")
    assert (seen.state, "from 2 ways" in seen.seen) == ("holds", True)
    assert sorted(web.cluster.calls)[-2:] == sorted(f"forward {pod['metadata']['name']}:8080" for pod in web.cluster.objects["Pod"])
    assert forum.state["seen"] == [f"GET / web.{web.session.namespace}.svc"] * 2


def test_http_through_a_pod_takes_a_port_s_name(web: Any) -> None:
    pod = web.cluster.objects["Pod"][0]["metadata"]["name"]
    assert web.observe("http", pod=pod, port="http").state == "holds"
    seen = web.observe("http", pod=pod, port="metrics")
    assert (seen.state, "declared: http:8080" in seen.seen) == ("failed", True)


def test_http_says_that_nothing_listens(web: Any) -> None:
    pod = web.cluster.objects["Pod"][0]["metadata"]["name"]
    seen = web.observe("http", pod=pod, port=9)
    assert seen.state == "waiting"
    assert "port 9: connection refused (nothing listens on that port in the pod)" in seen.seen


def test_http_names_a_port_that_the_service_does_not_have(web: Any) -> None:
    seen = web.observe("http", service="web", port=8000)
    assert (seen.state, seen.seen) == ("failed", "Service web has no port 8000; it has 80")


def test_http_to_nobody_says_so(web: Any) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    assert "Connection refused" in web.observe("http", url=f"http://127.0.0.1:{port}/").seen


def test_http_to_something_else_says_so(web: Any) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        sock, _peer = server.accept()
        sock.sendall(b"220 mail.example ESMTP\r\n")
        sock.close()

    threading.Thread(target=greet, daemon=True).start()
    assert "no HTTP answer but" in web.observe("http", url=f"http://127.0.0.1:{server.getsockname()[1]}/").seen
    server.close()


def test_http_through_an_ingress_goes_to_each_of_its_addresses(web: Any, forum: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, called = socket.create_connection, []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        called.append(address)
        if address[0].endswith("13"):
            raise TimeoutError("timed out")
        return real(forum.server_address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    seen = web.observe("http", ingress="web")
    assert sorted(called) == [("10.231.0.11", 80), ("10.231.0.12", 80), ("10.231.0.13", 80)]
    assert (seen.state, seen.seen) == ("waiting", "10.231.0.13:80 (node3): no answer in time")
    assert set(forum.state["seen"]) == {"GET / gate-web.k3s"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) for forum.test, signed by itself."""
    directory = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=forum.test", "-addext", "subjectAltName=DNS:forum.test"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    try:
        subprocess.run([*command, *subject, "-keyout", directory / "key", "-out", directory / "crt"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return directory / "crt", directory / "key"


def test_http_over_tls_checks_name_and_authority(web: Any, forum: Any, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    forum.socket = context.wrap_socket(forum.socket, server_side=True)
    there = url(forum, "https")
    seen = web.observe("http", url=there, tls_name="forum.test", ca_cert=str(certificate[0]))
    assert seen.state == "holds", seen.seen
    assert web.observe("http", url=there, tls_name="forum.test", ca_cert=certificate[0].read_text()).state == "holds"
    assert web.observe("http", url=there, tls_verify=False).state == "holds"
    for fields, words in (
        ({"ca_cert": str(certificate[0]), "tls_name": "other.test"}, "not valid for 'other.test'"),
        ({"tls_name": "forum.test"}, "self-signed certificate"),
        ({"ca_cert": "/nowhere.pem"}, "No such file"),
    ):
        seen = web.observe("http", url=there, **fields)
        assert (str(seen.state), words in seen.seen) == ("waiting", True), seen.seen


# -- tcp ---------------------------------------------------------------------------------------------------------


def test_tcp_through_a_service_and_a_pod(web: Any) -> None:
    assert web.observe("tcp", service="web", port=80).seen == "2 accept connections"
    pod = web.cluster.objects["Pod"][0]["metadata"]["name"]
    assert web.observe("tcp", pod=pod, port="http").state == "holds"
    seen = web.observe("tcp", pod=pod, port=9)
    assert (seen.state, "nothing listens" in seen.seen) == ("waiting", True)


def test_tcp_asks_and_compares(web: Any, forum: Any) -> None:
    there = {"address": "127.0.0.1", "port": forum.server_address[1], "request_timeout": 2}
    asked = "GET / HTTP/1.0\r\n\r\n"
    assert web.observe("tcp", **there).state == "holds"
    assert web.observe("tcp", **there, send=asked, expect="200 OK").state == "holds"
    assert "expected '+PONG'" in web.observe("tcp", **there, send=asked, expect="+PONG").seen


# -- journey -----------------------------------------------------------------------------------------------------

STEPS: list[dict[str, Any]] = [
    {"name": "open the forum", "path": "/", "session": "admin", "expect": {"body": "Forum"}},
    {
        "name": "log in",
        "method": "POST",
        "path": "/api/auth/",
        "session": "admin",
        "json": {"username": "admin", "password": "${password}"},
        "save": {"user": "json user.id"},
    },
    {
        "name": "post",
        "method": "POST",
        "path": "/api/threads/",
        "session": "admin",
        "json": {"title": "gate ${run}", "category": "${user}"},
        "expect": {"json": {"results.0.id": 5, "url": "~/t/\\d+/$"}},
        "save": {"thread": "json id", "address": "json url"},
    },
    {"name": "read it", "path": "${address}", "session": "anonymous", "expect": {"body": ["gate ${run}", "in 7"]}},
    {"name": "wait for the worker", "path": "/slow", "retry": True},
    {
        "name": "upload",
        "method": "POST",
        "path": "/api/upload/",
        "session": "admin",
        "multipart": {"kind": "avatar", "upload": {"png": "8x8"}},
        "save": {"file": "json url"},
    },
    {"name": "fetch it", "path": "${file}", "expect": {"headers": {"Content-Type": "image/png"}}},
    {
        "name": "delete it",
        "method": "DELETE",
        "path": "/api/threads/${thread}/",
        "session": "admin",
        "expect": {"status": 204},
        "always": True,
    },
]


@pytest.fixture
def travel(web: Any) -> Callable[..., tuple[Any, Any]]:
    """A journey through the pods of the recorded Service, by default the whole one; (condition, what it saw in each round)."""
    web.cluster.secrets["admin"] = {"password": base64.b64encode(PASSWORD.encode()).decode()}

    def go(steps: list[dict[str, Any]] | None = None, rounds: int = 5, **fields: Any) -> tuple[Any, list[Any]]:
        given = {"kind": "journey", "service": "web", "host": "forum.test", "csrf": {"cookie": "csrftoken", "header": "X-CSRFToken"}}
        given |= {"secrets": {"password": {"secret": "admin", "key": "password"}}, "steps": STEPS if steps is None else steps, **fields}
        condition = _protocol.parse([given])[0]
        seen = []
        while len(seen) < rounds and not (seen and seen[-1].state != "waiting"):
            seen.append(condition.observe(web.view()))
        return condition, seen

    return go


def test_a_journey_goes_its_whole_way(travel: Any, forum: Any) -> None:
    _condition, seen = travel()
    assert [str(look.state) for look in seen] == ["waiting", "waiting", "holds"], seen[-1].seen
    assert "step 5 of 8, 'wait for the worker'" in seen[0].seen
    posts = [line for line in forum.state["seen"] if line.startswith(("POST", "DELETE"))]
    assert posts == ["POST /api/auth/", "POST /api/threads/", "POST /api/upload/", "DELETE /api/threads/1/"]
    assert "GET /t/1/ forum.test" in forum.state["seen"]  # no cookie: another visitor
    assert forum.state["file"].startswith(b"\x89PNG\r\n\x1a\n")
    assert [step["name"] for step in seen[-1].data["steps"]][-1] == "delete it"


def test_a_journey_that_fails_tidies_up_and_shows_no_secret(travel: Any, forum: Any) -> None:
    broken = [*STEPS[:3], {"name": "read it", "path": "/t/2/"}, *STEPS[-3:]]
    _condition, seen = travel(broken)
    assert len(seen) == 1
    assert seen[0].state == "failed"
    assert "step 4 of 7, 'read it' (GET /t/2/): status 404 Not Found, expected 200: no such page" in seen[0].seen
    assert forum.state["threads"] == {}
    assert "POST /api/upload/" not in forum.state["seen"]


def test_clean_up_that_lacks_its_values_is_left_out(travel: Any, forum: Any) -> None:
    _condition, seen = travel([STEPS[0], {"name": "break", "path": "/none"}, STEPS[2], STEPS[-1]], variables={"user": 7})
    assert seen[-1].state == "failed"
    assert not [line for line in forum.state["seen"] if line.startswith("DELETE")]


def test_a_wrong_password_is_not_repeated(travel: Any, web: Any) -> None:
    wrong = 'wrong "secret" & more'
    web.cluster.secrets["admin"] = {"password": base64.b64encode(wrong.encode()).decode()}
    _condition, seen = travel()
    assert seen[-1].state == "failed"
    assert "status 400" in seen[-1].seen
    assert "***" in seen[-1].seen
    assert "secret" not in seen[-1].seen


def test_a_secret_that_is_not_there_is_waited_for(travel: Any, web: Any) -> None:
    web.cluster.secrets = {"admin": {"user": ""}}
    from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

    with pytest.raises(StackgateError, match="has no key password; it has user"):
        travel()


def test_the_first_step_is_tried_until_it_holds(travel: Any, forum: Any) -> None:
    _condition, seen = travel([{"name": "wait", "path": "/slow"}, {"name": "go", "path": "/"}])
    assert [str(look.state) for look in seen] == ["waiting", "waiting", "holds"]


def test_a_journey_that_is_broken_off_tidies_up(travel: Any, web: Any, forum: Any) -> None:
    forum.state["slow"] = 100
    condition, seen = travel(rounds=2)
    assert (seen[-1].state, list(forum.state["threads"])) == ("waiting", ["/t/1/"])
    condition.close(web.view())
    assert forum.state["threads"] == {}
    assert condition.observe(web.view()).state == "failed"


def test_a_journey_does_not_begin_in_check_mode(travel: Any, web: Any, forum: Any) -> None:
    web.session.check_mode = True
    _condition, seen = travel(rounds=1)
    assert ("check mode" in seen[0].seen, forum.state["seen"]) == (True, [])


def test_a_secure_cookie_over_http_is_explained(travel: Any, forum: Any) -> None:
    forum.state["cookie"] = "; Secure"
    _condition, seen = travel()
    assert ("status 403" in seen[-1].seen, "marks csrftoken as Secure" in seen[-1].hint) == (True, True)


def test_redirects_are_followed_when_asked(travel: Any) -> None:
    _condition, seen = travel([{"name": "a", "path": "/"}, {"name": "b", "path": "/moved", "follow": True, "expect": {"body": "Forum"}}])
    assert seen[-1].state == "holds"
    _condition, seen = travel([{"name": "a", "path": "/"}, {"name": "b", "path": "/moved"}])
    assert seen[-1].state == "failed"


@pytest.mark.parametrize(
    ("save", "value"), [("cookie csrftoken", "tok"), ("header X-Forum", "yes"), ("regex <title>(\\w+)", "Forum"), ("regex html", "html")]
)
def test_values_are_kept_from_everywhere(travel: Any, save: str, value: str) -> None:
    condition, _seen = travel([{"name": "a", "path": "/", "save": {"it": save}}, {"name": "b", "path": "/?${it}"}])
    assert condition._values["it"] == value


def test_what_cannot_be_kept_is_said(travel: Any) -> None:
    _condition, seen = travel([{"name": "a", "path": "/", "save": {"it": "regex nothing(.)"}}], rounds=1)
    assert "it (regex nothing(.)) cannot be saved: no such regex" in seen[0].seen


# -- parts -------------------------------------------------------------------------------------------------------


def test_a_jar_behaves_like_a_browser() -> None:
    jar = Jar()
    jar.store("a", ["x=1; Path=/sub", "y=2; Secure; HttpOnly", "z=3"])
    assert jar.header("a", "/", False) == "z=3"
    assert jar.header("a", "/sub/page", True) == "x=1; y=2; z=3"
    assert jar.header("b", "/", True) == ""
    jar.store("a", ["z=; Max-Age=0", "y=; expires=Thu, 01 Jan 1970 00:00:00 GMT"])
    assert jar.header("a", "/", True) == ""


def test_a_generated_picture_is_a_png_and_never_twice_the_same() -> None:
    one, other = _content.picture(16, 8), _content.picture(16, 8)
    assert one != other
    assert one[12:16] == b"IHDR"
    assert (int.from_bytes(one[16:20]), int.from_bytes(one[20:24])) == (16, 8)


def test_placeholders_keep_their_type_when_alone() -> None:
    assert _content.filled({"a": ["${n}", "no ${n}"]}, {"n": 5}) == {"a": [5, "no 5"]}


def test_a_path_into_json_names_what_is_not_there() -> None:
    assert _content.at({"a": [{"b": 1}]}, "a.0.b") == 1
    with pytest.raises(LookupError, match=r"no 'c' of 'a\.0\.c' in the JSON; there: b"):
        _content.at({"a": [{"b": 1}]}, "a.0.c")
