# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate condition is.

A kind of condition is one public file of this package (a name without a leading underscore), named like the kind, with
one subclass of Condition in it, decorated as a dataclass. Its fields are the condition's options. Nothing else has to
be told that the kind exists.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields

if TYPE_CHECKING:
    from ansible_collections.stackgate.k3s.plugins.module_utils.gates._view import View


class State(StrEnum):
    """What an observation found."""

    HOLDS = "holds"
    WAITING = "waiting"
    FAILED = "failed"  # cannot become true without a change from outside


@dataclass(frozen=True)
class Suspect:
    """A pod whose events and logs explain an observation; without containers, all of its containers."""

    pod: str
    containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observation:
    """One look at a condition.

    seen:     what was found, one line, in the words of the field and of whoever reported it.
    hint:     what to try, when more is known than `seen` says.
    suspects: pods whose events and logs are attached to a failure.
    objects:  other objects whose events are attached, as (kind, name).
    data:     structured details for the task's result.
    """

    state: State
    seen: str
    hint: str = ""
    suspects: tuple[Suspect, ...] = ()
    objects: tuple[tuple[str, str], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def holds(seen: str, **more: Any) -> Observation:
    """The condition is true."""
    return Observation(State.HOLDS, seen, **more)


def waiting(seen: str, **more: Any) -> Observation:
    """The condition is not true yet."""
    return Observation(State.WAITING, seen, **more)


def failed(seen: str, **more: Any) -> Observation:
    """The condition cannot become true by waiting."""
    return Observation(State.FAILED, seen, **more)


@dataclass(kw_only=True)
class Condition:
    """Something that must be true before a stage is done. Made anew for each run of a gate: it may remember."""

    # Whether it is asked again in each round, also after it has held. A condition that changes what it looks at is not.
    repeats: ClassVar[bool] = True

    timeout: float | None = field(
        default=None, metadata={"doc": "Seconds this condition may take; the gate's own `timeout` when unset.", "above": 0}
    )
    stable: float | None = field(
        default=None, metadata={"doc": "Seconds it must hold without a break; the gate's own `stable` when unset.", "least": 0}
    )

    def describe(self) -> str:
        """What is waited for, as a short phrase: `rollout Deployment/web`."""
        raise NotImplementedError

    def expected(self) -> str:
        """The state that should hold, as a sentence."""
        return self.describe()

    def observe(self, view: View) -> Observation:
        """Look once. May raise StackgateError (the cluster could not be asked): that counts as waiting."""
        raise NotImplementedError

    def check(self) -> Iterator[tuple[str, str]]:
        """Rules that concern more than one field: (field, what is wrong)."""
        yield from ()

    def close(self, view: View) -> None:
        """The gate ends, whatever came of it: leave nothing behind. Called once, in its own thread."""


def kinds() -> list[str]:
    """The known kinds: the public files of this package."""
    package = importlib.import_module(__package__ or "")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def kind_class(kind: str) -> type[Condition]:
    """The class of a kind; LookupError with the nearest known name when there is none."""
    if kind not in kinds():
        raise LookupError(f"{kind!r} is no kind of condition{_fields.nearest(kind, kinds())}")
    module = importlib.import_module(f"{__package__}.{kind}")
    for thing in vars(module).values():
        if isinstance(thing, type) and issubclass(thing, Condition) and thing.__module__ == module.__name__:
            return thing
    raise LookupError(f"{module.__name__} defines no condition")


def parse(conditions: list[Any]) -> list[Condition]:
    """Conditions from a task's data. Every mistake of every condition is reported at once, in one FieldErrors."""
    parsed: list[Condition] = []
    mistakes: list[str] = []
    for position, given in enumerate(conditions):
        where = f"conditions[{position}]"
        if not isinstance(given, Mapping):
            mistakes.append(f"{where}: expected a dictionary with the key kind, seen {_fields.shown(given)}")
            continue
        if not given.get("kind"):
            mistakes.append(f"{where}: kind is missing; known: {', '.join(kinds())}")
            continue
        kind = str(given["kind"])
        try:
            cls = kind_class(kind)
            condition = _fields.build(cls, {key: value for key, value in given.items() if key != "kind"}, f"{where} ({kind})")
        except LookupError as error:
            mistakes.append(f"{where}: {error}; known: {', '.join(kinds())}")
        except _fields.FieldErrors as error:
            mistakes.extend(error.mistakes)
        else:
            parsed.append(condition)
    if mistakes:
        raise _fields.FieldErrors(mistakes)
    return parsed
