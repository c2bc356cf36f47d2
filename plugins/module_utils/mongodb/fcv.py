# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the feature compatibility version (FCV) is raised, and by which command. Pure.

The FCV is what makes an upgrade hard to take back: new data formats are written from then on. So it follows the binaries by hand:
one release series at a time, when every member runs the new one, after a burn-in that the user sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# Release series, each upgraded to from the one before it only. 4.4 is the oldest that is spoken to; it may come with the version of 4.2.
SERIES = ("4.2", "4.4", "5.0", "6.0", "7.0", "8.0")
# From this series on the server wants to be told that the user means it.
CONFIRM_SINCE = (7, 0)


class Action(StrEnum):
    """What is to be done."""

    NOTHING = "nothing"
    WAIT = "wait"  # the burn-in is not over
    RAISE = "raise"


@dataclass(frozen=True)
class Decision:
    """What is to be done and why. remaining: seconds of the burn-in."""

    action: Action
    sentence: str
    remaining: float = 0.0


@dataclass(frozen=True)
class Binary:
    """What one data-bearing member runs: its version, and for how many seconds."""

    version: tuple[int, ...]
    uptime: float

    @property
    def series(self) -> str:
        """The release series: `6.0`."""
        return ".".join(str(number) for number in self.version[:2])

    def __str__(self) -> str:
        return ".".join(str(number) for number in self.version[:3])


def decide(current: str, target: str | None, wanted: str, binaries: Mapping[str, Binary], burn_in: float) -> Decision:
    """Whether the FCV goes to `wanted` now.

    current: what the primary says; target: its targetVersion, there while a change is not finished (recorded: 12).
    binaries: every data-bearing member's, by its host. burn_in: seconds that every member must have run the new binary.
    Raises StackgateError when the step is not legal now.
    """
    expected = f"feature compatibility version {wanted}"
    if wanted not in SERIES:
        raise StackgateError(f"one of the versions {', '.join(SERIES)}", f"feature_compatibility_version: {wanted}")
    if current == wanted and not target:
        return Decision(Action.NOTHING, f"the feature compatibility version is {wanted}")
    if current not in SERIES:
        raise StackgateError(expected, f"the set has {current}, from where no way is known", f"known: {', '.join(SERIES)}")
    behind = {host: binary for host, binary in binaries.items() if binary.series != wanted}
    if SERIES.index(wanted) < SERIES.index(current):
        raise StackgateError(
            expected, f"the set has {current}", "a downgrade is not done here: MongoDB's manual says what has to be removed before it"
        )
    if SERIES.index(wanted) > SERIES.index(current) + 1:
        between = SERIES[SERIES.index(current) + 1]
        raise StackgateError(
            expected, f"the set has {current}", f"one series at a time: upgrade to {between} first, binaries and then this version"
        )
    if behind:
        raise StackgateError(
            f"{expected}, for which every member runs {wanted}",
            ", ".join(f"{host} runs {binary}" for host, binary in sorted(behind.items())),
            f"upgrade the image to {wanted} first, and let the rollout finish",
        )
    youngest = min(binaries, key=lambda host: binaries[host].uptime)
    remaining = burn_in - binaries[youngest].uptime
    if remaining > 0 and not target:  # a change that has begun is finished: what it writes is there already
        return Decision(
            Action.WAIT,
            f"the feature compatibility version stays {current}: {youngest} runs {binaries[youngest]} for "
            f"{binaries[youngest].uptime:.0f} s, of a burn-in of {burn_in:.0f} s",
            remaining,
        )
    verb = "finish raising" if target else "raise"
    return Decision(Action.RAISE, f"{verb} the feature compatibility version from {current} to {wanted}")


def command(wanted: str, binaries: Mapping[str, Binary]) -> dict[str, Any]:
    """The command for the primary."""
    confirm = {"confirm": True} if all(binary.version[:2] >= CONFIRM_SINCE for binary in binaries.values()) else {}
    return {"setFeatureCompatibilityVersion": wanted, **confirm}
