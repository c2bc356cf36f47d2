# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision for each recorded refusal."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.retry import RULES, Decision, rule


def refused(command: str, code: int | None, text: str = "text") -> CommandFailed:
    reply = {"ok": 0.0, "errmsg": text, **({"code": code} if code is not None else {})}
    return CommandFailed("m1:27017", {command: 1}, reply)


@pytest.mark.parametrize(
    ("command", "code", "decision"),
    [
        ("replSetInitiate", 23, Decision.AGAIN),
        ("replSetInitiate", 74, Decision.AGAIN),
        ("replSetInitiate", 93, Decision.STOP),
        ("replSetInitiate", 103, Decision.STOP),
        ("replSetInitiate", 110, Decision.STOP),
        ("replSetReconfig", 50, Decision.AGAIN),
        ("replSetReconfig", 74, Decision.AGAIN),
        ("replSetReconfig", 93, Decision.STOP),
        ("replSetReconfig", 103, Decision.STOP),
        ("replSetReconfig", 104, Decision.STEP_DOWN),
        ("replSetReconfig", 109, Decision.AGAIN),
        ("replSetReconfig", 308, Decision.AGAIN),
        ("replSetStepDown", 262, Decision.AGAIN),
        ("replSetStepDown", 50, Decision.AGAIN),
        ("createUser", 51003, Decision.AGAIN),
        *[("createUser", code, Decision.AGAIN) for code in (10107, 189, 91, 11600, 11602)],
        *[("replSetReconfig", code, Decision.AGAIN) for code in (10107, 189, 91, 11600, 11602)],
        ("replSetGetConfig", 13, Decision.STOP),
        ("saslStart", 18, Decision.STOP),
        ("replSetGetStatus", 94, Decision.AGAIN),
        ("replSetReconfig", None, Decision.STOP),
        ("replSetReconfig", 4242, Decision.STOP),
    ],
)
def test_decisions(command: str, code: int | None, decision: Decision) -> None:
    assert rule(refused(command, code)).decision is decision


def test_no_answer_is_asked_again_since_the_command_may_have_been_carried_out() -> None:
    found = rule(Unreachable("m1:27017", "no answer in time", 5.0))
    assert (found.decision, found.meaning) == (Decision.AGAIN, "no answer in time")


def test_what_somebody_has_judged_already_ends_it() -> None:
    found = rule(StackgateError("a", "b", "c"))
    assert (found.decision, found.hint) == (Decision.STOP, "c")


def test_a_version_that_is_taken_means_that_somebody_else_was_quicker() -> None:
    text = "New replica set configuration version and term must be greater than old, but {version: 2, term: 1} is not greater than ..."
    assert rule(refused("replSetReconfig", 103, text)).decision is Decision.AGAIN


@pytest.mark.parametrize("command", ["replSetInitiate", "replSetReconfig"])
def test_another_key_file_is_named(command: str) -> None:
    found = rule(refused(command, 74, "not all proposed set members responded affirmatively: m2:27017 failed with Authentication failed."))
    assert found.decision is Decision.AGAIN and "key file" in found.meaning and "restart" in found.hint


def test_whatever_ends_the_task_says_what_to_try() -> None:
    assert [key for key, one in RULES.items() if one.decision is Decision.STOP and not one.hint] == []
