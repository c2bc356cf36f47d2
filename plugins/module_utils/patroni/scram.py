# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a password is the one that a server keeps a SCRAM-SHA-256 verifier of (RFC 5803, RFC 4013). Pure.

Asking the verifier costs no login, and leaves no failed one in the server's log.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import stringprep
import unicodedata
from collections.abc import Callable

# What a prepared password may not contain: PostgreSQL then takes it as it is.
PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def matches(verifier: str | None, password: str) -> bool:
    """Whether this is the password. False for a verifier of another kind, such as md5, which is to be replaced."""
    try:
        kind, parameters, keys = (verifier or "").split("$")
        iterations, salt = parameters.split(":")
        stored = base64.b64decode(keys.split(":")[0])
        rounds = int(iterations)
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password), base64.b64decode(salt), rounds)
    except ValueError:
        return False
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return kind == "SCRAM-SHA-256" and hmac.compare_digest(hashlib.sha256(client_key).digest(), stored)


def prepared(password: str) -> bytes:
    """A password as SASLprep makes it."""
    if password.isascii():
        return password.encode()
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    normal = unicodedata.normalize("NFKC", mapped)
    right_to_left = any(map(stringprep.in_table_d1, normal))
    mixed = right_to_left and (any(map(stringprep.in_table_d2, normal)) or not all(map(stringprep.in_table_d1, (normal[0], normal[-1]))))
    if not normal or mixed or any(table(c) for c in normal for table in PROHIBITED):
        return password.encode()
    return normal.encode()
