# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three members under Patroni, and a pod that uses them as an application does: through the pooler of its own node."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from instance import CACHE, PROJECT, Instance, run_playbook
from ledger_pod import Client, until
from postgresql_members import Members

NAME = "store-postgresql"
OWN_INVENTORIES = "inventories/local:molecule/postgresql/inventory"
INVENTORIES = tuple(PROJECT / path for path in (os.environ.get("STACKGATE_INVENTORY") or OWN_INVENTORIES).split(":"))
GIVEN = [word for path in INVENTORIES for word in ("-i", str(path))]
LIMIT = ["--limit", f"{NAME},localhost"]
PROGRAM = PROJECT / "tests/acceptance/postgresql/ledger.py"

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: ledger
  labels: {app.kubernetes.io/name: ledger, app.kubernetes.io/component: ledger, stackgate.k3s/client-of-postgresql: "true"}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  # Not where a test pulls the plug.
  nodeSelector: {kubernetes.io/hostname: node1}
  securityContext:
    {runAsNonRoot: true, runAsUser: 10026, runAsGroup: 10026, fsGroup: 10026, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: ledger
      command: [sleep, infinity]
      resources: {requests: {cpu: 20m, memory: 48Mi}, limits: {memory: 128Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: application, mountPath: /run/secrets/application, readOnly: true}
        - {name: program, mountPath: /program, readOnly: true}
  volumes:
    - {name: application, secret: {secretName: postgresql, defaultMode: 288}}
    - {name: program, configMap: {name: ledger-program}}
"""


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """The instance of the molecule scenario: the one that is there, or one that is made, and taken down again."""
    found = Instance(NAME, INVENTORIES, CACHE / "kubeconfig", NAME, "k3s")
    assert found.kubeconfig.exists(), f"no kubeconfig at {found.kubeconfig}: `make cluster` first"
    try:
        there = bool(found.objects("apps/v1", "StatefulSet"))
    except Exception:  # no rights in a namespace that is not there yet
        there = False
    if not there:
        made = run_playbook(["molecule/postgresql/converge.yml", *GIVEN, *LIMIT])
        assert made.status == 0, made.failed
    yield found
    if not there:
        run_playbook(["molecule/postgresql/cleanup.yml", *GIVEN, *LIMIT, "-e", f"confirm={NAME}"])


@pytest.fixture(scope="session")
def members(instance: Instance) -> Members:
    return Members(instance)


@pytest.fixture(scope="session")
def ledger_pod(instance: Instance) -> Iterator[dict[str, Any]]:
    """What an application's pod looks like. Its image is the server's, for its Python and its driver."""
    pod = yaml.safe_load(POD)
    server = instance.objects("apps/v1", "StatefulSet", field_selector="metadata.name=postgresql")[0]
    pod["spec"]["containers"][0]["image"] = server["spec"]["template"]["spec"]["containers"][0]["image"]
    program = {"metadata": {"name": "ledger-program"}, "data": {"ledger.py": PROGRAM.read_text()}}
    instance.core.create_namespaced_config_map(instance.namespace, program)
    yield pod
    instance.core.delete_namespaced_config_map("ledger-program", instance.namespace)


@pytest.fixture(scope="session")
def ledger(instance: Instance, ledger_pod: dict[str, Any]) -> Iterator[Client]:
    core, namespace = instance.core, instance.namespace
    core.create_namespaced_pod(namespace, copy.deepcopy(ledger_pod))
    try:
        until("the ledger's pod runs", lambda: core.read_namespaced_pod("ledger", namespace).status.phase == "Running", 60)
        yield Client(instance, PROGRAM)
    finally:
        core.delete_namespaced_pod("ledger", namespace)
