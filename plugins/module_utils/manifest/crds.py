# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds belong to a namespace: asked of the cluster, or of definitions in the same manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import Document
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import group_of


def scope(cluster: Cluster, documents: Iterable[Document]) -> Callable[[str, str], bool]:
    """A function that tells of (apiVersion, kind) whether its objects live in a namespace; StackgateError for an unknown kind."""
    defined: dict[tuple[str, str], bool] = {}
    for document in documents:
        spec = document.body.get("spec")
        if document.body.get("kind") == "CustomResourceDefinition" and isinstance(spec, dict):
            defined[(str(spec.get("group")), str((spec.get("names") or {}).get("kind")))] = spec.get("scope") == "Namespaced"

    def is_namespaced(api_version: str, kind: str) -> bool:
        try:
            return bool(cluster.resource(api_version, kind).namespaced)
        except StackgateError:
            if (group_of(api_version), kind) in defined:
                return defined[(group_of(api_version), kind)]
            raise

    return is_namespaced
