# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in Secrets: made once, renewed in time, and what is wrong with one of somebody else."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import certificates, values
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets.certificates import Terms

NOW = datetime.datetime(2026, 11, 21, 22, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = ("postgresql", "*.postgresql-members.shop.svc", "localhost", "127.0.0.1", "::1")
TERMS = Terms(NAMES, 1095, 365)
ABOVE = Terms(("postgresql-authority shop",), 7300, 1095)


def held(plan: values.Plan) -> values.Existing:
    """The Secret after the plan."""
    return values.Existing(plan.data, plan.generated, plan.derived)


def authority(now=NOW, found=None):
    return certificates.plan_authority(found or values.Existing(), ABOVE, now)


def certificate(above, found=None, terms=TERMS, now=NOW):
    return certificates.plan_certificate(held(found) if found else values.Existing(), terms, above.data, now)


@pytest.fixture(scope="module")
def above():
    return authority()


@pytest.fixture(scope="module")
def made(above):
    return certificate(above)


def test_made_once(above, made):
    assert made.actions == dict.fromkeys(("tls.crt", "tls.key", "ca.crt"), values.GENERATED)
    assert made.generated == {"tls.crt", "tls.key", "ca.crt"}
    again = certificate(above, made)
    assert (again.data, set(again.actions.values())) == (made.data, {values.UNCHANGED})
    kept = authority(found=held(above))
    assert (kept.data, set(kept.actions.values())) == (above.data, {values.UNCHANGED})
    assert b"PRIVATE" not in made.data["tls.crt"] + made.data["ca.crt"]
    assert "PRIVATE" not in repr(made)


def test_names_and_times(above, made):
    found = certificates.read(made.data)
    assert set(found.names) == set(NAMES)
    assert found.ends == NOW + 1095 * DAY
    assert found.trusted
    assert [name for name in ("postgresql", "postgresql-1.postgresql-members.shop.svc", "127.0.0.1") if not found.covers(name)] == []
    assert not any(map(found.covers, ("other", "postgresql.shop.svc", "a.b.postgresql-members.shop.svc", "postgresql-members.shop.svc")))
    assert found.facts()["subject"] == "CN=postgresql"


@pytest.mark.parametrize(
    ("days", "renewed"), [(0, False), (729, False), (731, True), (5000, True)], ids=["new", "more than a year left", "less", "ended"]
)
def test_renewed_before_it_ends(above, made, days, renewed):
    plan = certificate(above, made, now=NOW + days * DAY)
    assert (plan.data["tls.crt"] != made.data["tls.crt"]) == renewed == (plan.actions["tls.key"] == values.ROTATED)
    assert (plan.data["ca.crt"], certificates.read(plan.data).trusted) == (made.data["ca.crt"], True)


def test_made_anew_for_other_names_another_authority_or_another_key(above, made):
    assert certificate(above, made, Terms((*NAMES, "more"), 1095, 365)).data["tls.crt"] != made.data["tls.crt"]
    other = authority()
    plan = certificate(other, made)
    assert plan.data["ca.crt"] == other.data["tls.crt"]
    assert certificates.read(plan.data).trusted
    mixed = values.Plan({**made.data, "tls.key": other.data["tls.key"]}, {}, made.generated, frozenset())
    assert certificate(above, mixed).actions["tls.key"] == values.ROTATED
    broken = values.Plan({**made.data, "tls.crt": b"nothing"}, {}, made.generated, frozenset())
    assert certificate(above, broken).actions["tls.crt"] == values.ROTATED


def test_an_authority_is_made_anew_before_a_certificate_would_outlive_it(above):
    assert authority(NOW + 6000 * DAY, held(above)).data == above.data
    assert authority(NOW + 6206 * DAY, held(above)).data != above.data


def test_an_authority_that_somebody_brought_is_left_alone_and_not_outlived(above):
    brought = values.Existing(above.data)
    late = NOW + 7200 * DAY
    assert authority(late, brought).data == above.data
    first = certificate(above, now=late)
    assert certificates.read(first.data).ends == NOW + 7300 * DAY
    assert certificate(above, first, now=late + DAY).data == first.data, "a new one would last no longer"
    with pytest.raises(StackgateError, match="ended on 2046-11-16"):
        certificate(above, now=NOW + 7301 * DAY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tls.crt": b""}, "tls.crt is a certificate in PEM"),
        ({"tls.key": b"x"}, "tls.key is none"),
    ],
)
def test_an_authority_that_is_none(above, made, change, words):
    with pytest.raises(StackgateError, match=words):
        certificates.plan_certificate(values.Existing(), TERMS, {**above.data, **change}, NOW)
    with pytest.raises(StackgateError, match="may not sign others"):
        certificates.plan_certificate(values.Existing(), TERMS, made.data, NOW)


def test_a_client_trusts_it(above, made, tmp_path):
    """TLS itself: a client that checks chain and name, and one that trusts another authority."""
    # Of today: the handshake looks at the clock.
    today = datetime.datetime.now(datetime.UTC)
    ours = authority(today)
    served = certificate(ours, now=today)
    for name, data in served.data.items():
        (tmp_path / name).write_bytes(data)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")

    def handshake(ca: bytes, name: str) -> None:
        one, other = socket.socketpair()
        one.settimeout(5)
        other.settimeout(5)

        def serve() -> None:
            try:
                server.wrap_socket(other, server_side=True).close()
            except OSError:
                other.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            ssl.create_default_context(cadata=ca.decode()).wrap_socket(one, server_hostname=name).close()
        finally:
            one.close()
            thread.join()

    for name in ("postgresql", "postgresql-0.postgresql-members.shop.svc", "127.0.0.1"):
        handshake(served.data["ca.crt"], name)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch|not valid for"):
        handshake(served.data["ca.crt"], "redis")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority(today).data["tls.crt"], "postgresql")


# -- of somebody else ------------------------------------------------------------------------------------------------


def test_a_certificate_that_serves(made):
    found = certificates.examine(made.data, "the Secret x", ["postgresql"], NOW)
    assert found.ends > NOW


@pytest.mark.parametrize(
    ("change", "now", "words"),
    [
        ({"ca.crt": b""}, NOW, "without ca.crt; it has ca.crt, tls.crt, tls.key"),
        ({"tls.crt": b"", "tls.key": b""}, NOW, "without tls.crt and tls.key"),
        ({"tls.crt": b"-----BEGIN"}, NOW, "tls.crt is none"),
        ({"tls.key": b"very-s3cret"}, NOW, "tls.key is none"),
        ({}, NOW + 1096 * DAY, "the certificate ended on 2029-11-20 22:00 UTC"),
        ({}, NOW - DAY, "the certificate begins on 2026-11-21 21:00 UTC"),
    ],
)
def test_what_is_wrong_is_named(made, change, now, words):
    with pytest.raises(StackgateError, match=words) as caught:
        certificates.examine({**made.data, **change}, "the Secret x", ["postgresql"], now)
    assert "the Secret x" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_all_that_is_wrong_is_named_at_once(made):
    other = authority()
    mixed = {**made.data, "ca.crt": other.data["tls.crt"], "tls.key": other.data["tls.key"]}
    with pytest.raises(StackgateError) as caught:
        certificates.examine(mixed, "the Secret x", ["postgresql", "postgresql-leader"], NOW)
    for words in ("is not for postgresql-leader; it is for postgresql, ", "ca.crt has not signed it", "tls.key is not the key of tls.crt"):
        assert words in caught.value.seen


def test_an_authority_in_between_is_found_in_the_chain(above):
    """As a public authority issues: the certificate, then the one in between; ca.crt has the root."""
    root_cert, root_key = certificates._key_pair(above.data)
    key, leaf_key = certificates._new_key(), certificates._new_key()
    name = certificates._name("in between")
    between = certificates._signed(name, root_cert.subject, key, root_key, NOW, NOW + 100 * DAY)
    leaf = certificates._signed(certificates._name("x"), name, leaf_key, key, NOW, NOW + 10 * DAY, ("postgresql",))
    pem = certificates._pem
    data = {"tls.crt": pem(leaf) + pem(between), "tls.key": certificates._pem_key(leaf_key), "ca.crt": pem(root_cert)}
    assert certificates.examine(data, "x", ["postgresql"], NOW).trusted
    with pytest.raises(StackgateError, match=r"ca\.crt has not signed it"):
        certificates.examine({**data, "tls.crt": pem(leaf)}, "x", ["postgresql"], NOW)
