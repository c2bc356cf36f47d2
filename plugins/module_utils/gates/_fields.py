# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed dataclasses from a task's data, with messages that name the field.

A dataclass field's metadata may hold: `doc` (one sentence, used by the documentation's test), `least` and `above`
(bounds of a number), `pattern` (a regular expression that the whole text must match) and `like` (what such a text
looks like, for the message).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class FieldErrors(ValueError):
    """Everything that is wrong with the data: `mistakes`, one sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class _Wrong(ValueError):
    """One value that does not fit: what was expected."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known word is near, else nothing."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: Any) -> str:
    """A value for a message, short."""
    text = repr(value) if not isinstance(value, str) else repr(str(value))
    return text if len(text) <= 60 else text[:57] + "..."


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass; FieldErrors lists every mistake, each beginning with `where` and the field."""
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known:
            mistakes.append(f"{where}: unknown field {name!r}{nearest(name, known)}; it has {', '.join(sorted(known))}")
            continue
        try:
            values[name] = _convert(hints[name], value, f"{where}: {name}")
            _bounds(known[name].metadata, values[name])
        except FieldErrors as error:
            mistakes.extend(error.mistakes)
        except _Wrong as wrong:
            mistakes.append(f"{where}: {name}: expected {wrong}, seen {shown(value)}")
    for name, described in known.items():
        needed = described.default is dataclasses.MISSING and described.default_factory is dataclasses.MISSING
        if needed and name not in data:
            mistakes.append(f"{where}: {name} is missing")
    if mistakes:
        raise FieldErrors(mistakes)
    made = cls(**values)
    check = getattr(made, "check", None)
    if check:
        mistakes = [f"{where}: {name}: {wrong}" for name, wrong in check()]
    if mistakes:
        raise FieldErrors(mistakes)
    return made


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise _Wrong(f"one of {', '.join(map(str, choices))}{nearest(str(value), map(str, choices))}")
        return value
    if origin is list:
        if not isinstance(value, list | tuple):
            raise _Wrong("a list")
        return _each(typing.get_args(hint)[0], enumerate(value), where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _Wrong("a dictionary")
        names = list(value)
        return dict(zip(map(str, names), _each(typing.get_args(hint)[1], value.items(), where), strict=True))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _Wrong("a dictionary")
        return build(typing.cast(type, hint), value, where)
    return _scalar(hint, value)


def _each(hint: Any, items: Iterable[tuple[Any, Any]], where: str) -> list[Any]:
    """Convert members, with the member's index or key in the message."""
    found, mistakes = [], []
    for key, value in items:
        at = f"{where}[{key}]"
        try:
            found.append(_convert(hint, value, at))
        except _Wrong as wrong:
            mistakes.append(f"{at}: expected {wrong}, seen {shown(value)}")
        except FieldErrors as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise FieldErrors(mistakes)
    return found


def _convert_union(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    expected = []
    for hint in (h for h in hints if h is not types.NoneType):
        try:
            return _convert(hint, value, where)
        except _Wrong as wrong:
            expected.append(str(wrong))
    raise _Wrong(" or ".join(expected))


def _scalar(hint: Any, value: Any) -> Any:
    # Jinja may hand a number as text; a boolean is a number to Python, but not to the person who wrote it.
    if hint is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in TRUE + FALSE:
            return value.lower() in TRUE
    elif hint is str:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    elif hint in (int, float) and not isinstance(value, bool) and isinstance(value, str | int | float):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and (hint is float or number.is_integer()):
            return hint(number)
    raise _Wrong(WORDS.get(hint, str(hint)))


def _bounds(rules: Mapping[str, Any], value: Any) -> None:
    if value is None:
        return
    if "least" in rules and not value >= rules["least"]:
        raise _Wrong(f"{rules['least']} or more")
    if "above" in rules and not value > rules["above"]:
        raise _Wrong(f"more than {rules['above']}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        raise _Wrong(str(rules.get("like", f"text that matches {rules['pattern']}")))
