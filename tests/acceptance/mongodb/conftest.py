# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of three members of the test double, and a pod that uses it as an application does."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml
from instance import CACHE, PROJECT, Instance, run_playbook
from ledger_pod import Client, until

NAME = "store-mongodb"
OWN_INVENTORIES = "inventories/local:molecule/mongodb/inventory"
INVENTORIES = tuple(PROJECT / path for path in (os.environ.get("STACKGATE_INVENTORY") or OWN_INVENTORIES).split(":"))
GIVEN = [word for path in INVENTORIES for word in ("-i", str(path))]
LIMIT = ["--limit", f"{NAME},localhost"]

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: ledger
  labels: {app.kubernetes.io/name: ledger, app.kubernetes.io/component: ledger, stackgate.k3s/client-of-mongodb: "true"}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  # Not where a test pulls the plug.
  nodeSelector: {kubernetes.io/hostname: node1}
  securityContext:
    {runAsNonRoot: true, runAsUser: 10030, runAsGroup: 10030, fsGroup: 10030, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: ledger
      command: [sleep, infinity]
      env: [{name: PYTHONPATH, value: /opt/mongodb}]
      resources: {requests: {cpu: 20m, memory: 48Mi}, limits: {memory: 128Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: mongodb, mountPath: /run/secrets/mongodb, readOnly: true}
        - {name: admin, mountPath: /run/secrets/mongodb-admin, readOnly: true}
  volumes:
    - {name: mongodb, secret: {secretName: mongodb, defaultMode: 288}}
    - {name: admin, secret: {secretName: mongodb-admin, defaultMode: 288}}
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
        made = run_playbook(["molecule/mongodb/converge.yml", *GIVEN, *LIMIT])
        assert made.status == 0, made.failed
    yield found
    if not there:
        run_playbook(["molecule/mongodb/cleanup.yml", *GIVEN, *LIMIT, "-e", f"confirm={NAME}"])


@pytest.fixture(scope="session")
def ledger(instance: Instance) -> Iterator[Client]:
    """An application's pod. Its image is the double's, for its Python and its driver."""
    pod = yaml.safe_load(POD)
    server = instance.objects("apps/v1", "StatefulSet", field_selector="metadata.name=mongodb")[0]
    pod["spec"]["containers"][0]["image"] = server["spec"]["template"]["spec"]["containers"][0]["image"]
    pods = instance.dynamic.resources.get(api_version="v1", kind="Pod")
    pods.create(body=pod, namespace=instance.namespace)
    try:
        until("the ledger's pod runs", lambda: pods.get(name="ledger", namespace=instance.namespace).status.phase == "Running", 60)
        yield Client(instance)
    finally:
        pods.delete(name="ledger", namespace=instance.namespace)
