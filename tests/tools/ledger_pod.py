# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of a store in a pod, which keeps a ledger of what was acknowledged."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instance import CACHE, PROJECT, Instance
from waiting import until

MONGODB = PROJECT / "tests/acceptance/mongodb/ledger.py"


@dataclass
class Client:
    """The pod that runs a program, ledger.py of a store: each of its commands prints JSON."""

    instance: Instance
    program: Path = MONGODB

    def _command(self, *words: str) -> list[str]:
        kubectl = [str(CACHE / "bin/kubectl"), f"--kubeconfig={self.instance.kubeconfig}", "-n", self.instance.namespace]
        return [*kubectl, "exec", "-i", "ledger", "--", "python3", "-", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command of ledger.py; finish() gives its result."""
        with self.program.open() as program:
            return subprocess.Popen(self._command(*words), stdin=program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process: subprocess.Popen[str], timeout: float = 120.0) -> Any:
        said, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, errors
        return json.loads(said)

    def __call__(self, *words: str) -> Any:
        return self.finish(self.start(*words))

    def states(self) -> dict[str, str]:
        found: dict[str, str] = self("status")["members"]
        return found

    def primary(self) -> str:
        return next(name for name, state in self.states().items() if state == "PRIMARY")


def server_image(instance: Instance) -> str:
    """The image of an instance's servers."""
    server: str = instance.objects("apps/v1", "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    return server


def manifest(
    image: str, user: int, clients_of: Sequence[str], secrets: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What an application's pod looks like. secrets: by the directory in /run/secrets that shows each."""
    labels = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/component": "ledger"}
    identity = {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user}
    container = {
        "name": "ledger",
        "image": image,
        "command": ["sleep", "infinity"],
        "env": [{"name": name, "value": value} for name, value in (environment or {}).items()],
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": name, "mountPath": f"/run/secrets/{name}", "readOnly": True} for name in secrets],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ledger", "labels": {**labels, **{f"stackgate.k3s/client-of-{name}": "true" for name in clients_of}}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            # Not where a test pulls the plug.
            "nodeSelector": {"kubernetes.io/hostname": "node1"},
            "securityContext": {**identity, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}} for name, secret in secrets.items()],
        },
    }


@contextlib.contextmanager
def running(instance: Instance, pod: Mapping[str, Any]) -> Iterator[None]:
    """The pod runs, until the context is left."""
    core, name, namespace = instance.core, pod["metadata"]["name"], instance.namespace
    core.create_namespaced_pod(namespace, dict(pod))
    try:
        until(f"pod {name} runs", lambda: core.read_namespaced_pod(name, namespace).status.phase, holds=lambda phase: phase == "Running")
        yield
    finally:
        core.delete_namespaced_pod(name, namespace)
