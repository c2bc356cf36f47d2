# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory with as much of server-side apply as the engine relies on, and the recorded answers of a real one."""

from __future__ import annotations

import copy
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

RECORDED = Path(__file__).parent / "recorded"
KINDS = {
    ("v1", "Namespace"): False,
    ("v1", "ConfigMap"): True,
    ("v1", "Secret"): True,
    ("v1", "Service"): True,
    ("v1", "PersistentVolumeClaim"): True,
    ("apps/v1", "Deployment"): True,
    ("apps/v1", "StatefulSet"): True,
    ("batch/v1", "Job"): True,
    ("rbac.authorization.k8s.io/v1", "Role"): True,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): True,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): False,
}


class Killed(BaseException):
    """The process ends here, as by kill -9."""


def leaves(body: Any, path: str = "") -> dict[str, Any]:
    """The values of an object by path; a list is one value."""
    if isinstance(body, dict) and body:
        return {name: value for key, item in body.items() for name, value in leaves(item, f"{path}/{key.replace('/', '~')}").items()}
    return {path: body}


class FakeCluster:
    """Objects by (apiVersion, kind, namespace, name).

    refuse: called with (verb, document) before each write, to raise an ApiError; writes: every write that was not a dry run;
    lives: after so many writes the process is killed; stale: what lists from the server's cache show instead of the truth.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.kinds = dict(KINDS)
        self.refuse: Any = lambda verb, document: None
        self.writes: list[tuple[str, str, str]] = []
        self.requests = 0
        self.lives: int | None = None
        self.stale: dict[tuple[str, str, str, str], dict[str, Any]] | None = None
        self.warnings: list[str] = []
        self._version = 0
        self._lock = threading.RLock()
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
        self.writes.clear()

    def resource(self, api_version: str, kind: str) -> Any:
        if (api_version, kind) not in self.kinds:
            raise StackgateError(f"the cluster serves {api_version} {kind}", f"it does not know {api_version} {kind}")
        return SimpleNamespace(namespaced=self.kinds[(api_version, kind)])

    def preferred(self, group: str, kind: str) -> str | None:
        return next((version for version, name in self.kinds if name == kind and version.rpartition("/")[0] == group), None)

    def _key(self, document: Any) -> tuple[str, str, str, str]:
        meta = document["metadata"]
        return (document["apiVersion"], document["kind"], meta.get("namespace") or "", meta["name"])

    def _written(self, verb: str, kind: str, name: str) -> None:
        if self.lives is not None:
            if self.lives == 0:
                raise Killed
            self.lives -= 1
        self.writes.append((verb, kind, name))

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        with self._lock:
            self.requests += 1
            return copy.deepcopy(self.objects.get((api_version, kind, namespace or "", name)))

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, labels: str = "", fields: str = "", cached: bool = False
    ) -> Any:
        with self._lock:
            self.requests += 1
            self.refuse("list", {"apiVersion": api_version, "kind": kind, "metadata": {"name": ""}})
            wanted = dict(item.split("=", 1) for item in labels.split(",") if item)
            source = self.stale if cached and self.stale is not None else self.objects
            return [
                copy.deepcopy(found)
                for key, found in sorted(source.items())
                if key[:2] == (api_version, kind)
                and (namespace is None or key[2] == namespace)
                and wanted.items() <= (found["metadata"].get("labels") or {}).items()
            ]

    def apply(self, document: Any, *, dry_run: bool = False, force: bool = True) -> dict[str, Any]:
        with self._lock:
            self.requests += 1
            self.refuse("apply", document)
            namespace = document["metadata"].get("namespace")
            if namespace and ("v1", "Namespace", "", namespace) not in self.objects:
                message = f'namespaces "{namespace}" not found'
                raise ApiError("apply", 404, {"reason": "NotFound", "message": message})
            key = self._key(document)
            old = self.objects.get(key)
            new = copy.deepcopy(old) if old else {"apiVersion": key[0], "kind": key[1], "metadata": {}}
            mine = leaves({name: part for name, part in document.items() if name not in ("apiVersion", "kind")})
            before = (new["metadata"].get("managedFields") or [{"fieldsV1": {}}])[0]["fieldsV1"]
            for path in set(before) - set(mine):
                _drop(new, path)
            for path, value in mine.items():
                _set(new, path, copy.deepcopy(value))
            if key[1] == "Deployment":
                new.setdefault("spec", {}).setdefault("progressDeadlineSeconds", 600)
            new["metadata"]["managedFields"] = [
                {"manager": "stackgate", "operation": "Apply", "fieldsV1": {path: {} for path in sorted(mine)}}
            ]
            new["metadata"].setdefault("uid", f"uid-{self._version + 1}")
            if new != old and not dry_run:
                self._written("apply", key[1], key[3])
                self._version += 1
                new["metadata"]["resourceVersion"] = str(self._version)
                self.objects[key] = new
            return copy.deepcopy(new)

    def create(self, document: Any, *, dry_run: bool = False) -> dict[str, Any]:
        with self._lock:
            self.refuse("create", document)
            if self._key(document) in self.objects:
                raise ApiError("create", 409, {"reason": "AlreadyExists", "message": "already exists"})
            return self.put(document, dry_run)

    def replace(self, document: Any, *, dry_run: bool = False) -> dict[str, Any]:
        with self._lock:
            self.refuse("replace", document)
            live = self.objects.get(self._key(document))
            if live is None or live["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"]:
                raise ApiError("replace", 409, {"reason": "Conflict", "message": "the object has been modified"})
            return self.put(document, dry_run)

    def put(self, document: Any, dry_run: bool = False) -> dict[str, Any]:
        """Store an object as it is, as somebody else would."""
        new = copy.deepcopy(dict(document))
        if not dry_run:
            self._written("put", new["kind"], new["metadata"]["name"])
            self._version += 1
            new["metadata"]["resourceVersion"] = str(self._version)
            new["metadata"].setdefault("uid", f"uid-{self._version}")
            self.objects[self._key(new)] = new
        return copy.deepcopy(new)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        propagation: str = "",
        uid: str = "",
    ) -> bool:
        with self._lock:
            self.requests += 1
            key = (api_version, kind, namespace or "", name)
            if key not in self.objects:
                return False
            self.refuse("delete", self.objects[key])
            meta = self.objects[key]["metadata"]
            if uid and meta["uid"] != uid:
                return False
            if not dry_run:
                self._written("delete", kind, name)
                if meta.get("finalizers"):
                    meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                else:
                    del self.objects[key]
            return True

    def names(self, kind: str) -> list[str]:
        """The names of all objects of a kind."""
        return sorted(key[3] for key in self.objects if key[1] == kind)


def _parts(path: str) -> list[str]:
    return [part.replace("~", "/") for part in path.split("/")[1:]]


def _set(body: dict[str, Any], path: str, value: Any) -> None:
    *way, last = _parts(path)
    for part in way:
        body = body.setdefault(part, {})
    body[last] = value


def _drop(body: dict[str, Any], path: str) -> None:
    *way, last = _parts(path)
    for part in way:
        body = body.get(part, {})
    body.pop(last, None)


@pytest.fixture
def cluster() -> FakeCluster:
    """An empty cluster with the namespace `ns`."""
    return FakeCluster()


@pytest.fixture
def killed() -> type[BaseException]:
    """What a cluster raises when its `lives` are used up."""
    return Killed


@pytest.fixture(scope="session")
def refusals_recorded() -> dict[str, Any]:
    """Refusals of a real API server (1.35), by what was wrong."""
    return dict(json.loads((RECORDED / "refusals.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def deployment_recorded() -> dict[str, Any]:
    """A Deployment as a real API server (1.35) told it: read, listed, and as the answer of dry runs."""
    return dict(json.loads((RECORDED / "deployment.json").read_text(encoding="utf-8")))
