# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against answers of a server, without one: over a socket that it is given, and what it makes of refusals and silence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused, Server

pytest.importorskip("minio")

KEYS = Keys("chat", "a secret that nobody may see")


def answering(*answers: bytes) -> tuple[Callable[[float], socket.socket], list[str]]:
    """A dial whose connections are answered in this order, and the request lines that came."""
    left = list(answers)
    asked: list[str] = []

    def serve(far: socket.socket) -> None:
        with far:
            while left:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = far.recv(65536)
                    if not data:
                        return
                    request += data
                asked.append(request.split(b"\r\n", 1)[0].decode())
                answer = left.pop(0)
                if not answer:
                    return
                far.sendall(answer)

    def dial(seconds: float) -> socket.socket:
        near, far = socket.socketpair()
        threading.Thread(target=serve, args=(far,), daemon=True).start()
        return near

    return dial, asked


def http(status: str, body: str = "", kind: str = "application/xml", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}".encode()


def error(code: str, message: str = "no") -> str:
    return f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"


def server(*answers: bytes, timeout: float = 5.0) -> tuple[Server, list[str]]:
    dial, asked = answering(*answers)
    return Server("pod store-0", "store.shop.svc", dial, timeout=timeout), asked


def test_a_health_endpoint_over_a_given_socket() -> None:
    asked_server, asked = server(http("503 Service Unavailable", X_Minio_Write_Quorum="3"))
    answer = asked_server.ask("/minio/health/cluster")
    assert (answer.status, answer.headers["x-minio-write-quorum"]) == (503, "3")
    assert asked == ["GET /minio/health/cluster HTTP/1.1"]


def test_one_connection_serves_several_questions() -> None:
    asked_server, asked = server(http("200 OK"), http("412 Precondition Failed"))
    assert [asked_server.ask("/a").status, asked_server.ask("/b").status] == [200, 412]
    assert len(asked) == 2


def test_what_s3_refuses_is_told_in_its_words() -> None:
    asked_server, _asked = server(http("403 Forbidden", error("AccessDenied", "Access Denied.")))
    with pytest.raises(Refused) as caught:
        asked_server.store(KEYS).buckets()
    assert (caught.value.code, caught.value.seen) == ("AccessDenied", "AccessDenied: Access Denied.")


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ('{"Code":"XMinioAdminBucketQuotaExceeded","Message":"full"}', "application/json", "XMinioAdminBucketQuotaExceeded"),
        (error("SlowDownWrite", "unwritable"), "application/xml", "SlowDownWrite"),
        ("bad gateway", "text/plain", "HTTP 503"),
    ],
)
def test_what_the_administration_refuses(body: str, kind: str, code: str) -> None:
    asked_server, _asked = server(http("503 Service Unavailable", body, kind))
    with pytest.raises(Refused) as caught:
        asked_server.store(KEYS).set_quota("files", 1)
    assert caught.value.code == code
    assert KEYS.secret_key not in str(caught.value)


def test_none_is_no_error() -> None:
    missing = '{"Code":"%s","Message":"none"}'
    asked_server, _asked = server(
        http("404 Not Found", missing % "XMinioAdminNoSuchUser", "application/json"),
        http("404 Not Found", missing % "XMinioAdminNoSuchPolicy", "application/json"),
        http("404 Not Found", error("ObjectLockConfigurationNotFoundError")),
        http("404 Not Found", error("NoSuchLifecycleConfiguration")),
    )
    store = asked_server.store(KEYS)
    assert (store.user("x"), store.policy("x"), store.object_lock("files"), store.lifecycle("files")) == (None, None, None, ())


def test_a_user_as_the_administration_tells_it() -> None:
    asked_server, _asked = server(http("200 OK", '{"policyName":"b,a","status":"enabled","memberOf":[]}', "application/json"))
    assert asked_server.store(KEYS).user("chat") == {"enabled": True, "policies": ["a", "b"]}


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (http("200 OK", "<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"), True),
        (http("403 Forbidden", error("AccessDenied")), True),
        (http("403 Forbidden", error("SignatureDoesNotMatch")), False),
        (http("403 Forbidden", error("InvalidAccessKeyId")), False),
    ],
)
def test_who_can_log_in(answer: bytes, known: bool) -> None:
    asked_server, _asked = server(answer)
    assert asked_server.store(KEYS).logs_in() is known


def test_silence_ends_after_its_time() -> None:
    quiet, _far = socket.socketpair()
    with pytest.raises(StackgateError, match="pod store-0: no answer within 0 s"):
        Server("pod store-0", "store", lambda _seconds: quiet, timeout=0.2).ask("/")


def test_a_refused_connection_says_why() -> None:
    def dial(_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(StackgateError) as caught:
        Server("pod store-0", "store", dial).ask("/")
    assert caught.value.seen == "pod store-0: Connection refused"


def test_the_kubelet_s_words_are_used_when_nothing_listens() -> None:
    class Forwarded(socket.socket):
        error = "error forwarding port 9000 to pod x: connection refused"

    near, far = socket.socketpair()
    far.close()
    forwarded = Forwarded(fileno=near.detach())
    with pytest.raises(StackgateError, match="nothing listens on that port in the pod"):
        Server("pod store-0", "store", lambda _seconds: forwarded).ask("/")


def test_keys_do_not_show_their_secret() -> None:
    assert repr(KEYS) == "Keys(access_key='chat')"
