# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key of a Secret becomes: a pure function of what is there and what is asked for.

No message of this file holds a value.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

ALPHABETS: dict[str, str] = {
    "alphanumeric": string.ascii_letters + string.digits,
    "lowercase": string.ascii_lowercase + string.digits,
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
}
DEFAULT_LENGTH = 32
# Shorter values are guessable, longer ones are files: neither is a generated password.
LENGTHS = range(8, 4097)
# The rule of the API server for a key of a Secret.
KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
FORMS: dict[str, Callable[[str], str]] = {
    "url": lambda value: quote(value, safe=""),
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest(),
}

GENERATED, ROTATED, SET, UPDATED, REMOVED, UNCHANGED, KEPT = (
    "generated",
    "rotated",
    "set",
    "updated",
    "removed",
    "unchanged",
    "kept",
)


class FieldTemplate(string.Template):
    """${key}, ${key:url}, ${key:sha256}; $$ is a dollar sign; anything else after a dollar sign is an error."""

    idpattern = r"(?!)"  # never matches: $key without braces is an error
    braceidpattern = r"[-._a-zA-Z0-9]+(?::[a-z0-9]+)?"
    flags = re.VERBOSE  # the default ignores case, and keys do not


@dataclass(frozen=True)
class Recipe:
    """How to make a value: its length in characters, and the name of its alphabet."""

    length: int = DEFAULT_LENGTH
    alphabet: str = "alphanumeric"

    def make(self) -> str:
        """A new value from the system's random source."""
        letters = ALPHABETS[self.alphabet]
        return "".join(secrets.choice(letters) for _letter in range(self.length))


@dataclass(frozen=True)
class Request:
    """What is asked for.

    generate: keys made once; values: keys taken as they are; fields: keys made from others by template;
    rotate: keys of generate that get a new value now.
    """

    generate: Mapping[str, Recipe] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    rotate: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Existing:
    """What is there: the data, and the keys that an earlier run recorded as generated and as derived."""

    data: Mapping[str, bytes] = field(default_factory=dict)
    generated: frozenset[str] = frozenset()
    derived: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """The data to be, what happens to each key, and the keys to record."""

    data: dict[str, bytes] = field(repr=False)
    actions: dict[str, str]
    generated: frozenset[str]
    derived: frozenset[str]


def request(generate: Any, values: Any, fields: Any, rotate: Any) -> Request:
    """Check a task's options. Raises StackgateError that names the key, never its value."""
    wrong: list[str] = []
    recipes: dict[str, Recipe] = {}
    for key, options in (generate or {}).items():
        recipe, complaint = _recipe(options)
        if complaint:
            wrong.append(f"generate.{key}: {complaint}")
        recipes[key] = recipe
    texts: dict[str, dict[str, str]] = {"values": {}, "fields": {}}
    for option, given in (("values", values or {}), ("fields", fields or {})):
        for key, value in given.items():
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                wrong.append(f"{option}.{key} is of type {type(value).__name__}, not a text: quote it")
            else:
                texts[option][key] = str(value)
    keys = [*recipes, *(values or {}), *(fields or {})]
    wrong.extend(f"{key!r} is no key of a Secret: letters, digits, '-', '_' and '.' only" for key in keys if not KEY.fullmatch(key))
    wrong.extend(f"{key} is named by more than one of generate, values and fields" for key in sorted(set(keys)) if keys.count(key) > 1)
    rotated = frozenset(rotate or [])
    wrong.extend(f"rotate: {key} is not among generate" for key in sorted(rotated - set(recipes)))
    if not keys:
        wrong.append("no key is asked for: name one in generate, values or fields")
    if wrong:
        raise StackgateError("options that say what each key of the Secret is", "; ".join(wrong))
    return Request(recipes, texts["values"], texts["fields"], rotated)


def _recipe(options: Any) -> tuple[Recipe, str]:
    """The recipe of one key, and what is wrong with it."""
    given = options or {}
    if not isinstance(given, dict):
        return Recipe(), "expected a mapping with length and alphabet"
    unknown = sorted(set(given) - {"length", "alphabet"})
    if unknown:
        return Recipe(), f"unknown option {', '.join(unknown)}: expected length or alphabet"
    alphabet = given.get("alphabet", "alphanumeric")
    if alphabet not in ALPHABETS:
        return Recipe(), f"alphabet {alphabet!r}: expected one of {', '.join(ALPHABETS)}"
    try:
        length = int(given.get("length", DEFAULT_LENGTH))
    except (TypeError, ValueError):
        return Recipe(), f"length {given.get('length')!r}: expected a number of characters"
    if length not in LENGTHS:
        return Recipe(), f"length {length}: expected {LENGTHS.start} to {LENGTHS.stop - 1} characters"
    return Recipe(length, alphabet), ""


def plan(wanted: Request, existing: Existing) -> Plan:
    """What each key becomes.

    - A generated key that has a value keeps it, whatever its recipe says now, unless it is in rotate.
    - values and fields follow what is asked for.
    - Keys that an earlier run derived and nobody asks for any more are removed. All others stay: a generated value may be
      the only key to somebody's data, and a key made by hand is not ours.
    Raises StackgateError for a template that cannot be filled, and where a generated value would be overwritten by another.
    """
    data: dict[str, bytes] = {}
    actions: dict[str, str] = {}
    lost = sorted((set(wanted.values) | set(wanted.fields)) & existing.generated)
    if lost:
        raise StackgateError(
            "a generated value is not overwritten",
            f"{', '.join(lost)} was generated by an earlier run, and is now asked for with another value",
            "use another key, or remove the key from the Secret with kubectl once nothing depends on its value",
        )
    for key, recipe in wanted.generate.items():
        if existing.data.get(key) and key not in wanted.rotate:
            data[key], actions[key] = existing.data[key], UNCHANGED
        else:
            data[key], actions[key] = recipe.make().encode(), ROTATED if existing.data.get(key) else GENERATED
    derived = {**{key: value.encode() for key, value in wanted.values.items()}}
    derived.update(_filled(wanted, {**data, **derived}))
    for key, value in derived.items():
        data[key] = value
        actions[key] = SET if key not in existing.data else UNCHANGED if existing.data[key] == value else UPDATED
    for key, value in existing.data.items():
        if key in data:
            continue
        if key in existing.derived:
            actions[key] = REMOVED
        else:
            data[key], actions[key] = value, KEPT
    generated = frozenset(wanted.generate) | (existing.generated & set(data))
    return Plan(data, actions, generated, frozenset(derived))


def _filled(wanted: Request, known: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fields with every reference resolved, however deep."""
    done: dict[str, str] = {}

    def value_of(key: str, via: tuple[str, ...]) -> str:
        if key in via:
            raise StackgateError("fields that do not refer to themselves", " -> ".join((*via[via.index(key) :], key)))
        if key in wanted.fields:
            if key not in done:
                done[key] = fill(key, (*via, key))
            return done[key]
        if key not in known:
            raise StackgateError(
                f"fields.{via[-1]} refers to keys of this Secret",
                f"it refers to {key}",
                f"the keys are: {', '.join(sorted({*known, *wanted.fields}))}",
            )
        try:
            return known[key].decode()
        except UnicodeDecodeError:
            raise StackgateError(f"{key} is a text, because fields.{via[-1]} refers to it", "it is binary") from None

    def fill(key: str, via: tuple[str, ...]) -> str:
        template = FieldTemplate(wanted.fields[key])
        if not template.is_valid():
            raise StackgateError(
                f"fields.{key} is a text with references of the form ${{key}}",
                "a dollar sign is followed by something else",
                "write $$ for a dollar sign",
            )
        found = {}
        for name in template.get_identifiers():
            base, _colon, form = name.partition(":")
            if form and form not in FORMS:
                raise StackgateError(f"fields.{key} asks for a form that exists: {', '.join(FORMS)}", f"it asks for {form}")
            value = value_of(base, via)
            found[name] = FORMS[form](value) if form else value
        return template.substitute(found)

    return {key: value_of(key, ()).encode() for key in wanted.fields}
