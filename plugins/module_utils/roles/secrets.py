# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Secret's content as a checksum that gives nothing away."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def checksum(secret: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with the Secret's data.

    Salted with the UID, which only those who may read the Secret know: a short password cannot be guessed from it.
    """
    digest = hashlib.sha256(str(secret["metadata"]["uid"]).encode())
    for key, value in sorted((secret.get("data") or {}).items()):
        digest.update(f"\0{key}\0{value}".encode())
    return digest.hexdigest()[:16]
