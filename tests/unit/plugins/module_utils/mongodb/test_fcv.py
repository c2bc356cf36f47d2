# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature compatibility version follows the binaries: one series at a time, and late."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import fcv
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.fcv import Action, Binary


def binaries(version: str, *uptimes: float) -> dict[str, Binary]:
    return {f"m{n}:27017": Binary(tuple(map(int, version.split("."))), uptime) for n, uptime in enumerate(uptimes or (900.0, 800.0, 700.0))}


def test_nothing_to_do() -> None:
    # Also with a burn-in that is not over, and before the new binaries are everywhere.
    assert fcv.decide("5.0", None, "5.0", binaries("6.0.1", 1.0), 3600).action is Action.NOTHING


def test_raised_after_the_burn_in_of_the_youngest_member() -> None:
    waiting = fcv.decide("5.0", None, "6.0", binaries("6.0.1", 900.0, 70.0, 800.0), 600)
    assert (waiting.action, waiting.remaining) == (Action.WAIT, 530)
    assert "m1:27017 runs 6.0.1 for 70 s, of a burn-in of 600 s" in waiting.sentence
    ready = fcv.decide("5.0", None, "6.0", binaries("6.0.1"), 600)
    assert (ready.action, ready.sentence) == (Action.RAISE, "raise the feature compatibility version from 5.0 to 6.0")


def test_an_interrupted_change_is_finished_at_once() -> None:
    # recorded: 12: {version: 4.4, targetVersion: 5.0} after the command ran into its time limit
    found = fcv.decide("4.4", "5.0", "5.0", binaries("5.0.7", 1.0), 600)
    assert (found.action, found.sentence) == (Action.RAISE, "finish raising the feature compatibility version from 4.4 to 5.0")


def test_refused_while_a_member_runs_the_old_binary() -> None:
    mixed = {**binaries("6.0.1"), "old:27017": Binary((5, 0, 7), 9e9)}
    with pytest.raises(StackgateError, match=r"old:27017 runs 5\.0\.7") as refused:
        fcv.decide("5.0", None, "6.0", mixed, 0)
    assert "m0" not in refused.value.seen


@pytest.mark.parametrize(
    ("current", "wanted", "words"),
    [
        ("4.4", "6.0", "upgrade to 5.0 first"),
        ("4.2", "8.0", "upgrade to 4.4 first"),
        ("6.0", "5.0", "a downgrade is not done here"),
        ("5.0", "5", "one of the versions 4.2, 4.4"),
        ("9.0", "8.0", "from where no way is known"),
    ],
)
def test_one_series_at_a_time_and_only_up(current: str, wanted: str, words: str) -> None:
    with pytest.raises(StackgateError, match=words):
        fcv.decide(current, None, wanted, binaries(f"{wanted}.0" if "." in wanted else "5.0.0"), 0)


def test_the_server_is_told_that_it_is_meant_from_7_on() -> None:
    assert fcv.command("6.0", binaries("6.0.1")) == {"setFeatureCompatibilityVersion": "6.0"}
    assert fcv.command("7.0", binaries("7.0.2")) == {"setFeatureCompatibilityVersion": "7.0", "confirm": True}
