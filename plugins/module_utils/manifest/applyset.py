# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent object of an ApplySet (Kubernetes enhancement 3659): which kinds a component has in the cluster.

Each member carries the label part-of with the set's id. The parent, a ConfigMap, carries the id and the list of kinds to look
for, so that members which left the manifest are found again by any tool that knows the specification.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
TOOL = "stackgate"
TOOL_VERSION = "v1"


def parent_name(component: str) -> str:
    """The name of the parent ConfigMap. A component's name may hold underscores, an object's may not."""
    return f"{component.replace('_', '-').lower()}-applyset"


def set_id(name: str, namespace: str) -> str:
    """The id of the set whose parent is the ConfigMap `name`: a pure function of what identifies the parent."""
    digest = hashlib.sha256(f"{name}.{namespace}.ConfigMap.".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def parent(component: str, namespace: str, labels: Mapping[str, str], group_kinds: Iterable[str]) -> dict[str, Any]:
    """The parent object for a set that holds (or may hold, while an apply is under way) these kinds."""
    name = parent_name(component)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, ID: set_id(name, namespace)},
            "annotations": {TOOLING: f"{TOOL}/{TOOL_VERSION}", GROUP_KINDS: ",".join(sorted(set(group_kinds))), NAMESPACES: ""},
        },
    }


def group_kinds(found: Mapping[str, Any] | None) -> set[str]:
    """The kinds that a parent lists."""
    listed = str((((found or {}).get("metadata") or {}).get("annotations") or {}).get(GROUP_KINDS) or "")
    return {item.strip() for item in listed.split(",") if item.strip()}


def tool_of(found: Mapping[str, Any]) -> str:
    """The tool that a parent names as its manager, without the version."""
    return str(((found.get("metadata") or {}).get("annotations") or {}).get(TOOLING) or "").rpartition("/")[0]


def matches(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a parent already says what it should, labels and annotations of others aside."""
    if found is None:
        return False
    have, want = found.get("metadata") or {}, wanted["metadata"]
    return all((have.get(part) or {}).get(key) == value for part in ("labels", "annotations") for key, value in want[part].items())
