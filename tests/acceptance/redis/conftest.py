# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three servers, three sentinels, a proxy on each node, and a pod that uses them as an application does."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml
from instance import CACHE, PROJECT, Instance, run_playbook
from ledger_pod import until
from redis_ledger import Ledger

from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, Image

NAME = "store-redis"
OWN_INVENTORIES = "inventories/local:molecule/redis/inventory"
INVENTORIES = tuple(PROJECT / path for path in (os.environ.get("STACKGATE_INVENTORY") or OWN_INVENTORIES).split(":"))
GIVEN = [word for path in INVENTORIES for word in ("-i", str(path))]
LIMIT = ["--limit", f"{NAME},localhost"]
IMAGES = PROJECT / "tests/images"

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: ledger
  labels:
    app.kubernetes.io/name: ledger
    app.kubernetes.io/component: ledger
    stackgate.k3s/client-of-redis: "true"
    stackgate.k3s/client-of-redis-sentinel: "true"
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  # Not where a test pulls the plug.
  nodeSelector: {kubernetes.io/hostname: node1}
  securityContext:
    {runAsNonRoot: true, runAsUser: 10090, runAsGroup: 10090, fsGroup: 10090, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: ledger
      command: [sleep, infinity]
      resources: {requests: {cpu: 20m, memory: 48Mi}, limits: {memory: 128Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts:
        - {name: redis, mountPath: /run/secrets/redis, readOnly: true}
        - {name: members, mountPath: /run/secrets/redis-members, readOnly: true}
  volumes:
    - {name: redis, secret: {secretName: redis, defaultMode: 288}}
    - {name: members, secret: {secretName: redis-members, defaultMode: 288}}
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
        made = run_playbook(["molecule/redis/converge.yml", *GIVEN, *LIMIT])
        assert made.status == 0, made.failed
    yield found
    if not there:
        run_playbook(["molecule/redis/cleanup.yml", *GIVEN, *LIMIT, "-e", f"confirm={NAME}"])


@pytest.fixture(scope="session")
def ledger(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The application's pod, with redis-py as distributions have it."""
    override = {"image_build_images": ["store_client"], "stackgate_images_dirs": [str(IMAGES)]}
    built = instance.play("--tags", "images", override=override, directory=tmp_path_factory.mktemp("ledger"))
    assert built.status == 0, built.failed
    server = instance.objects("apps/v1", "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    image = Catalogue([IMAGES, PROJECT / "images"]).get("store_client")
    assert isinstance(image, Image)
    pod = yaml.safe_load(POD)
    pod["spec"]["containers"][0]["image"] = image.reference(server.partition("/stackgate/")[0])
    pods = instance.dynamic.resources.get(api_version="v1", kind="Pod")
    pods.create(body=pod, namespace=instance.namespace)
    try:
        until("the ledger's pod runs", lambda: pods.get(name="ledger", namespace=instance.namespace).status.phase == "Running", 60)
        made = Ledger(instance)
        until("its connections are let out", lambda: made("reach") is True, 30)
        yield made
    finally:
        pods.delete(name="ledger", namespace=instance.namespace)
