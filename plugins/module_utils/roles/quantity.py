# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes quantities of memory and storage as numbers."""

from __future__ import annotations

import re
from decimal import Decimal

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

SUFFIXES = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate(("K", "M", "G", "T", "P", "E"), 1)},
}
PATTERN = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<suffix>[kMGTPE]|[KMGTPE]i|)")


def in_bytes(quantity: str | int) -> int:
    """Bytes of a quantity like 512Mi, 1.5Gi or 1000000. StackgateError for anything else."""
    found = PATTERN.fullmatch(str(quantity).strip())
    if not found:
        raise StackgateError(
            "an amount of memory or storage such as 512Mi, 1.5Gi or 1000000 (bytes)",
            repr(quantity),
            f"suffixes are {', '.join(filter(None, SUFFIXES))}",
        )
    return int(Decimal(found["number"]) * SUFFIXES[found["suffix"]])


def quantity(value: str | int, unit: str = "", share: float = 1.0) -> int:
    """A share of a quantity in whole units (`Mi`, `k`, ...; bytes by default), rounded down."""
    if unit not in SUFFIXES:
        raise StackgateError(f"one of the units {', '.join(filter(None, SUFFIXES))}", repr(unit))
    return int(Decimal(in_bytes(value)) * Decimal(str(share)) / SUFFIXES[unit])
