# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server's refusals, as sentences that name the object, the field and what to do."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import Key, immutable_hint

FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
# What structured merge says of a field that the kind does not have, or that has another type.
TYPED = re.compile(r"(?P<field>\.[\w.\[\]\"=/-]+): (?P<problem>field not declared in schema|expected [^,]+, got .*|duplicate entries.*)")
# An annotation of an object in a manifest: what to do when the server refuses to change one of its fields.
IMMUTABLE_HINT = "stackgate.k3s/immutable-hint"
# Words of a refusal to change what is fixed once the object exists.
FIXED = ("immutable", "are forbidden", "may not change", "cannot change roleRef")
CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]+)"')
# A value quoted out of a Go structure by the structured merge; the type is what helps.
GO_VALUE = re.compile(r"&value\.valueUnstructured\{Value:(?P<value>.*?)\}")
# Whole pod templates are quoted this way; they say nothing new, and may hold what nobody should read.
LONG_VALUE = re.compile(r"Invalid value: [{\[].{120,}[}\]](?=: )", re.DOTALL)
MAX_WORDS = 1500


@dataclass(frozen=True)
class Problem:
    """One refused object.

    target: the object; field: the path within it, empty when the server named none; message: the server's words; hint: what to try.
    """

    target: Key
    field: str
    message: str
    hint: str = ""
    reason: str = ""

    def __str__(self) -> str:
        at = f" {self.field}" if self.field else ""
        hint = f"\n      try: {self.hint}" if self.hint else ""
        return f"{self.target}{at}: {self.message}{hint}"

    def as_data(self) -> dict[str, str]:
        """For the task's result."""
        return {
            "kind": self.target.kind,
            "name": self.target.name,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
            "reason": self.reason,
        }


def missing_right(message: str) -> str:
    """The right that a refusal names as missing ("patch deployments.apps in namespace x"); empty when it names none."""
    found = FORBIDDEN.search(message)
    if not found:
        return ""
    resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f"in namespace {found['namespace']}" if found["namespace"] else "at the scope of the cluster"
    return f"{found['verb']} {resource} {where}"


def only_fixed(error: ApiError) -> bool:
    """Whether a refusal is about nothing but fields that are fixed once the object exists: one made anew may have them."""
    return bool(error.causes) and all(any(word in str(cause.get("message")) for word in FIXED) for cause in error.causes)


def namespace_missing(error: ApiError) -> bool:
    """Whether a refusal says that the namespace itself does not exist."""
    return error.not_found and error.message.startswith('namespaces "')


def problems_of(error: ApiError, key: Key, body: Mapping[str, Any]) -> list[Problem]:
    """What a refusal of one object comes down to: one entry per field."""
    words = _clean(error.message, body)
    if error.forbidden:
        return [_forbidden(error, key, words)]
    if namespace_missing(error):
        hint = "run the foundation stage (the role namespace) first"
        return [Problem(key, "", f"the namespace {key.namespace} does not exist", hint, "NotFound")]
    if error.status == 409:
        conflicts = [_conflict(cause, key, body) for cause in error.causes if cause.get("reason") == "FieldManagerConflict"]
        if conflicts:
            return conflicts
    if error.causes:
        return [_cause(cause, error, key, body) for cause in error.causes]
    typed = [
        Problem(key, found["field"], _typed(found["problem"], body), "", "FieldValueInvalid") for found in TYPED.finditer(error.message)
    ]
    return typed or [Problem(key, "", words, "", error.reason)]


def _typed(problem: str, body: Mapping[str, Any]) -> str:
    """What is wrong with a field's name or type."""
    if "not declared" in problem:
        return "there is no such field: check its name and its indentation"
    return _clean(problem, body)


def _forbidden(error: ApiError, key: Key, words: str) -> Problem:
    """A right, a quota or an admission rule that is in the way."""
    right = missing_right(error.message)
    if right:
        user = FORBIDDEN.search(error.message)["user"]  # type: ignore[index]
        hint = "grant it with a Role and a RoleBinding; docs/rights.md lists all"
        return Problem(key, "", f"{user} lacks the right to {right}", hint, "Forbidden")
    hint = ""
    if "exceeded quota" in error.message:
        hint = "raise the namespace's ResourceQuota, or ask for less"
    elif "being terminated" in error.message:
        hint = f"wait until the namespace is gone (kubectl get namespace {key.namespace}), then run again"
    return Problem(key, "", words, hint, "Forbidden")


def _cause(cause: Mapping[str, Any], error: ApiError, key: Key, body: Mapping[str, Any]) -> Problem:
    """One field that does not validate."""
    message = _clean(str(cause.get("message") or error.message), body)
    fixed = any(word in message for word in FIXED)
    return Problem(
        key,
        str(cause.get("field") or "").removeprefix("<nil>"),
        message,
        _immutable_hint(key, body) if fixed else "",
        str(cause.get("reason") or error.reason),
    )


def _immutable_hint(key: Key, body: Mapping[str, Any]) -> str:
    """What to do about a field that cannot change: the manifest itself may know better than what holds for its kind."""
    own = ((body.get("metadata") or {}).get("annotations") or {}).get(IMMUTABLE_HINT)
    return str(own) if own else immutable_hint(key.kind, key.name, key.namespace)


def _conflict(cause: Mapping[str, Any], key: Key, body: Mapping[str, Any]) -> Problem:
    """One field that another manager owns."""
    message = str(cause.get("message") or "")
    manager = CONFLICT.search(message)
    owner = manager["manager"] if manager else "another manager"
    return Problem(
        key,
        str(cause.get("field") or ""),
        _clean(message, body),
        f"take the field out of the manifest and leave it to {owner}, or take it over with force_conflicts: true",
        "FieldManagerConflict",
    )


def _clean(words: str, body: Mapping[str, Any]) -> str:
    """The server's words at a readable length, without any value of a Secret."""
    words = GO_VALUE.sub(lambda found: found["value"], words)
    words = LONG_VALUE.sub("Invalid value: (...)", words)
    if body.get("kind") == "Secret":
        for value in (body.get("data") or {}).values():
            for text in _spellings(value):
                words = words.replace(text, "(hidden)")
    return words if len(words) <= MAX_WORDS else words[:MAX_WORDS] + " ..."


def _spellings(value: Any) -> list[str]:
    """A Secret's value as it may be quoted: encoded and decoded."""
    spellings = [str(value)]
    with contextlib.suppress(binascii.Error, ValueError):  # not base64: the server will say so, without our help
        spellings.append(base64.b64decode(str(value), validate=True).decode())
    # Hiding a value of one or two characters would make the message unreadable and hide nothing worth it.
    return [text for text in spellings if len(text) > 2]
