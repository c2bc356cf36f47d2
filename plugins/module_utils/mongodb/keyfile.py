# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new key for the members among themselves, without downtime.

A key file may list several keys since 4.2: a member logs in with them in their order, and accepts any of them. So a key is
replaced in three phases, with a rolling restart after each:

    [old, new]   every member learns to accept the new key
    [new, old]   every member uses the new key, and accepts the old one of members that have not been restarted yet
    [new]        every member forgets the old key

The file is one value of a Secret, and the whole state lies in that Secret: the list of keys, and one annotation with the phase and
the pods that have read the file before. So whoever continues after an interruption finds all he needs, and no clock is compared.
Everything here is pure; no message holds a key.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

ANNOTATION = "mongodb.stackgate.k3s/key-rotation"
# What the server takes for a key: letters of base64, 6 to 1024 of them (recorded: 08d), white space left out.
KEY = re.compile(r"[A-Za-z0-9+/=]{6,1024}")
# Bytes of a new key: 756 letters of base64.
KEY_BYTES = 567


class Phase(StrEnum):
    """How far a rotation is. The text is what stands in the annotation; STEADY has none."""

    STEADY = "steady"
    ANNOUNCED = "announced"
    SWITCHED = "switched"
    RETIRED = "retired"


NUMBER = {Phase.ANNOUNCED: 1, Phase.SWITCHED: 2, Phase.RETIRED: 3}
MEANING = {
    Phase.ANNOUNCED: "every member learns to accept the new key",
    Phase.SWITCHED: "every member uses the new key",
    Phase.RETIRED: "every member forgets the old key",
}


@dataclass(frozen=True)
class KeyRing:
    """The keys of the file in their order, and how far their rotation is.

    behind: uids of the pods that were there when this phase began, and so have read the file before it.
    """

    keys: tuple[str, ...] = field(repr=False)
    phase: Phase = Phase.STEADY
    behind: frozenset[str] = frozenset()

    @property
    def rotating(self) -> bool:
        """Whether a rotation is under way."""
        return self.phase is not Phase.STEADY

    @property
    def sentence(self) -> str:
        """The phase for people."""
        return f"key rotation, phase {NUMBER[self.phase]} of 3: {MEANING[self.phase]}" if self.rotating else "no key rotation is under way"


def new_key() -> str:
    """A key from the system's random source."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def begin(ring: KeyRing, key: str, pods: Iterable[str]) -> KeyRing:
    """The first phase of a rotation to `key`; one that is under way is not begun again. pods: uids of all members' pods."""
    if ring.rotating:
        return ring
    return KeyRing((ring.keys[0], key), Phase.ANNOUNCED, frozenset(pods))


def advance(ring: KeyRing, pods: Iterable[str]) -> KeyRing:
    """The next phase, once no pod is behind. pods: uids of all members' pods, which will be behind then."""
    match ring.phase:
        case Phase.ANNOUNCED:
            old, new = ring.keys
            return KeyRing((new, old), Phase.SWITCHED, frozenset(pods))
        case Phase.SWITCHED:
            return KeyRing((ring.keys[0],), Phase.RETIRED, frozenset(pods))
    return KeyRing(ring.keys[:1])


def parse(text: str) -> tuple[str, ...]:
    """The keys of a file: a YAML list of them, or one key. Raises StackgateError, which does not show the text."""
    listed = re.findall(r"(?m)^\s*-\s+(\S+)\s*$", text)
    keys = tuple(listed) if text.lstrip().startswith("- ") else ("".join(text.split()),)
    if not keys or any(not KEY.fullmatch(key) for key in keys):
        raise StackgateError(
            "a key file that MongoDB understands: one key of 6 to 1024 letters of base64, or a YAML list of such keys",
            f"a text of {len(text)} characters that is none",
            "make it by generated_secret: generate: {key: {length: 756, alphabet: base64}}",
        )
    return keys


def render(keys: tuple[str, ...]) -> str:
    """The file's text; a single key as it is, which every release reads."""
    return keys[0] if len(keys) == 1 else "".join(f"- {key}\n" for key in keys)


def read(secret: Mapping[str, Any], key: str) -> KeyRing:
    """What a Secret says. key: the name of its value. Raises StackgateError when it is missing, or keys and phase do not agree."""
    name = secret["metadata"]["name"]
    value = (secret.get("data") or {}).get(key)
    if not value:
        raise StackgateError(f"the key file in Secret {name}, key {key}", f"it has {', '.join(secret.get('data') or {}) or 'no keys'}")
    keys = parse(base64.b64decode(value).decode(errors="replace"))
    note = (secret["metadata"].get("annotations") or {}).get(ANNOTATION)
    found: dict[str, Any] = json.loads(note) if note else {"phase": Phase.STEADY, "behind": []}
    ring = KeyRing(keys, Phase(found["phase"]), frozenset(found["behind"]))
    wanted = 2 if ring.phase in (Phase.ANNOUNCED, Phase.SWITCHED) else 1
    if len(keys) != wanted:
        raise StackgateError(
            f"{wanted} key{'s' if wanted > 1 else ''} in Secret {name} ({ring.sentence})",
            f"{len(keys)} keys",
            f"somebody changed the Secret by hand: put back the keys, or correct its annotation {ANNOTATION}",
        )
    return ring


def written(secret: Mapping[str, Any], key: str, ring: KeyRing) -> dict[str, Any]:
    """The Secret with a ring in it; everything else as it is, resourceVersion too, so that a replace is a compare-and-swap."""
    body = copy.deepcopy(dict(secret))
    body.setdefault("data", {})[key] = base64.b64encode(render(ring.keys).encode()).decode()
    annotations = body["metadata"].setdefault("annotations", {})
    annotations.pop(ANNOTATION, None)
    if ring.rotating:
        annotations[ANNOTATION] = json.dumps({"phase": ring.phase.value, "behind": sorted(ring.behind)})
    return body
