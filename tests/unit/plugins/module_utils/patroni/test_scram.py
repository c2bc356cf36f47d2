# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords are compared with the verifiers that a server keeps."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import scram

# RFC 7677, section 3: user `user`, password `pencil`, this salt, 4096 rounds; the keys are those of its messages.
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="


def verifier(password: bytes, salt: str = SALT, rounds: int = 4096) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${rounds}:{salt}${base64.b64encode(stored).decode()}:{base64.b64encode(server).decode()}"


def test_the_rfc_s_own_example() -> None:
    salted = hashlib.pbkdf2_hmac("sha256", scram.prepared("pencil"), base64.b64decode(SALT), 4096)
    said = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), said.encode(), "sha256")
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    assert base64.b64encode(proof).decode() == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert scram.matches(verifier(b"pencil"), "pencil")


@pytest.mark.parametrize(
    "kept", [None, "", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$x", "SCRAM-SHA-256$4096:!$!:!", "$".join("abc")]
)
def test_what_is_no_verifier_of_this_kind_never_matches(kept: str | None) -> None:
    assert not scram.matches(kept, "pencil")


def test_another_password() -> None:
    assert not scram.matches(verifier(b"pencil"), "pencils")


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("plain $%", b"plain $%"),
        ("I\u00adX", b"IX"),  # RFC 4013, section 3
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("a\u00a0b", b"a b"),
        ("pässwörd", "pässwörd".encode()),
        ("a\u0308", "ä".encode()),
        ("\u0627\u0031", "\u0627\u0031".encode()),  # may not be prepared: taken as it is
        ("\u00ad", "\u00ad".encode()),
    ],
)
def test_passwords_are_prepared_as_the_server_does(password: str, prepared: bytes) -> None:
    assert scram.prepared(password) == prepared
    assert scram.matches(verifier(prepared), password)
