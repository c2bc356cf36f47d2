# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster, named by STACKGATE_KUBECONFIG, and a namespace of its own that is deleted at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import crds, documents, engine, prepare

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    """The kubeconfig of the cluster to test on; its user makes and deletes namespaces."""
    path = os.environ.get("STACKGATE_KUBECONFIG", "")
    if not path or not Path(path).is_file():
        pytest.fail(f"expected: STACKGATE_KUBECONFIG names a kubeconfig; seen: {path!r}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def namespace(kubeconfig: str) -> Iterator[str]:
    """A fresh namespace in which the server warns of what Pod Security restricted would refuse."""
    cluster = Cluster({"kubeconfig": kubeconfig})
    name = f"manifesttest-{os.getpid()}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/warn": "restricted"}},
        }
    )
    yield name
    cluster.delete("v1", "Namespace", name)


@pytest.fixture
def cluster(kubeconfig: str) -> Cluster:
    """A connection with all rights."""
    return Cluster({"kubeconfig": kubeconfig})


class Applier:
    """Applies components to the test's namespace, as the task does."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace

    def _engine(self, component: str, user: str, settings: dict[str, Any]) -> tuple[engine.Engine, prepare.Component, Cluster]:
        cluster = Cluster({"kubeconfig": self.kubeconfig, **({"impersonate_user": user} if user else {})})
        what = prepare.Component(component, "test", self.namespace, "test")
        return engine.Engine(cluster, what, engine.Settings(**settings)), what, cluster

    def __call__(self, component: str, *bodies: Any, user: str = "", **settings: Any) -> engine.Outcome:
        """Apply; user: act as that user."""
        worker, what, cluster = self._engine(component, user, settings)
        written = documents.from_data(list(bodies), "definition")
        return worker.apply(prepare.prepare(written, what, crds.scope(cluster, written)))

    def remove(self, component: str, **settings: Any) -> engine.Outcome:
        """Remove."""
        return self._engine(component, "", settings)[0].remove()


@pytest.fixture
def apply(kubeconfig: str, namespace: str) -> Applier:
    """See Applier."""
    return Applier(kubeconfig, namespace)


@pytest.fixture
def play(kubeconfig: str, namespace: str, tmp_path: Path) -> Any:
    """Run tasks with ansible-playbook: play(tasks, *arguments) -> the finished process. The variable ns is the namespace."""
    ansible = Path(sys.executable).with_name("ansible-playbook")

    def run(tasks: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
        defaults = {"group/stackgate.k3s.stackgate": {"kubeconfig": kubeconfig}}
        book = {"hosts": "localhost", "connection": "local", "gather_facts": False, "module_defaults": defaults, "vars": {"ns": namespace}}
        path = tmp_path / "play.yml"
        path.write_text(yaml.safe_dump([{**book, "tasks": tasks}]), encoding="utf-8")
        command = [str(ansible), "-i", "localhost,", str(path), *arguments]
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run
