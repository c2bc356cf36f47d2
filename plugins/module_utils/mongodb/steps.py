# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan is made of: steps, each one command to one member or one wait, and the refusal that stands in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig


class Kind(Enum):
    """The kinds of steps, in the words that a result and a log show."""

    INITIATE = "initiate"
    SET_DEFAULT_WRITE_CONCERN = "set default write concern"
    ADD_MEMBER = "add member"  # without a vote, priority 0
    ADD_ARBITER = "add arbiter"
    GRANT_VOTE = "grant vote"
    DROP_VOTE = "drop vote"
    CHANGE_MEMBERS = "change members"  # priority, tags, hidden, delay, horizons; no votes
    CHANGE_SETTINGS = "change settings"
    STEP_DOWN = "step down"
    REMOVE_MEMBER = "remove member"
    FORCE_RECONFIGURATION = "force reconfiguration"
    WAIT_FOR_PRIMARY = "wait for primary"
    WAIT_FOR_MEMBER = "wait for member"  # until it is SECONDARY
    WAIT_FOR_CONFIG = "wait for configuration"  # until the one in force is committed, and no voter is being added


WAITS = frozenset({Kind.WAIT_FOR_PRIMARY, Kind.WAIT_FOR_MEMBER, Kind.WAIT_FOR_CONFIG})


@dataclass(frozen=True)
class Step:
    """One step.

    sentence: what it does, for people, without a full stop.
    target: the host of the member that it is about; "" = the set as a whole.
    send_to: the host of the member that gets the command; "" for a wait.
    command: the command document, without maxTimeMS; None for a wait (observe again until the plan's first step is another one).
    before, after: the whole configuration around a step that changes it; None for one that does not. The step is valid only as
        long as `before` is the configuration in force: by (term, version).
    """

    kind: Kind
    sentence: str
    target: str = ""
    send_to: str = ""
    command: Mapping[str, Any] | None = None
    before: ReplicaSetConfig | None = None
    after: ReplicaSetConfig | None = None

    @property
    def waits(self) -> bool:
        return self.kind in WAITS


class Reason(Enum):
    """Why there is no next step."""

    UNREACHABLE = "unreachable"
    TWO_SETS = "two sets"
    WRONG_SET_NAME = "wrong set name"
    WRONG_KEY = "wrong key"
    STANDALONE = "standalone"
    NEEDS_LOGIN = "needs login"  # the set stands, but its configuration is for users only: the first user may be missing
    USER_DATA = "user data"
    OTHER_ADDRESS = "other address"  # a member knows itself by another address than the one asked for
    STARTED_WITHOUT_NAMES = "started without names"
    REMOVED = "removed"
    NO_MAJORITY = "no majority"
    NO_OTHER_PRIMARY = "no other primary"
    NOT_SYNCING = "not syncing"
    HORIZONS = "horizons"


@dataclass(frozen=True)
class Refusal:
    """Why a plan cannot go on, as StackgateError wants it.

    transient: time may cure it (a member that is starting): worth observing again until the task's deadline.
    """

    reason: Reason
    expected: str
    seen: str
    hint: str
    transient: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def error(self, waited: float | None = None) -> StackgateError:
        return StackgateError(self.expected, self.seen, self.hint, waited, {"reason": self.reason.value, **self.details})


@dataclass(frozen=True)
class Plan:
    """The steps to the desired set, each predicted from the one before. Nothing to do: no steps and no refusal.

    refusal: why the steps do not lead there. Nothing is carried out then: `steps` only show how far they would get.
    warnings: what does not stop the plan and should be known.
    """

    steps: tuple[Step, ...] = ()
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
