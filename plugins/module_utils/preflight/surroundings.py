# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges where the stack is to live: kubeconfig, API server, rights, classes. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError, Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.inputs import Problem, did_you_mean

OLDEST_KUBERNETES = (1, 30)


@dataclass(frozen=True)
class Right:
    """A right that the deployment needs in its namespace: verbs on one resource of one API group."""

    group: str
    resource: str
    verbs: tuple[str, ...]


WRITE = ("get", "list", "create", "patch", "delete")
# The rights of docs/rights.md, by the component that needs them.
NEEDED_RIGHTS: dict[str, tuple[Right, ...]] = {
    "": (
        Right("", "configmaps", WRITE),
        Right("", "secrets", (*WRITE, "update")),
        Right("", "services", WRITE),
        Right("", "serviceaccounts", WRITE),
        Right("", "pods", ("get", "list")),
        Right("", "pods/log", ("get",)),
        # The API server asks for both: the upgrade to a websocket is a GET that may do what a POST does.
        Right("", "pods/portforward", ("get", "create")),
        Right("", "events", ("list",)),
        Right("apps", "deployments", WRITE),
        Right("apps", "replicasets", ("list",)),
        Right("discovery.k8s.io", "endpointslices", ("list",)),
        Right("networking.k8s.io", "networkpolicies", WRITE),
        Right("policy", "poddisruptionbudgets", WRITE),
    ),
    "namespace": (Right("", "resourcequotas", WRITE), Right("", "limitranges", WRITE)),
    "mongodb": (
        Right("apps", "statefulsets", WRITE),
        Right("", "persistentvolumeclaims", ("get", "list")),
        Right("", "pods", ("delete",)),
    ),
    "object_storage": (
        Right("apps", "statefulsets", WRITE),
        Right("", "persistentvolumeclaims", ("get", "list")),
        Right("", "pods", ("delete",)),
    ),
    "postgresql": (
        Right("apps", "statefulsets", WRITE),
        Right("apps", "daemonsets", WRITE),
        Right("", "persistentvolumeclaims", ("get", "list")),
        Right("", "pods", ("delete",)),
        # Members keep in the API server who leads: nobody gives away rights that he does not have.
        Right("rbac.authorization.k8s.io", "roles", WRITE),
        Right("rbac.authorization.k8s.io", "rolebindings", WRITE),
        Right("", "configmaps", ("watch", "update")),
        Right("", "pods", ("watch", "patch", "update")),
    ),
    "redis": (
        Right("apps", "statefulsets", WRITE),
        Right("apps", "daemonsets", WRITE),
        Right("", "persistentvolumeclaims", ("get", "list")),
        Right("", "pods", ("delete",)),
    ),
    "workload": (
        Right("batch", "jobs", WRITE),
        Right("batch", "cronjobs", WRITE),
        Right("", "persistentvolumeclaims", WRITE),
        Right("", "pods", ("create", "delete")),
    ),
    "ingress": (Right("networking.k8s.io", "ingresses", WRITE),),
}


def kubeconfig_problems(path: str, context: str) -> list[Problem]:
    """A kubeconfig that is missing or unreadable, and a context that it does not have."""
    import yaml

    path = os.path.expanduser(path or os.environ.get("KUBECONFIG", "") or "~/.kube/config")
    hint = "set stackgate_kubeconfig (inventory) or KUBECONFIG; `make cluster` writes one for the embedded cluster"
    if os.pathsep in path:  # several files: kubernetes.core merges them, and says what is wrong with them
        return []
    try:
        with open(path, encoding="utf-8") as file:
            config = yaml.safe_load(file)
    except OSError as error:
        return [Problem(f"a kubeconfig at {path}", error.strerror or str(error), hint)]
    except yaml.YAMLError as error:
        return [Problem(f"{path} is a kubeconfig", f"not YAML: {error}", hint)]
    if not isinstance(config, dict) or not config.get("clusters"):
        return [Problem(f"{path} is a kubeconfig", "it names no cluster", hint)]
    contexts = [entry.get("name", "") for entry in config.get("contexts") or []]
    wanted = context or config.get("current-context") or ""
    if wanted not in contexts:
        expected = f"{path} has the context {wanted!r}" if wanted else f"{path} has a current-context"
        return [
            Problem(expected, f"its contexts: {', '.join(contexts) or 'none'}", did_you_mean(wanted, contexts) + " (stackgate_context)")
        ]
    return []


def server_problems(cluster: Cluster) -> list[Problem]:
    """An API server that does not answer, refuses the credentials, or is too old."""
    try:
        version = cluster.version()
    except ApiError as error:
        hint = "the token or certificate in the kubeconfig is not accepted: renew it" if error.status == 401 else ""
        return [Problem(f"the API server at {cluster.address} accepts this identity", error.seen, hint)]
    except StackgateError as error:
        return [Problem(error.expected, error.seen, error.hint)]
    numbers = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.lstrip("v").split(".")[:2])
    if numbers < OLDEST_KUBERNETES:
        return [Problem(f"Kubernetes {OLDEST_KUBERNETES[0]}.{OLDEST_KUBERNETES[1]} or newer", version, "upgrade the cluster")]
    return []


def rights_problems(cluster: Cluster, namespace: str, components: Iterable[str]) -> list[Problem]:
    """Each right that is missing in the namespace, named (SelfSubjectRulesReview: one request for all)."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    status = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=review)["status"]
    rules = status.get("resourceRules") or []
    missing: dict[tuple[str, str], set[str]] = {}
    for component in ("", *components):
        for right in NEEDED_RIGHTS.get(component, ()):
            lacking = {verb for verb in right.verbs if not any(_grants(rule, right, verb) for rule in rules)}
            if lacking and status.get("incomplete"):  # an authorizer that cannot list its rules must be asked one by one
                resource, _slash, subresource = right.resource.partition("/")
                lacking = {v for v in lacking if not cluster.may(v, right.group, resource, namespace, subresource=subresource)}
            if lacking:
                missing.setdefault((right.group, right.resource), set()).update(lacking)
    return [
        Problem(
            f"the right to {', '.join(sorted(verbs))} {resource}{f'.{group}' if group else ''} in namespace {namespace}",
            "this identity does not have it",
            "docs/rights.md lists every right with its reason; ask the cluster's administrator for a Role with it",
        )
        for (group, resource), verbs in sorted(missing.items())
    ]


def _grants(rule: Mapping[str, Any], right: Right, verb: str) -> bool:
    def has(values: Any, wanted: str) -> bool:
        return "*" in (values or []) or wanted in (values or [])

    return (
        not rule.get("resourceNames")
        and has(rule.get("verbs"), verb)
        and has(rule.get("apiGroups"), right.group)
        and has(rule.get("resources"), right.resource)
    )


def class_problems(cluster: Cluster, storage_classes: Iterable[str], ingress_class: str) -> tuple[list[Problem], list[str]]:
    """Storage and ingress classes that do not exist; and warnings where this identity may not look."""
    problems: list[Problem] = []
    warnings: list[str] = []
    wanted = (
        (
            "storage.k8s.io/v1",
            "StorageClass",
            [name for name in storage_classes if name],
            "stackgate_storage_class, stackgate_storage_class_shared",
        ),
        ("networking.k8s.io/v1", "IngressClass", [ingress_class] if ingress_class else [], "stackgate_ingress_class"),
    )
    for api_version, kind, names, variables in wanted:
        if not names:
            continue
        try:
            known = [item["metadata"]["name"] for item in cluster.list(api_version, kind)]
        except ApiError as error:
            if not error.forbidden:
                raise
            warnings.append(f"{kind} {', '.join(names)} not checked: this identity may not list them; the gates will tell")
            continue
        problems += [
            Problem(
                f"{kind} {name!r} exists", f"the cluster has: {', '.join(known) or 'none'}", f"{did_you_mean(name, known)} ({variables})"
            )
            for name in dict.fromkeys(names)
            if name not in known
        ]
    return problems, warnings
