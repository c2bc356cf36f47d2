# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules by which a bucket forgets objects: as a person declares them, and as the library has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minio.lifecycleconfig import LifecycleConfig


@dataclass(frozen=True, order=True)
class Rule:
    """One rule. Days count from when the object was written, or became an older version.

    noncurrent_keep: how many older versions are kept in any case.
    other: what the rule has and this collection does not declare (transitions, tags): such a rule never equals a declared one.
    """

    id: str
    prefix: str = ""
    enabled: bool = True
    expire_days: int = 0
    expire_delete_markers: bool = False
    noncurrent_days: int = 0
    noncurrent_keep: int = 0
    other: str = ""

    def as_data(self) -> dict[str, Any]:
        """What is set, for a difference."""
        found = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in found.items() if value or name in ("id", "enabled")}


def from_options(rules: Iterable[Mapping[str, Any]]) -> tuple[tuple[Rule, ...], list[str]]:
    """Rules as declared, and what is wrong with them."""
    made: list[Rule] = []
    mistakes: list[str] = []
    for number, given in enumerate(rules, 1):
        known = {entry.name for entry in fields(Rule)} - {"other"}
        values = {name: value for name, value in given.items() if name in known and value is not None}
        rule = Rule(**{"id": f"rule-{number}", **values})
        where = f"lifecycle rule {rule.id}"
        if not (rule.expire_days or rule.noncurrent_days or rule.expire_delete_markers):
            mistakes.append(f"{where}: give one of expire_days, noncurrent_days, expire_delete_markers")
        if rule.expire_days and rule.expire_delete_markers:
            mistakes.append(f"{where}: expire_delete_markers goes without expire_days, which takes delete markers away as well")
        if rule.noncurrent_keep and not rule.noncurrent_days:
            mistakes.append(f"{where}: noncurrent_keep needs noncurrent_days")
        mistakes += [f"{where}: {name} is negative" for name, value in values.items() if isinstance(value, int) and value < 0]
        made.append(rule)
    doubled = {rule.id for rule in made if sum(other.id == rule.id for other in made) > 1}
    mistakes += [f"lifecycle rule {name} is there twice" for name in sorted(doubled)]
    return tuple(sorted(made)), mistakes


def from_library(rules: Iterable[Any]) -> tuple[Rule, ...]:
    """Rules as the server has them."""
    return tuple(sorted(_rule(rule) for rule in rules))


def _rule(rule: Any) -> Rule:
    where, expiration, older = rule.rule_filter, rule.expiration, rule.noncurrent_version_expiration
    other = [
        name
        for name in ("abort_incomplete_multipart_upload", "noncurrent_version_transition", "transition")
        if getattr(rule, name, None) is not None
    ]
    other += [name for name in ("and_operator", "tag") if where is not None and getattr(where, name, None) is not None]
    if expiration is not None and expiration.date is not None:
        other.append("expiration date")
    return Rule(
        id=str(rule.rule_id or ""),
        prefix=str((where.prefix if where is not None else "") or ""),
        enabled=rule.status == "Enabled",
        expire_days=int((expiration.days if expiration else 0) or 0),
        expire_delete_markers=bool(expiration and expiration.expired_object_delete_marker),
        noncurrent_days=int((older.noncurrent_days if older else 0) or 0),
        noncurrent_keep=int((older.newer_noncurrent_versions if older else 0) or 0),
        other=", ".join(other),
    )


def to_library(rules: Iterable[Rule]) -> LifecycleConfig:
    """The library's form of declared rules."""
    from minio import lifecycleconfig
    from minio.commonconfig import Filter

    def expiration(rule: Rule) -> lifecycleconfig.Expiration | None:
        if rule.expire_days:
            return lifecycleconfig.Expiration(days=rule.expire_days)
        return lifecycleconfig.Expiration(expired_object_delete_marker=True) if rule.expire_delete_markers else None

    def older(rule: Rule) -> lifecycleconfig.NoncurrentVersionExpiration | None:
        if not rule.noncurrent_days:
            return None
        return lifecycleconfig.NoncurrentVersionExpiration(rule.noncurrent_days, rule.noncurrent_keep or None)

    return lifecycleconfig.LifecycleConfig(
        [
            lifecycleconfig.Rule(
                status="Enabled" if rule.enabled else "Disabled",
                rule_filter=Filter(prefix=rule.prefix),
                rule_id=rule.id,
                expiration=expiration(rule),
                noncurrent_version_expiration=older(rule),
            )
            for rule in rules
        ]
    )
