# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of the images, as strict as the roles run them, in a namespace of their own that is removed afterwards.

STACKGATE_ADMIN_KUBECONFIG  a kubeconfig that may make namespaces (~/.cache/stackgate/admin.kubeconfig)
STACKGATE_REGISTRY          the registry in the images' references (registry.k3s:5000)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue

kubernetes = pytest.importorskip("kubernetes")
from kubernetes.client import CoreV1Api  # noqa: E402
from kubernetes.client.exceptions import ApiException  # noqa: E402
from kubernetes.stream import stream  # noqa: E402

NAMESPACE = "images-test"
KUBECONFIG = os.environ.get("STACKGATE_ADMIN_KUBECONFIG", str(Path("~/.cache/stackgate/admin.kubeconfig").expanduser()))
REGISTRY = os.environ.get("STACKGATE_REGISTRY", "registry.k3s:5000")


class Namespace:
    """One namespace with Pod Security `restricted`, and what the tests do in it."""

    def __init__(self, api: CoreV1Api) -> None:
        self.api = api

    def make(self) -> None:
        """Make the namespace anew."""
        self.remove()
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        self.api.create_namespace({"metadata": {"name": NAMESPACE, "labels": labels}})
        until("the namespace has its service account", self._has_account)

    def _has_account(self) -> bool:
        return any(account.metadata.name == "default" for account in self.api.list_namespaced_service_account(NAMESPACE).items)

    def remove(self) -> None:
        """Remove the namespace, and wait until it is gone."""
        try:
            self.api.delete_namespace(NAMESPACE)
        except ApiException as error:
            if error.status != 404:
                raise
        until("the namespace is gone", lambda: all(item.metadata.name != NAMESPACE for item in self.api.list_namespace().items))

    def secret(self, name: str, values: dict[str, str]) -> None:
        """Make a Secret, or change it."""
        body = {"metadata": {"name": name}, "stringData": values}
        try:
            self.api.create_namespaced_secret(NAMESPACE, body)
        except ApiException as error:
            if error.status != 409:
                raise
            self.api.replace_namespaced_secret(name, NAMESPACE, body)

    def claim(self, name: str) -> None:
        """Make a volume claim of the cluster's default class."""
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self.api.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def run(self, name: str, image: str, uid: int, *, container: dict[str, Any] | None = None, volumes: Any = (), mounts: Any = ()) -> None:
        """Start a pod of an image: restricted, root file system read-only."""
        pod = {
            "metadata": {"name": name},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": uid,
                    "runAsGroup": uid,
                    "fsGroup": uid,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "main",
                        "image": Catalogue().get(image).reference(REGISTRY),
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts],
                        **(container or {}),
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
            },
        }
        self.api.create_namespaced_pod(NAMESPACE, pod)

    def ready(self, name: str) -> None:
        """Wait until a pod is ready; fails with its log when its container ended."""

        def is_ready() -> bool:
            status = self.api.read_namespaced_pod(name, NAMESPACE).status
            for container in status.container_statuses or []:
                ended = container.state.terminated or container.last_state.terminated
                assert not ended, f"{name} ended with {ended.exit_code}:\n{self.log(name)}"
            return any(condition.type == "Ready" and condition.status == "True" for condition in status.conditions or [])

        until(f"pod {name} is ready", is_ready)

    def ended(self, name: str) -> int:
        """Wait until a pod's container has ended for the first time; its exit status."""

        def status() -> list[int]:
            containers = self.api.read_namespaced_pod(name, NAMESPACE).status.container_statuses or []
            states = [state for container in containers for state in (container.state, container.last_state)]
            return [state.terminated.exit_code for state in states if state.terminated]

        seen: list[int] = until(f"pod {name} has ended", status)
        return seen[0]

    def log(self, name: str) -> str:
        """A pod's log."""
        return self.api.read_namespaced_pod_log(name, NAMESPACE)

    def delete(self, name: str, grace: int | None = None) -> float:
        """Delete a pod and wait until it is gone; the seconds that took."""
        began = time.monotonic()
        self.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=grace)
        until(f"pod {name} is gone", lambda: all(pod.metadata.name != name for pod in self.api.list_namespaced_pod(NAMESPACE).items))
        return time.monotonic() - began

    def sh(self, name: str, script: str) -> tuple[int, str]:
        """Run a shell script in a pod: its exit status and its output (both streams)."""
        socket = stream(
            self.api.connect_get_namespaced_pod_exec,
            name,
            NAMESPACE,
            command=["sh", "-c", script],
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        socket.run_forever(timeout=60)
        return int(socket.returncode or 0), (socket.read_stdout() + socket.read_stderr()).strip()


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """A fresh namespace; gone after the module's tests."""
    if not Path(KUBECONFIG).is_file():
        pytest.skip(f"no cluster: {KUBECONFIG} does not exist")
    kubernetes.config.load_kube_config(KUBECONFIG)
    found = Namespace(CoreV1Api())
    found.make()
    yield found
    found.remove()
