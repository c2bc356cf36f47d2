# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the manifests of tests/acceptance/gates onto a cluster, each in a namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster

MANIFESTS = Path(__file__).parents[1] / "acceptance" / "gates" / "manifests"
KUBECONFIG = os.environ.get("STACKGATE_KUBECONFIG", "")
# An image with a shell and busybox's httpd that the cluster's nodes can pull.
IMAGE = os.environ.get("STACKGATE_TEST_IMAGE", "busybox")


class Stage:
    """A namespace with a scenario in it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        # A pod is refused before its namespace's default ServiceAccount is there.
        self.until(lambda: self.cluster.get("v1", "ServiceAccount", "default", namespace), 30)

    def apply(self, scenario: str, change: Callable[[dict[str, Any]], None] | None = None, **words: str) -> None:
        """Apply a manifest; `change` may alter each document first, `words` replaces more placeholders."""
        text = (MANIFESTS / f"{scenario}.yml").read_text()
        # A tag after the placeholder replaces the one that the image has.
        name = IMAGE.rpartition(":")[0] if ":" in IMAGE.rpartition("/")[2] else IMAGE
        text = text.replace("IMAGE:", f"{name}:").replace("IMAGE", IMAGE).replace("NAMESPACE", self.namespace)
        text = text.replace("REVISION", words.pop("revision", "one"))
        for document in yaml.safe_load_all(text):
            if document["kind"] != "Namespace":
                document["metadata"]["namespace"] = self.namespace
            if change:
                change(document)
            self.cluster.apply(document)

    def until(self, true: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Wait for something; its value."""
        return until(f"what is waited for in {self.namespace}", true, seconds, pause=0.2)

    def pods(self) -> list[dict[str, Any]]:
        """The pods in the namespace."""
        return self.cluster.list("v1", "Pod", self.namespace)

    def remove(self) -> None:
        """Delete the namespace, without waiting for its end."""
        self.cluster.delete("v1", "Namespace", self.namespace)
