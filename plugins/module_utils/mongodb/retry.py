# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refused command means for the plan: one table by command and error code.

Whoever acts on it observes all members again before anything else is sent, so "again" needs no more cases than that:
a command that was carried out although the server said otherwise is seen by then, and not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.connection import CommandFailed, Unreachable

INITIATE, RECONFIG, STEP_DOWN_COMMAND = "replSetInitiate", "replSetReconfig", "replSetStepDown"
ANY = "*"


class Decision(Enum):
    """AGAIN: look at all members, plan anew, until the time is over. STEP_DOWN: the primary first gives its place up. STOP: give up."""

    AGAIN = "again"
    STEP_DOWN = "step down"
    STOP = "stop"


@dataclass(frozen=True)
class Rule:
    """What to do about a refusal. meaning: for the progress line; hint: what a person may try once it is given up."""

    decision: Decision
    meaning: str
    hint: str = ""


_MOVED = Rule(Decision.AGAIN, "the primary has moved")
_KEY_FILE = "a member that fails to authenticate has another key file: give all of them the same one, and restart those that had another"
_SILENT = "check that every member runs and can reach the others by the names in the configuration"

# Sources: source of 3.6 to 5.0.7, and replies recorded from 5.0.7 (the numbers of the recordings in brackets).
RULES: dict[tuple[str, int], Rule] = {
    (INITIATE, 23): Rule(Decision.AGAIN, "somebody else has initiated the set"),
    (INITIATE, 74): Rule(Decision.AGAIN, "a member does not answer the one that initiates", _SILENT),  # 03b: after up to 40 s
    (INITIATE, 103): Rule(
        Decision.STOP,
        "a member belongs to another replica set",
        "see which one with mongodb_replica_set_info, and leave it out or empty it",
    ),
    (INITIATE, 110): Rule(Decision.STOP, "a member has data already", "initiate on the member that has the data, or empty it"),
    (RECONFIG, 74): Rule(Decision.AGAIN, "too few voting members of the new configuration answer the primary", _SILENT),  # 04e, 06c
    (RECONFIG, 50): Rule(Decision.AGAIN, "the new configuration is installed and not yet at a majority"),  # 04f: 50 although installed
    (RECONFIG, 103): Rule(
        Decision.STOP,
        "the server does not allow this change",
        "one of: setDefaultRWConcern first (arbiters); one voting member at a time; remove the member and add it again",
    ),
    (RECONFIG, 104): Rule(Decision.STEP_DOWN, "the primary cannot take its own electability away"),  # 04d
    (RECONFIG, 109): Rule(Decision.AGAIN, "another change of the configuration is under way"),  # 04i: the server's own, newlyAdded
    (RECONFIG, 308): Rule(Decision.AGAIN, "the configuration is not yet at a majority"),  # 04f
    (STEP_DOWN_COMMAND, 262): Rule(  # 05
        Decision.AGAIN, "no electable secondary has caught up", "see why the secondaries lag; a step-down is never forced"
    ),
    (STEP_DOWN_COMMAND, 50): Rule(Decision.AGAIN, "no electable secondary has caught up", "see why the secondaries lag"),
    (STEP_DOWN_COMMAND, 117): Rule(Decision.AGAIN, "the primary is stepping down"),
    (ANY, 13): Rule(
        Decision.STOP,
        "the server wants a login",
        "give the credentials of a user with the role root; without any user the server takes commands only from its own loopback",
    ),
    (ANY, 18): Rule(Decision.STOP, "the server does not take the password", "give the credentials that the set has"),
    (ANY, 76): Rule(Decision.STOP, "the server was started without --replSet", "start it with --replSet and the set's name"),
    (ANY, 93): Rule(
        Decision.STOP,
        "the configuration is not valid on this server",
        "compare the set's name with --replSet, and each member's host with the address under which it finds itself",
    ),
    (ANY, 94): Rule(Decision.AGAIN, "the member has no configuration yet"),
    (ANY, 50): Rule(Decision.AGAIN, "the server ran out of time"),
    (ANY, 64): Rule(Decision.AGAIN, "not acknowledged by a majority in time"),
    (ANY, 51003): Rule(Decision.AGAIN, "somebody else has created the user"),
    **{(ANY, code): _MOVED for code in (91, 189, 10058, 10107, 11600, 11602, 13435, 13436)},
}


def rule(error: StackgateError) -> Rule:
    """What an error of the client means. No answer at all: look again, the command may have been carried out or not."""
    if isinstance(error, Unreachable):
        return Rule(Decision.AGAIN, error.reason, error.hint)
    if not isinstance(error, CommandFailed):  # somebody has judged already
        return Rule(Decision.STOP, error.seen, error.hint)
    code = error.code if error.code is not None else -1
    found = RULES.get((error.command, code)) or RULES.get((ANY, code)) or Rule(Decision.STOP, "the server refuses")
    if code == 103 and "must be greater" in error.message:  # 04d: the compare-and-swap of the server itself
        return Rule(Decision.AGAIN, "the configuration has changed meanwhile")
    if code == 74 and "authenticat" in error.message.lower():  # 08c
        return Rule(found.decision, "a member has another key file", _KEY_FILE)
    return found
