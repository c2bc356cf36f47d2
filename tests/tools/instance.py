# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance that the acceptance tests look at: where it is, what is in its namespace, and runs of site.yml on it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

PROJECT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("STACKGATE_CACHE") or Path.home() / ".cache/stackgate")

# Everything that a stack may consist of. Not looked at: what the cluster rewrites at any time (Event, Lease, EndpointSlice).
KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    changed: the tasks that reported a change, as (host, task, diff).
    failed:  the messages of failed tasks.
    recap:   ok, changed, failures, ... by host.
    plays:   those that had a task to do, beside Ansible's own check of a role's arguments.
    """

    status: int
    output: str
    seconds: float
    changed: list[tuple[str, str, Any]]
    failed: list[str]
    recap: dict[str, dict[str, int]]
    plays: list[str]

    def total(self, what: str) -> int:
        return sum(host[what] for host in self.recap.values())


@dataclass(frozen=True)
class Instance:
    """One deployed stack. Every field can be set by an environment variable: STACKGATE_INSTANCE, STACKGATE_INVENTORY, ...

    inventories: as in `-i`, later ones over earlier ones; in the environment with colons between them.
    """

    name: str
    inventories: tuple[Path, ...]
    kubeconfig: Path
    namespace: str
    domain: str
    ingress_address: str = field(default="")

    @staticmethod
    def from_environment() -> Instance:
        def given(name: str, default: str) -> str:
            return os.environ.get(f"STACKGATE_{name}") or default

        name = given("INSTANCE", "wesago-local")
        return Instance(
            name=name,
            inventories=tuple(PROJECT / path for path in given("INVENTORY", "inventories/local").split(":")),
            kubeconfig=Path(given("KUBECONFIG", str(CACHE / "kubeconfig"))),
            namespace=given("NAMESPACE", name),
            domain=given("DOMAIN", "k3s"),
            ingress_address=given("INGRESS", ""),
        )

    # -- the cluster ------------------------------------------------------------------------------------------------------

    @cached_property
    def api(self) -> client.ApiClient:
        return config.new_client_from_config(str(self.kubeconfig))

    @cached_property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @cached_property
    def dynamic(self) -> DynamicClient:
        return DynamicClient(self.api)

    def objects(self, api_version: str, kind: str, **query: Any) -> list[dict[str, Any]]:
        """All objects of one kind in the namespace."""
        found = self.dynamic.resources.get(api_version=api_version, kind=kind).get(namespace=self.namespace, **query)
        return [item.to_dict() for item in found.items]

    def versions(self) -> dict[str, str]:
        """A fingerprint of every object in the namespace, by Kind/name: it changes when somebody writes to the object.

        What the cluster itself reports in `status` is left out, so that a probe that fails on a busy machine is no change;
        who wrote when is kept (managedFields of those who do not write a status). What is on its way out is not there.
        """
        return {
            f"{kind}/{item['metadata']['name']}": fingerprint(item)
            for api_version, kind in KINDS
            for item in self.objects(api_version, kind)
            if not item["metadata"].get("deletionTimestamp")
        }

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        """The pods that are meant to stay: those of finished Jobs are left out."""
        pods = self.objects("v1", "Pod", label_selector=selector)
        return [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def secret(self, name: str, key: str) -> str:
        data = self.core.read_namespaced_secret(name, self.namespace).data or {}
        return base64.b64decode(data[key]).decode()

    @cached_property
    def hosts(self) -> dict[str, str]:
        """Ingress name by host name."""
        return {
            rule["host"]: item["metadata"]["name"]
            for item in self.objects("networking.k8s.io/v1", "Ingress")
            for rule in item["spec"]["rules"]
        }

    @cached_property
    def address(self) -> str:
        """The address that the ingress controller gave the instance's Ingresses."""
        if self.ingress_address:
            return self.ingress_address
        for item in self.objects("networking.k8s.io/v1", "Ingress"):
            for entry in (item.get("status", {}).get("loadBalancer") or {}).get("ingress") or []:
                if entry.get("ip"):
                    return str(entry["ip"])
        raise AssertionError(f"no Ingress in namespace {self.namespace} has an address")

    # -- playbooks --------------------------------------------------------------------------------------------------------

    def play(
        self, *arguments: str, playbook: str = "site.yml", override: Mapping[str, Any] | None = None, directory: Path | None = None
    ) -> Run:
        """ansible-playbook on this instance. `override` is what a user would write into host_vars; `directory` holds it."""
        inventories = list(self.inventories)
        if override is not None:
            assert directory is not None
            (directory / "host_vars").mkdir(parents=True, exist_ok=True)
            (directory / "host_vars" / f"{self.name}.yml").write_text(yaml.safe_dump(dict(override)))
            (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {self.name: None}}}))
            inventories.append(directory)
        given = [word for path in inventories for word in ("-i", str(path))]
        return run_playbook([playbook, *given, "--limit", self.name, *arguments])


@contextlib.contextmanager
def delivered(store: str) -> Iterator[Instance]:
    """The instance of a store's molecule scenario: the one that is there, or one that is made, and taken down again.

    $STACKGATE_INVENTORY: other inventories than the scenario's, with colons between them.
    """
    name = f"store-{store.replace('_', '-')}"
    given = (os.environ.get("STACKGATE_INVENTORY") or f"inventories/local:molecule/{store}/inventory").split(":")
    found = Instance(name, tuple(PROJECT / path for path in given), CACHE / "kubeconfig", name, "k3s")
    assert found.kubeconfig.exists(), f"no kubeconfig at {found.kubeconfig}: `make cluster` first"
    arguments = [*(word for path in found.inventories for word in ("-i", str(path))), "--limit", f"{name},localhost"]
    try:
        there = bool(found.objects("apps/v1", "StatefulSet"))
    except Exception:  # no rights in a namespace that is not there yet
        there = False
    if not there:
        made = run_playbook([f"molecule/{store}/converge.yml", *arguments])
        assert made.status == 0, made.failed
    try:
        yield found
    finally:
        if not there:
            run_playbook([f"molecule/{store}/cleanup.yml", *arguments, "-e", f"confirm={name}"])


def fingerprint(item: Mapping[str, Any]) -> str:
    """A hash of an object without its status and what changes along with that."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    writers = [entry for entry in item["metadata"].get("managedFields") or [] if entry.get("subresource") != "status"]
    rest = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    return hashlib.sha256(json.dumps([metadata, writers, rest], sort_keys=True, default=str).encode()).hexdigest()


def run_playbook(arguments: Sequence[str]) -> Run:
    """ansible-playbook with its results as data."""
    environment = dict(
        os.environ,
        ANSIBLE_CONFIG=str(PROJECT / "ansible.cfg"),
        ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        ANSIBLE_NOCOLOR="1",
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    began = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    seconds = time.monotonic() - began
    return parse_run(done.returncode, done.stdout, done.stderr, seconds)


def parse_run(status: int, stdout: str, stderr: str, seconds: float) -> Run:
    """The output of the json callback, between whatever else was printed."""
    output = stdout + stderr
    start = re.search(r"^\{$", stdout, re.MULTILINE)
    if start is None:  # ansible-playbook gave up before the first play
        return Run(status, output, seconds, [], [output.strip()], {}, [])
    report, _end = json.JSONDecoder().raw_decode(stdout[start.start() :])
    changed, failed, plays = [], [], []
    for play in report["plays"]:
        # Ansible checks the arguments of every role of a playbook, whatever the tags are.
        if any("Validating arguments against arg spec" not in task["task"]["name"] for task in play["tasks"]):
            plays.append(play["play"]["name"])
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if result.get("changed"):
                    changed.append((host, task["task"]["name"], result.get("diff")))
                if result.get("failed") or result.get("unreachable"):
                    failed.append(str(result.get("msg", result)))
    return Run(status, output, seconds, changed, failed, report["stats"], plays)
