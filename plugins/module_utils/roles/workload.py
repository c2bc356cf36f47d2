# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of the workload role: from what a stack writes to what the template prints and the gate waits for.

An item is written by a person and leaves most things out. `expand` fills in the defaults, names the volumes, and gives a Job
a name that holds a hash of all that it is made of: a Job's pod is immutable, so that a changed Job must be a new one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.labels import pod_labels, selector

KINDS = ("Deployment", "StatefulSet", "Job", "CronJob")
LASTING = ("Deployment", "StatefulSet")
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A Job adds "-" and 8 digits, a CronJob up to 11 characters, and the names of pods and labels end at 63.
NAME_LENGTH = 52
TEMPLATE = Path(__file__).parents[3] / "roles" / "workload" / "templates" / "workload.yml.j2"

# Waits until each host:port accepts a connection. The image needs bash, as all images of this collection have.
WAIT = r"""for target in "$@"; do
  until timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "${target%:*}" "${target##*:}" 2>/dev/null; do
    echo "waiting for $target"
    sleep 0.5
  done
done"""
NOTHING: dict[str, Any] = {
    "args": [],
    "working_dir": "",
    "env": {},
    "secret_env": {},
    "secret_files": [],
    "config_files": {},
    "volumes": [],
    "scratch": [],
}
WAIT_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}

# What an item has when it does not say. Resources and environment are merged, everything else is replaced as a whole.
DEFAULTS: dict[str, Any] = {
    "kind": "Deployment",
    "enabled": True,
    "command": [],
    "args": [],
    "working_dir": "",
    "replicas": 1,
    "env": {},
    "secret_env": {},
    "secret_files": [],
    "config_files": {},
    "volumes": [],
    "claims": [],
    "scratch": [{"path": "/tmp", "size": "64Mi"}],  # noqa: S108 - a directory of the pod, not of this machine
    "ports": [],
    "probes": {},
    "init": [],
    "wait_for": [],
    "clients_of": [],
    "edge": False,
    "egress": [],
    "autoscaling": {},
    "pre_stop_s": 5,
    "termination_grace_s": 30,
    "progress_deadline_s": 600,
    "schedule": "",
    "time_zone": "Etc/UTC",
    "concurrency": "Forbid",
    "backoff_limit": 3,
    "deadline_s": 600,
    "gate": [],
}


def expand(
    items: Sequence[Mapping[str, Any]],
    instance: str,
    defaults: Mapping[str, Any],
    checksums: Mapping[str, str],
    addresses: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """All enabled items, complete.

    defaults:  what the role's own variables add to DEFAULTS (user, group, resources, image).
    checksums: of the Secrets that items refer to, by name; a changed one gives new pods.
    addresses: of the Services that items are clients of, by name; they go into the pods' hosts files.
    Raises StackgateError that names every item that is wrong.
    """
    wrong: list[str] = []
    seen: set[str] = set()
    done: list[dict[str, Any]] = []
    for number, item in enumerate(items, 1):
        if not item.get("enabled", True):
            continue
        name = str(item.get("name") or f"number {number}")
        complaints = list(_complaints(item, defaults))
        if name in seen:
            complaints.append("its name is that of an earlier item")
        seen.add(name)
        wrong.extend(f"{name}: {complaint}" for complaint in complaints)
        if not complaints:
            done.append(_complete(item, instance, defaults, checksums, addresses or {}))
    if wrong:
        raise StackgateError(
            "each item of workload_items can be built", "; ".join(wrong), "see roles/workload/README.md for the keys of an item"
        )
    return done


def secret_names(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The Secrets that enabled items refer to, sorted."""
    names: set[str] = set()
    for item in items:
        if not item.get("enabled", True):
            continue
        for part in (item, *(item.get("init") or [])):
            names.update(str(reference["secret"]) for reference in (part.get("secret_env") or {}).values() if "secret" in reference)
            names.update(str(files["secret"]) for files in part.get("secret_files") or [] if "secret" in files)
    return sorted(names)


def service_names(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The Services of other components that enabled items are clients of, sorted. Those of items are made along with their clients."""
    enabled = [item for item in items if item.get("enabled", True)]
    return sorted({str(name) for item in enabled for name in item.get("clients_of") or []} - {str(item.get("name")) for item in enabled})


def gate(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conditions of expanded items: each is running, reachable and may be disturbed as written."""
    conditions: list[dict[str, Any]] = []
    for item in items:
        if item["kind"] in LASTING:
            conditions.append({"kind": "rollout", "resource": f"{item['kind']}/{item['object']}"})
            if item["ports"]:
                conditions.append({"kind": "endpoints", "service": item["name"], "minimum": item["minimum"]})
            if item["minimum"] > 1:
                conditions.append({"kind": "pdb", "name": item["name"]})
            if item["autoscaling"]:
                conditions.append({"kind": "hpa", "name": item["name"]})
            conditions.extend(
                {"kind": "pvc", "name": f"{claim['name']}-{item['object']}-{ordinal}"}
                for claim in item["claims"]
                for ordinal in range(item["replicas"])
            )
        elif item["kind"] == "Job":
            conditions.append({"kind": "job", "name": item["object"], "timeout": item["deadline_s"]})
        conditions.extend(item["gate"])
    return conditions


def _complaints(item: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with an item beyond the types that argument_specs check."""
    name, kind = str(item.get("name") or ""), item.get("kind", DEFAULTS["kind"])
    if not NAME.fullmatch(name) or len(name) > NAME_LENGTH:
        yield f"name: expected at most {NAME_LENGTH} lower case letters, digits and hyphens, seen {name!r}"
    if kind not in KINDS:
        yield f"kind: expected one of {', '.join(KINDS)}, seen {kind!r}"
    if not (item.get("image") or defaults.get("image")):
        yield "image: expected one, of the item or in workload_image, seen none"
    if kind == "CronJob" and not item.get("schedule"):
        yield "schedule: expected one like '30 1 * * *', seen none"
    if item.get("claims") and kind != "StatefulSet":
        yield f"claims: expected in a StatefulSet only, seen in a {kind}; share a volume of workload_volumes instead"
    if kind in LASTING and item.get("ports") and not (item.get("probes") or {}).get("readiness"):
        yield "probes.readiness: expected one, because the item has ports, seen none"
    if kind in LASTING and not (item.get("probes") or {}).get("liveness"):
        yield "probes.liveness: expected one, seen none"
    scaling = item.get("autoscaling") or {}
    if scaling and int(scaling.get("maximum", 0)) < int(scaling.get("minimum", 2)):
        yield f"autoscaling: expected maximum to be at least minimum, seen {scaling.get('maximum')} and {scaling.get('minimum', 2)}"
    for port in item.get("ports") or []:
        if int(port["port"]) < 1024:
            yield f"ports.{port.get('name')}: expected 1024 or above, because the process is not root, seen {port['port']}"


def _complete(
    item: Mapping[str, Any], instance: str, defaults: Mapping[str, Any], checksums: Mapping[str, str], addresses: Mapping[str, str]
) -> dict[str, Any]:
    """One item with everything that the template reads."""
    merged: dict[str, Any] = {**DEFAULTS, **defaults, **{k: v for k, v in item.items() if v is not None}}
    merged["resources"] = _resources(defaults.get("resources"), item.get("resources"))
    merged["env"] = {**(defaults.get("env") or {}), **(item.get("env") or {})}
    name, kind, scaling = merged["name"], merged["kind"], dict(merged["autoscaling"])
    if scaling:
        scaling = {"minimum": 2, "cpu_percent": 70, **scaling}
    merged["ports"] = [{"protocol": "TCP", "service_port": port["port"], **port} for port in merged["ports"]]
    merged["volumes"] = [{"read_only": False, **volume} for volume in merged["volumes"]]
    mounts = _Mounts(name)
    main = mounts.container(merged)
    init = _wait(merged["wait_for"], merged["image"], mounts) + [_init(part, merged, mounts) for part in merged["init"]]
    merged.update(
        autoscaling=scaling,
        minimum=scaling.get("minimum", merged["replicas"]),
        main=main,
        init=init,
        pod_volumes=mounts.volumes,
        config=mounts.config,
        selector=selector(name, instance),
        labels=pod_labels(name, instance, "workload", merged["clients_of"], merged["edge"]),
        object=name,
    )
    used = {secret: checksums.get(secret, "") for secret in secret_names([item])}
    merged["checksum"] = _hash([merged["config"], used])[:16]
    if kind == "Job":
        made_of = {key: value for key, value in merged.items() if key not in ("checksum", "gate", "object")}
        merged["object"] = f"{name}-{_hash([made_of, _template_digest()])[:8]}"
    # A Job's pod cannot be changed, and is tried again: it asks the name server.
    known = [service for service in merged["clients_of"] if service in addresses and kind != "Job"]
    merged["host_aliases"] = [{"ip": addresses[service], "hostnames": [service]} for service in known]
    return merged


def _wait(targets: Sequence[str], image: str, mounts: _Mounts) -> list[dict[str, Any]]:
    """The init container that waits for addresses, when there are any.

    A new pod's first connections are refused until the network policies of its node know it (0.4 to 1 s measured): a program that
    tries once, as Jobs do, must not be the first to try.
    """
    if not targets:
        return []
    command = ["bash", "-c", WAIT, "wait", *targets]
    return [mounts.container({**NOTHING, "name": "wait", "image": image, "command": command, "resources": WAIT_RESOURCES})]


def _init(part: Mapping[str, Any], item: Mapping[str, Any], mounts: _Mounts) -> dict[str, Any]:
    """An init container: what it does not say is that of the item."""
    inherited = {
        key: item[key] for key in ("image", "env", "secret_env", "secret_files", "config_files", "volumes", "scratch", "working_dir")
    }
    merged = {**inherited, "command": [], "args": [], **{k: v for k, v in part.items() if v is not None}}
    merged["env"] = {**item["env"], **(part.get("env") or {})}
    merged["resources"] = _resources(item["resources"], part.get("resources"))
    return mounts.container(merged)


class _Mounts:
    """The volumes of one pod, collected while its containers are built."""

    def __init__(self, item: str) -> None:
        self.item = item
        self.volumes: list[dict[str, Any]] = []
        self.config: dict[str, str] = {}

    def container(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A container's env and volumeMounts; remembers the volumes that they need."""
        mounts: list[dict[str, Any]] = []
        for files in part["secret_files"]:
            name = self._volume(f"secret-{files['secret']}", self._secret(files))
            mounts.append({"name": name, "mountPath": files["path"], "readOnly": True})
        for path, text in part["config_files"].items():
            key = path.strip("/").replace("/", ".")
            self.config[key] = str(text)
            name = self._volume("config", {"configMap": {"name": f"{self.item}-config"}})
            mounts.append({"name": name, "mountPath": path, "subPath": key, "readOnly": True})
        for volume in part["volumes"]:
            source = {"persistentVolumeClaim": {"claimName": volume["claim"]}}
            mount = {
                "name": self._volume(f"claim-{volume['claim']}", source),
                "mountPath": volume["path"],
                "readOnly": bool(volume.get("read_only")),
            }
            mounts.append({**mount, "subPath": volume["sub_path"]} if volume.get("sub_path") else mount)
        mounts.extend({"name": claim["name"], "mountPath": claim["path"]} for claim in part.get("claims") or [])
        for scratch in part["scratch"]:
            source = {"emptyDir": {"sizeLimit": scratch["size"], **({"medium": "Memory"} if scratch.get("memory") else {})}}
            name = self._volume("scratch" + re.sub(r"[^a-z0-9]+", "-", scratch["path"].lower()).rstrip("-"), source)
            mounts.append({"name": name, "mountPath": scratch["path"]})
        env = [{"name": name, "value": _text(value)} for name, value in part["env"].items()]
        env.extend(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": reference["secret"], "key": reference["key"]}}}
            for name, reference in part["secret_env"].items()
        )
        return {
            "name": part["name"],
            "image": part["image"],
            "command": part["command"],
            "args": part["args"],
            "working_dir": part["working_dir"],
            "env": env,
            "mounts": mounts,
            "resources": part["resources"],
        }

    @staticmethod
    def _secret(files: Mapping[str, Any]) -> dict[str, Any]:
        """A Secret's volume: readable by the pod's group, which fsGroup makes its owner, and by nobody else."""
        keys = files.get("keys") or []
        items = keys.items() if isinstance(keys, Mapping) else [(key, key) for key in keys]
        source: dict[str, Any] = {"secretName": files["secret"], "defaultMode": 0o440}
        if keys:
            source["items"] = [{"key": key, "path": path} for key, path in items]
        return {"secret": source}

    def _volume(self, name: str, source: Mapping[str, Any]) -> str:
        """A volume's name; the same source is mounted from one volume, and another one of that name gets a number."""
        name = name[:60]
        taken = {volume["name"]: volume for volume in self.volumes}
        for candidate in (name, *(f"{name}-{number}" for number in range(2, 100))):
            wanted = {"name": candidate, **source}
            if candidate not in taken:
                self.volumes.append(wanted)
                return candidate
            if taken[candidate] == wanted:
                return candidate
        raise StackgateError("fewer than 100 volumes of one name", name)


def _resources(base: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Requests and limits, each merged on its own."""
    base, own = base or {}, own or {}
    return {part: {**(base.get(part) or {}), **(own.get(part) or {})} for part in ("requests", "limits")}


def _text(value: Any) -> str:
    """An environment variable's text; a switch is written as people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hash(value: Any) -> str:
    """A digest of data, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@functools.cache
def _template_digest() -> str:
    """A digest of the template: when it changes what it makes of an item, that item's Job is another one."""
    return hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()
