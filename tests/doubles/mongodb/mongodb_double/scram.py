# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, 7677), both ends, without channel binding."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


class ScramError(Exception):
    """The other end does not know the password, or does not speak SCRAM."""


@dataclass(frozen=True)
class Mechanism:
    """digest: hashlib's name; iterations and salt_bytes: what mongod 5.0 takes for a new password (recorded: 08b, step 10)."""

    name: str
    digest: str
    iterations: int
    salt_bytes: int

    def hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self.digest)

    def hash(self, data: bytes) -> bytes:
        return hashlib.new(self.digest, data).digest()

    def secret(self, user: str, password: str) -> str:
        """What SCRAM takes for the password: SHA-1 keeps the digest of the older MONGODB-CR."""
        if self.digest == "sha1":
            return hashlib.md5(f"{user}:mongo:{password}".encode(), usedforsecurity=False).hexdigest()
        return unicodedata.normalize("NFKC", password)


SHA1 = Mechanism("SCRAM-SHA-1", "sha1", 10_000, 16)
SHA256 = Mechanism("SCRAM-SHA-256", "sha256", 15_000, 28)
MECHANISMS = {mechanism.name: mechanism for mechanism in (SHA1, SHA256)}


@dataclass(frozen=True)
class Credential:
    """What the server keeps of a password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def make(cls, mechanism: Mechanism, user: str, password: str, salt: bytes | None = None) -> Credential:
        salt = salt or os.urandom(mechanism.salt_bytes)
        salted = _salted(mechanism.digest, mechanism.secret(user, password), salt, mechanism.iterations)
        client_key = mechanism.hmac(salted, b"Client Key")
        return cls(mechanism.iterations, salt, mechanism.hash(client_key), mechanism.hmac(salted, b"Server Key"))

    @classmethod
    def from_document(cls, document: dict[str, object]) -> Credential:
        decoded = (base64.b64decode(str(document[key])) for key in ("salt", "storedKey", "serverKey"))
        return cls(int(str(document["iterationCount"])), *decoded)

    def document(self) -> dict[str, object]:
        """As admin.system.users holds it."""
        return {
            "iterationCount": self.iterations,
            "salt": base64.b64encode(self.salt).decode(),
            "storedKey": base64.b64encode(self.stored_key).decode(),
            "serverKey": base64.b64encode(self.server_key).decode(),
        }


@lru_cache(maxsize=256)
def _salted(digest: str, secret: str, salt: bytes, iterations: int) -> bytes:
    """Remembered: members log in to each other all the time, and it takes milliseconds."""
    return hashlib.pbkdf2_hmac(digest, secret.encode(), salt, iterations)


def fields(message: bytes) -> dict[str, str]:
    """The attributes of a message, without the channel binding's header. Raises ScramError."""
    try:
        return {part[0]: part[2:] for part in message.decode().split(",") if part[1:2] == "="}
    except UnicodeDecodeError as error:
        raise ScramError("not UTF-8") from error


def user_of(first: bytes) -> str:
    """The user that a client's first message names. Raises ScramError."""
    name = fields(first).get("n")
    if name is None or not first.startswith(b"n,"):
        raise ScramError("no user name")
    return name.replace("=2C", ",").replace("=3D", "=")


class ServerConversation:
    """The server's side. Several credentials: any of them will do, and all have the same salt (keys of a key file)."""

    def __init__(self, mechanism: Mechanism, credentials: Sequence[Credential], first: bytes) -> None:
        self._mechanism = mechanism
        self._credentials = credentials
        bare = first.split(b",", 2)[2]
        self._nonce = fields(bare).get("r", "") + base64.b64encode(os.urandom(24)).decode()
        shown = credentials[0]
        self.reply = f"r={self._nonce},s={base64.b64encode(shown.salt).decode()},i={shown.iterations}".encode()
        self._transcript = bare + b"," + self.reply + b","

    def finish(self, final: bytes) -> bytes:
        """The server's last message to the client's. Raises ScramError when it has not proved the password."""
        mechanism, answer = self._mechanism, fields(final)
        transcript = self._transcript + final.rpartition(b",p=")[0]
        try:
            proof = base64.b64decode(answer.get("p", ""), validate=True)
        except ValueError as error:
            raise ScramError("a proof that is not base64") from error
        if answer.get("r") == self._nonce and len(proof) == hashlib.new(mechanism.digest).digest_size:
            for credential in self._credentials:
                client_key = _xor(proof, mechanism.hmac(credential.stored_key, transcript))
                if hmac.compare_digest(mechanism.hash(client_key), credential.stored_key):
                    return b"v=" + base64.b64encode(mechanism.hmac(credential.server_key, transcript))
        raise ScramError("wrong proof")


class ClientConversation:
    """The client's side: first, then final(server's reply), then check(server's last message)."""

    def __init__(self, mechanism: Mechanism, user: str, password: str) -> None:
        self._mechanism, self._user, self._password = mechanism, user, password
        self._nonce = base64.b64encode(os.urandom(24)).decode()
        self._bare = f"n={user},r={self._nonce}".encode()
        self.first = b"n,," + self._bare
        self._signature = b""

    def final(self, reply: bytes) -> bytes:
        mechanism, answer = self._mechanism, fields(reply)
        if not answer.get("r", "").startswith(self._nonce):
            raise ScramError("not our nonce")
        secret = mechanism.secret(self._user, self._password)
        salted = _salted(mechanism.digest, secret, base64.b64decode(answer["s"]), int(answer["i"]))
        without_proof = f"c=biws,r={answer['r']}".encode()
        transcript = self._bare + b"," + reply + b"," + without_proof
        client_key = mechanism.hmac(salted, b"Client Key")
        proof = _xor(client_key, mechanism.hmac(mechanism.hash(client_key), transcript))
        self._signature = mechanism.hmac(mechanism.hmac(salted, b"Server Key"), transcript)
        return without_proof + b",p=" + base64.b64encode(proof)

    def check(self, last: bytes) -> None:
        """Raises ScramError when the server does not know the password either."""
        if base64.b64decode(fields(last).get("v", "")) != self._signature:
            raise ScramError("wrong signature")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
