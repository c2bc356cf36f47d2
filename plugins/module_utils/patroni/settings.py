# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's dynamic configuration: what of it differs from what is wanted, as the patch that PATCH /config takes. Pure.

A mapping is merged into what is there, null takes a name away, anything else replaces it (the rule of Patroni's patch_config).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest patch that makes `found` as wanted; empty when there is nothing to do."""
    patch: dict[str, Any] = {}
    for name, value in wanted.items():
        there = found.get(name)
        if isinstance(value, Mapping):
            inner = difference(value, there if isinstance(there, Mapping) else {})
            if inner:
                patch[name] = inner
        elif value is None:
            if name in found:
                patch[name] = None
        elif name not in found or not _same(value, there):
            patch[name] = value
    return patch


def patched(found: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """What Patroni makes of a patch."""
    result = dict(found)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            there = result.get(name)
            result[name] = patched(there if isinstance(there, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def words(patch: Mapping[str, Any], found: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A patch for people: `ttl 20 in place of 30`."""
    for name, value in sorted(patch.items()):
        there = found.get(name)
        if isinstance(value, Mapping):
            yield from words(value, there if isinstance(there, Mapping) else {}, f"{prefix}{name}.")
        elif value is None:
            yield f"no {prefix}{name} (it was {there})"
        else:
            yield f"{prefix}{name} {value}" + (f" in place of {there}" if name in found else "")


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: parameters of PostgreSQL are texts or numbers, whoever wrote them."""
    if isinstance(one, bool) or isinstance(other, bool):
        return _truth(one) == _truth(other)
    if isinstance(one, (list, tuple)) or isinstance(other, (list, tuple)):
        return one == other
    return str(one) == str(other)


def _truth(value: Any) -> Any:
    return {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}.get(str(value).lower(), value)
