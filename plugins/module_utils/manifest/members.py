# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a component has in the cluster: its parent object and its members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset, refusals
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import Key, group_of
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.prepare import LABEL, Component, Wanted

# (apiVersion, kind)
Kind = tuple[str, str]


class Reader:
    """Reads one component. Everything that the person should know besides is in `warnings`."""

    def __init__(self, cluster: Cluster, component: Component) -> None:
        self.cluster, self.component = cluster, component
        self.warnings: list[str] = []

    def parent(self) -> dict[str, Any] | None:
        """The parent object. Raises StackgateError when it belongs to somebody else."""
        name = applyset.parent_name(self.component.name)
        found = self.cluster.get("v1", "ConfigMap", name, self.component.namespace)
        if found is None:
            return None
        tool = applyset.tool_of(found)
        if tool not in ("", applyset.TOOL):
            raise StackgateError(
                f"ConfigMap/{name} in namespace {self.component.namespace} is an ApplySet of {applyset.TOOL}",
                f"its manager is {tool}",
                "give the component another name, or delete that ApplySet's objects with its own tool",
            )
        owner = (found["metadata"].get("labels") or {}).get(f"{LABEL}/instance", self.component.instance)
        if owner != self.component.instance:
            raise StackgateError(
                f"component {self.component.name} in namespace {self.component.namespace} belongs to instance {self.component.instance}",
                f"it belongs to instance {owner}; applying would delete that instance's objects",
                "give each instance a namespace of its own (stackgate_namespace)",
            )
        return found

    def served(self, item: Wanted) -> bool:
        """Whether an object's kind is known yet; it is not when the same manifest defines it."""
        try:
            self.cluster.resource(item.api_version, item.key.kind)
        except StackgateError:
            return False
        return True

    def kinds_of(self, wanted: Iterable[Wanted]) -> list[Kind]:
        """The kinds of some objects, as far as they are served."""
        return list(dict.fromkeys((item.api_version, item.key.kind) for item in wanted if self.served(item)))

    def kinds_on_record(self, group_kinds: Iterable[str]) -> list[Kind]:
        """The kinds that a parent lists. One that is served no more has no objects either."""
        found = []
        for group_kind in sorted(group_kinds):
            kind, _dot, group = group_kind.partition(".")
            api_version = self.cluster.preferred(group, kind)
            if api_version:
                self.cluster.resource(api_version, kind)  # fills the cache for the threads that follow
                found.append((api_version, kind))
        return found

    def members(self, what: Kind, cached: bool) -> dict[Key, dict[str, Any]]:
        """The members of one kind. A kind without namespace that may not be listed counts as having none, with a warning.

        cached: see Cluster.list.
        """
        return {_key(found): found for found in self._list(what, cached)}

    def _list(self, what: Kind, cached: bool) -> list[dict[str, Any]]:
        api_version, kind = what
        if kind == "Namespace":  # listing them takes a right at the scope of the cluster, reading one's own does not
            own = self.cluster.get(api_version, kind, self.component.namespace)
            mine = own is not None and (own["metadata"].get("labels") or {}).get(applyset.PART_OF) == self.component.set_id
            return [own] if own is not None and mine else []
        namespaced = self.cluster.resource(api_version, kind).namespaced
        namespace = self.component.namespace if namespaced else None
        try:
            return self.cluster.list(api_version, kind, namespace, labels=f"{applyset.PART_OF}={self.component.set_id}", cached=cached)
        except ApiError as error:
            if error.not_found:
                return []
            if not error.forbidden:
                raise
            right = refusals.missing_right(error.message) or f"list {kind}"
            if not namespaced:
                self.warnings.append(f"{kind} objects that left the manifest are not looked for: the right to {right} is missing")
                return []
            raise StackgateError(
                f"this identity may read the objects of component {self.component.name}",
                f"the right to {right} is missing",
                "grant it with a Role and a RoleBinding; docs/rights.md lists all",
            ) from error


def _key(found: dict[str, Any]) -> Key:
    """The key of an object that the server returned."""
    meta = found["metadata"]
    return Key(group_of(found["apiVersion"]), found["kind"], meta.get("namespace") or "", meta["name"])
