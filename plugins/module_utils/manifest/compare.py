# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two states of one object: are they the same, and how to show the difference without showing a secret."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

try:
    import yaml
except ImportError:  # pragma: no cover - ansible-core itself needs PyYAML
    yaml = None

# Set by the server on every write, or different for each object of the same content.
NOISE = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
# Annotations by which others keep their books; the first repeats the whole object, secrets included.
NOISE_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"})
# What makes a published checksum of a Secret's values say nothing about them (module_utils/secrets).
SALT = "secret.stackgate.k3s/salt"
HIDDEN = "(hidden)"
HIDDEN_NEW = "(hidden, new value)"


def content(found: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what says nothing about what was asked for: status, versions, times, bookkeeping."""
    meta = {key: value for key, value in (found.get("metadata") or {}).items() if key not in NOISE}
    annotations = {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key not in NOISE_ANNOTATIONS}
    if annotations:
        meta["annotations"] = annotations
    body = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    return {**body, "metadata": meta}


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two states, both as the server told them, mean the same."""
    return content(before) == content(after)


def owned(found: Mapping[str, Any], manager: str) -> Any:
    """The fields that a field manager owns by server-side apply; None when it owns none."""
    for entry in (found.get("metadata") or {}).get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry.get("fieldsV1")
    return None


def masked(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Both states with a Secret's values hidden, still showing which of them differ."""
    old = content(before) if before is not None else None
    new = content(after) if after is not None else None
    for part in ("data", "stringData"):
        old_values = dict((old or {}).get(part) or {})
        new_values = dict((new or {}).get(part) or {})
        if old is not None and old.get("kind") == "Secret" and old_values:
            old[part] = dict.fromkeys(old_values, HIDDEN)
        if new is not None and new.get("kind") == "Secret" and new_values:
            new[part] = {key: HIDDEN if old is None or old_values.get(key) == value else HIDDEN_NEW for key, value in new_values.items()}
    for body in (old, new):
        if body is not None and SALT in (body["metadata"].get("annotations") or {}):
            body["metadata"]["annotations"] = {**body["metadata"]["annotations"], SALT: HIDDEN}
    return old, new


@functools.cache
def _dumper() -> Any:
    """A YAML writer that keeps texts of many lines readable, because configuration files are what differs most."""

    class Dumper(yaml.SafeDumper):
        """See _dumper."""

        def ignore_aliases(self, data: Any) -> bool:
            """Repeat what occurs twice."""
            return True

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return Dumper


def to_yaml(body: Mapping[str, Any] | None) -> str:
    """An object as text; empty for none."""
    return "" if body is None else str(yaml.dump(dict(body), Dumper=_dumper(), width=10_000, allow_unicode=True))


def difference(
    title: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, failure: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """One entry of a task's `diff`. failure: the status condition for which an object is made anew; often all that differs."""
    old, new = masked(before, after)
    if old is not None and failure is not None:
        old["status"] = {"conditions": [dict(failure)]}
    return {
        "before_header": title if old is not None else f"{title} (absent)",
        "after_header": title if new is not None else f"{title} (absent)",
        "before": to_yaml(old),
        "after": to_yaml(new),
    }
