# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a number of pods with drives becomes: erasure sets, parity, usable capacity, and what may fail. Pure.

The server decides by itself, from the arguments that it is started with; this is the same arithmetic, so that the outcome is known
before anything is made. Source: cmd/endpoint-ellipses.go (set size) and internal/config/storageclass (parity) of MinIO 2026-02-12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.quantity import in_bytes

# Drives of an erasure set, at least and at most. The server takes 2 and 3 as well: those give half of a mirror's safety for its price.
SMALLEST, LARGEST = 4, 16
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def default_parity(set_size: int) -> int:
    """Drives of a set that hold parity, when the server is not told otherwise: EC:2 up to 5 drives, EC:3 with 6 or 7, EC:4 from 8."""
    if set_size <= 1:
        return 0
    if set_size <= 3:
        return 1
    if set_size <= 5:
        return 2
    return 3 if set_size <= 7 else 4


def set_size(pods: int, drives: int) -> int:
    """Drives of each erasure set of a pool of so many pods with so many drives each; 0 when the server would refuse them.

    The largest size up to 16 that divides all drives, and that spreads evenly over the pods (over the drives of a single pod).
    """
    total = pods * drives
    if total == 1:
        return 1
    # The server reads its argument's ranges from the right and keeps the verdict of the last, which is the pods' where there are several.
    spread = pods if pods > 1 else drives
    fitting = [size for size in range(2, LARGEST + 1) if total % size == 0 and max(spread, size) % min(spread, size) == 0]
    return max(fitting, default=0)


@dataclass(frozen=True)
class Pool:
    """One pool: one StatefulSet of pods with the same drives. size: bytes of one drive."""

    pods: int
    drives_per_pod: int
    size: int
    parity_wanted: int | None = None

    @property
    def drives(self) -> int:
        """All drives."""
        return self.pods * self.drives_per_pod

    @property
    def set_size(self) -> int:
        """Drives of a set; 0 when there is no legal one."""
        return set_size(self.pods, self.drives_per_pod)

    @property
    def sets(self) -> int:
        """Erasure sets: an object lives in one of them."""
        return self.drives // self.set_size if self.set_size else 0

    @property
    def parity(self) -> int:
        """Drives of a set that hold parity."""
        return default_parity(self.set_size) if self.parity_wanted is None else self.parity_wanted

    @property
    def read_quorum(self) -> int:
        """Drives of a set that must be there to read."""
        return self.set_size - self.parity

    @property
    def write_quorum(self) -> int:
        """Drives of a set that must be there to write: one more than half where data and parity are equal."""
        return self.read_quorum + (1 if self.parity and self.read_quorum == self.parity else 0)

    @property
    def drives_on_a_pod(self) -> int:
        """Drives of one set that are on the same pod, at most."""
        return -(-self.set_size // self.pods)

    def pods_that_may_fail(self, quorum: int) -> int:
        """How many pods may be away at once while a quorum (drives of a set) is kept, wherever the sets lie."""
        return (self.set_size - quorum) // self.drives_on_a_pod if self.drives_on_a_pod else 0

    @property
    def raw_bytes(self) -> int:
        """Capacity of all drives."""
        return self.drives * self.size

    @property
    def usable_bytes(self) -> int:
        """Capacity for data."""
        return self.raw_bytes * self.read_quorum // self.set_size if self.set_size else 0

    def problems(self) -> list[str]:
        """Why the server would not start with this, or should not; empty when it is fine."""
        if self.pods < 1 or self.drives_per_pod < 1:
            return [f"{self.pods} pods with {self.drives_per_pod} drives each: at least one of both is needed"]
        shape = f"{_count(self.pods, 'pod')} with {_count(self.drives_per_pod, 'drive')} each"
        if 1 < self.drives < SMALLEST:
            return [f"{shape}: {self.drives} drives survive little for what they cost; take 1 (for trials) or at least {SMALLEST}"]
        if not self.set_size or 1 < self.set_size < SMALLEST:
            fits = "a number that 4, 5, ... or 16 divides, evenly over pods and drives"
            return [f"{shape}: {self.drives} drives make no erasure sets of equal size of {SMALLEST} to {LARGEST}; take {fits}"]
        if not 0 <= self.parity <= self.set_size // 2:
            return [f"{shape}: parity EC:{self.parity} is impossible in sets of {self.set_size}; it may be 0 to {self.set_size // 2}"]
        return []

    def sentence(self) -> str:
        """What the pool gives, for people."""
        if self.drives == 1:
            return f"1 pod with 1 drive: {in_words(self.usable_bytes)} usable, no redundancy: nothing may fail"
        reads, writes = (self._may_fail(quorum) for quorum in (self.read_quorum, self.write_quorum))
        return (
            f"{self.drives} drives in {_count(self.sets, 'set')} of {self.set_size}, parity EC:{self.parity}: "
            f"{in_words(self.usable_bytes)} usable of {in_words(self.raw_bytes)}; "
            f"reads survive the loss of {reads}, writes that of {writes}"
        )

    def _may_fail(self, quorum: int) -> str:
        pods = self.pods_that_may_fail(quorum)
        return f"{_count(self.set_size - quorum, 'drive')} of a set or {_count(pods, 'pod') if pods else 'no whole pod'}"

    def as_data(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "pods": self.pods,
            "drives": self.drives,
            "sets": self.sets,
            "set_size": self.set_size,
            "parity": self.parity,
            "read_quorum": self.read_quorum,
            "write_quorum": self.write_quorum,
            "raw_bytes": self.raw_bytes,
            "usable_bytes": self.usable_bytes,
            "drives_may_fail": {"read": self.set_size - self.read_quorum, "write": self.set_size - self.write_quorum},
            "pods_may_fail": {"read": self.pods_that_may_fail(self.read_quorum), "write": self.pods_that_may_fail(self.write_quorum)},
        }


def plan(pools: Sequence[Mapping[str, Any]], parity: int | None = None) -> dict[str, Any]:
    """The layout of pools given as {pods, drives, size (quantity)}: data of each, problems as sentences, and a text for people.

    parity: drives of parity in each set, where the server is told so. StackgateError for what is no number or quantity.
    """
    made = [Pool(_whole(pool, "pods"), _whole(pool, "drives"), in_bytes(pool.get("size", 0)), parity) for pool in pools]
    named = [f"pool {number}: " if len(made) > 1 else "" for number in range(1, len(made) + 1)]
    problems = [name + problem for name, pool in zip(named, made, strict=True) for problem in pool.problems()]
    if len(made) > 1 and any(pool.drives == 1 for pool in made):
        problems.append("a single drive cannot be one of several pools: begin with at least 4 drives")
    sound = not problems
    return {
        "pools": [pool.as_data() for pool in made] if sound else [],
        "usable_bytes": sum(pool.usable_bytes for pool in made) if sound else 0,
        "problems": problems,
        "text": "\n".join(name + pool.sentence() for name, pool in zip(named, made, strict=True)) if sound else "\n".join(problems),
    }


def _whole(pool: Mapping[str, Any], key: str) -> int:
    try:
        return int(pool[key])
    except (KeyError, TypeError, ValueError):
        raise StackgateError(f"a pool with a whole number of {key}", f"{key}: {pool.get(key)!r}") from None


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def in_words(amount: int) -> str:
    """Bytes as a person writes them: 10 GiB."""
    power = min(max(amount.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{amount / 1024**power:.1f}".removesuffix(".0") + f" {UNITS[power]}"
