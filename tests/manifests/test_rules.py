# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule must be able to fail: one thing is broken, and the rule says so."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import rules
from rules import RULES, Rule, Stack

Break = Callable[[Stack], Any]


def item(stack: Stack, kind: str, name: str) -> dict[str, Any]:
    found = stack.named(kind, name)
    assert found is not None, f"{kind}/{name}"
    return found


def pod(stack: Stack, kind: str = "Deployment", name: str = "web") -> dict[str, Any]:
    spec: dict[str, Any] = item(stack, kind, name)["spec"]["template"]["spec"]
    return spec


def container(stack: Stack, kind: str = "Deployment", name: str = "web") -> dict[str, Any]:
    first: dict[str, Any] = pod(stack, kind, name)["containers"][0]
    return first


def without(stack: Stack, kind: str, name: str) -> None:
    stack.objects.remove(item(stack, kind, name))


def labels(stack: Stack, name: str, kind: str = "Deployment") -> dict[str, str]:
    found: dict[str, str] = item(stack, kind, name)["spec"]["template"]["metadata"]["labels"]
    return found


def volume(stack: Stack, part: str) -> dict[str, Any]:
    return next(volume for volume in pod(stack)["volumes"] if part in volume)


# (rule, what is broken, how)
BREAKS: list[tuple[Rule, str, Break]] = [
    (rules.restricted, "root", lambda s: pod(s)["securityContext"].update(runAsUser=0)),
    (rules.restricted, "no non-root", lambda s: pod(s)["securityContext"].pop("runAsNonRoot")),
    (rules.restricted, "no seccomp", lambda s: pod(s)["securityContext"].pop("seccompProfile")),
    (rules.restricted, "escalation", lambda s: container(s)["securityContext"].update(allowPrivilegeEscalation=True)),
    (
        rules.restricted,
        "a capability",
        lambda s: container(s)["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
    ),
    (rules.restricted, "init container as root", lambda s: pod(s)["initContainers"][0]["securityContext"].update(runAsUser=0)),
    (rules.restricted, "the node's network", lambda s: pod(s).update(hostNetwork=True)),
    (rules.restricted, "the node's files", lambda s: pod(s)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    (rules.restricted, "a port of the node", lambda s: container(s)["ports"][0].update(hostPort=8000)),
    (rules.restricted, "a low port", lambda s: container(s)["ports"][0].update(containerPort=80)),
    (rules.restricted, "a probe of another host", lambda s: container(s)["livenessProbe"]["httpGet"].update(host="192.0.2.1")),
    (rules.read_only_root, "writable root", lambda s: container(s)["securityContext"].pop("readOnlyRootFilesystem")),
    (rules.read_only_root, "scratch without size", lambda s: volume(s, "emptyDir")["emptyDir"].pop("sizeLimit")),
    (rules.resources, "no memory limit", lambda s: container(s)["resources"]["limits"].pop("memory")),
    (rules.resources, "no request", lambda s: container(s, "StatefulSet", "redis")["resources"]["requests"].pop("cpu")),
    (rules.images, "latest", lambda s: container(s).update(image="registry.example.test/app:latest")),
    (rules.images, "no tag behind a port", lambda s: container(s).update(image="registry.example.test:5000/app")),
    (rules.images, "no pull policy", lambda s: container(s).pop("imagePullPolicy")),
    (rules.accounts, "default account", lambda s: pod(s).pop("serviceAccountName")),
    (rules.accounts, "account that is not there", lambda s: without(s, "ServiceAccount", "web")),
    (rules.accounts, "account with a token", lambda s: item(s, "ServiceAccount", "web").pop("automountServiceAccountToken")),
    (rules.accounts, "pod with a token", lambda s: pod(s).pop("automountServiceAccountToken")),
    (rules.environment, "twice", lambda s: container(s)["env"].append({"name": "LEVEL", "value": "again"})),
    (rules.environment, "plain secret", lambda s: container(s)["env"].append({"name": "DB_PASSWORD", "value": "hunter2"})),
    (rules.environment, "open files", lambda s: volume(s, "secret")["secret"].update(defaultMode=0o644)),
    (rules.environment, "files of root", lambda s: pod(s)["securityContext"].pop("fsGroup")),
    (rules.probes, "no liveness", lambda s: container(s).pop("livenessProbe")),
    (rules.probes, "no readiness", lambda s: container(s, "StatefulSet", "postgresql").pop("readinessProbe")),
    (rules.probes, "unknown port", lambda s: container(s)["readinessProbe"]["httpGet"].update(port="htpp")),
    (rules.spread, "none", lambda s: pod(s).pop("topologySpreadConstraints")),
    (rules.spread, "of others", lambda s: pod(s)["topologySpreadConstraints"][0].update(labelSelector={"matchLabels": {"a": "b"}})),
    (rules.updates, "a gap", lambda s: item(s, "Deployment", "web")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1)),
    (rules.updates, "all at once", lambda s: item(s, "Deployment", "web")["spec"].update(strategy={"type": "Recreate"})),
    (
        rules.updates,
        "a store that restarts by itself",
        lambda s: item(s, "StatefulSet", "mongodb")["spec"].update(updateStrategy={"type": "RollingUpdate"}),
    ),
    (rules.updates, "no pause", lambda s: container(s).pop("lifecycle")),
    (rules.updates, "no time to end", lambda s: pod(s).update(terminationGracePeriodSeconds=5)),
    (rules.updates, "a job that vanishes", lambda s: s.of("Job")[0]["spec"].update(ttlSecondsAfterFinished=60)),
    (rules.disruption, "no budget", lambda s: without(s, "PodDisruptionBudget", "web")),
    (rules.disruption, "nothing may go", lambda s: item(s, "PodDisruptionBudget", "web")["spec"].update(maxUnavailable=0)),
    (rules.disruption, "two masters", lambda s: item(s, "Deployment", "scaled")["spec"].update(replicas=2)),
    (rules.selectors, "own pods", lambda s: labels(s, "web").update({"app.kubernetes.io/name": "wbe"})),
    (
        rules.selectors,
        "other pods",
        lambda s: item(s, "Deployment", "web")["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/name"),
    ),
    (rules.selectors, "service of none", lambda s: item(s, "Service", "web")["spec"]["selector"].update({"app.kubernetes.io/name": "wbe"})),
    (rules.selectors, "scaler of none", lambda s: without(s, "Deployment", "scaled")),
    (rules.selectors, "policy of none", lambda s: item(s, "NetworkPolicy", "web")["spec"]["podSelector"]["matchLabels"].update(a="b")),
    (rules.references, "target port", lambda s: item(s, "Service", "web")["spec"]["ports"][0].update(targetPort="htpp")),
    (rules.references, "service of an ingress", lambda s: without(s, "Service", "nginx")),
    (rules.references, "port of an ingress", lambda s: item(s, "Service", "website")["spec"]["ports"][0].update(port=81)),
    (rules.references, "middleware", lambda s: without(s, "Middleware", "secure")),
    (rules.references, "certificate", lambda s: setattr(s, "outside", ())),
    (rules.references, "claim", lambda s: without(s, "PersistentVolumeClaim", "media")),
    (rules.references, "config map", lambda s: without(s, "ConfigMap", "web-config")),
    (rules.references, "secret", lambda s: s.secrets.pop("app")),
    (rules.references, "key of a secret", lambda s: s.secrets["postgresql"].remove("second-uri")),
    (rules.references, "key of a variable", lambda s: s.secrets["redis"].remove("cache-uri")),
    (rules.references, "volume", lambda s: pod(s)["volumes"].pop()),
    (rules.references, "mount", lambda s: container(s)["volumeMounts"].pop(0) and pod(s).update(initContainers=[])),
    (rules.references, "two mounts", lambda s: container(s)["volumeMounts"].append(container(s)["volumeMounts"][0])),
    (rules.references, "headless service", lambda s: without(s, "Service", "postgresql-members")),
    (rules.references, "files of the website", lambda s: s.objects.remove(next(o for o in s.of("ConfigMap") if "binaryData" in o))),
    (rules.names, "twice", lambda s: s.objects.append(copy.deepcopy(item(s, "Service", "web")))),
    (rules.names, "no labels", lambda s: item(s, "Service", "web")["metadata"].update(labels={})),
    (rules.names, "pods without labels", lambda s: labels(s, "web").pop("app.kubernetes.io/component")),
    (rules.names, "default namespace", lambda s: item(s, "Service", "web")["metadata"].update(namespace="default")),
    (rules.network, "no denial", lambda s: without(s, "NetworkPolicy", "default-deny")),
    (rules.network, "no names", lambda s: without(s, "NetworkPolicy", "allow-dns")),
    (rules.network, "no way in", lambda s: without(s, "NetworkPolicy", "redis-proxy")),
    (rules.network, "no way out", lambda s: without(s, "NetworkPolicy", "redis-clients")),
    (rules.network, "for the world", lambda s: item(s, "NetworkPolicy", "web")["spec"]["ingress"][0].pop("from")),
    (rules.network, "client of nobody", lambda s: labels(s, "web").update({"stackgate.k3s/client-of-nobody": "true"})),
    (rules.network, "not of the edge", lambda s: labels(s, "nginx").pop("stackgate.k3s/edge")),
    (rules.network, "nginx no client", lambda s: labels(s, "nginx").pop("stackgate.k3s/client-of-web")),
    (rules.network, "no upstream", lambda s: s.upstreams[0].update(port=8001)),
    (rules.network, "secret without network", lambda s: labels(s, "web").pop("stackgate.k3s/client-of-postgresql")),
    (rules.exposure, "node port", lambda s: item(s, "Service", "web")["spec"].update(type="NodePort")),
    (rules.exposure, "rights", lambda s: s.objects.append({"kind": "Role", "metadata": {"name": "all"}})),
    (rules.exposure, "rights on Secrets", lambda s: item(s, "Role", "postgresql")["rules"][0]["resources"].append("secrets")),
    (rules.exposure, "writes anything", lambda s: item(s, "Role", "postgresql")["rules"][1].pop("resourceNames")),
    (rules.exposure, "snippet", lambda s: s.of("Ingress")[0]["metadata"].setdefault("annotations", {}).update({"x/server-snippet": ""})),
    (rules.gates, "forgotten rollout", lambda s: s.gates["postgresql"].pop(0)),
    (rules.gates, "forgotten endpoints", lambda s: s.gates.update(redis=[c for c in s.gates["redis"] if c["kind"] != "endpoints"])),
    (rules.gates, "forgotten job", lambda s: s.gates.update(workload=[c for c in s.gates["workload"] if c["kind"] != "job"])),
    (rules.gates, "too few claims", lambda s: next(c for c in s.gates["object_storage"] if c["kind"] == "pvc").update(minimum=7)),
    (rules.gates, "of nothing", lambda s: without(s, "Deployment", "web")),
]


@pytest.mark.parametrize(("rule", "what", "harm"), BREAKS, ids=[f"{rule.__name__}-{what}" for rule, what, _harm in BREAKS])
def test_a_breach_is_seen(stacks: dict[str, Stack], rule: Rule, what: str, harm: Break) -> None:
    stack = copy.deepcopy(stacks["everything"])
    assert not list(rule(stack)), "whole at first"
    harm(stack)
    assert list(rule(stack)), what


def test_every_rule_is_broken_once() -> None:
    assert {rule.__name__ for rule, _what, _harm in BREAKS} == {rule.__name__ for rule in RULES}
