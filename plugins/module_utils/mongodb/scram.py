# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as texts in and out."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets

MECHANISM = "SCRAM-SHA-256"
# RFC 7677: fewer rounds than this are refused, so that nobody who plays the server gets the password cheaply.
FEWEST_ITERATIONS = 4096


class ScramError(Exception):
    """The server's answer is not what the protocol says, or does not prove that it knows the password."""


class Conversation:
    """One login: first(), then final() with the server's first text, then verify() with its last."""

    def __init__(self, username: str, password: str, nonce: str = "") -> None:
        self._password = password
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(24)).decode()
        name = username.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._proof_of_server = b""

    def first(self) -> bytes:
        """Who wants to log in."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The proof that we know the password. Raises ScramError."""
        text = challenge.decode()
        fields = _fields(text)
        nonce, iterations = fields["r"], int(fields["i"])
        if not nonce.startswith(self._nonce) or iterations < FEWEST_ITERATIONS:
            raise ScramError(f"the server's challenge is not one: {'nonce' if iterations >= FEWEST_ITERATIONS else 'too few rounds'}")
        salted = _salted(self._password, base64.b64decode(fields["s"]), iterations)
        client_key = _hmac(salted, b"Client Key")
        without_proof = f"c=biws,r={nonce}"
        signed = f"{self._bare},{text},{without_proof}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        self._proof_of_server = _hmac(_hmac(salted, b"Server Key"), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, outcome: bytes) -> None:
        """Check that the server knows the password, too. Raises ScramError."""
        if not hmac.compare_digest(base64.b64decode(_fields(outcome.decode()).get("v", "")), self._proof_of_server):
            raise ScramError("the server does not prove that it knows the password")


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(part.split("=", 1) for part in text.split(","))
    except ValueError:
        raise ScramError("the server's text is not SCRAM") from None


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


@functools.lru_cache(maxsize=32)
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    """About 8 ms for 15 000 rounds; remembered, since all members of a set have the same salt."""
    return hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, iterations)


def _prepared(password: str) -> str:
    if password.isascii():
        return password
    from pymongo.saslprep import saslprep

    return str(saslprep(password))
