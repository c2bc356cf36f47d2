# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members as a real 5.0.7 described itself: recorded/members.json, in relaxed extended JSON."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, observe_member


def _plain(document: dict[str, Any]) -> Any:
    if "$date" in document:
        return datetime.fromisoformat(document["$date"])
    if "$timestamp" in document:
        return SimpleNamespace(time=document["$timestamp"]["t"], inc=document["$timestamp"]["i"])
    return document.get("$oid", document)


RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "members.json").read_text(encoding="utf-8"), object_hook=_plain)


def recorded(name: str, **more: Any) -> MemberObservation:
    """The recorded member of this name; `more` goes to observe_member."""
    found = RECORDED[name]
    return observe_member(found["host"], found["replies"], **more)
