# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded cluster is a real one: rights, policies, volumes, ingress, metrics, registry, faults. Takes three minutes."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import time
import urllib.error
import urllib.request

import pytest
from embedded import Embedded, changed, differences, kernel
from waiting import until

PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: trial}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: own, namespace: trial}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared, namespace: trial}
spec: {storageClassName: local-path-shared, accessModes: [ReadWriteMany], resources: {requests: {storage: 16Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: trial, labels: {app: server}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
    - name: server
      image: busybox
      command: [sh, -c, "echo hello > /shared/index.html; httpd -p 8081 -h /shared; exec httpd -f -p 8080 -h /shared"]
      ports: [{name: http, containerPort: 8080}]
      volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: trial}
spec: {selector: {app: server}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, namespace: trial, labels: {app: friend}}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
    - {name: c, image: busybox, command: [sleep, "10000"], volumeMounts: [{name: shared, mountPath: /shared}]}
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: trial, labels: {app: stranger}}
spec:
  nodeSelector: {kubernetes.io/hostname: node1}
  terminationGracePeriodSeconds: 0
  containers:
    - {name: c, image: busybox, command: [sh, -c, "date >> /own/starts; exec sleep 10000"], volumeMounts: [{name: own, mountPath: /own}]}
  volumes: [{name: own, persistentVolumeClaim: {claimName: own}}]
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: strip, namespace: trial}
spec: {stripPrefix: {prefixes: [/app]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: server
  namespace: trial
  annotations: {traefik.ingress.kubernetes.io/router.middlewares: trial-strip@kubernetescrd}
spec:
  rules: [{host: trial.test, http: {paths: [{path: /app, pathType: Prefix, backend: {service: {name: server, port: {number: 80}}}}]}}]
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: trial}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: friend}}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
      ports: [{port: http}]
"""


def fetch(url: str, host: str = "") -> str:
    try:
        request = urllib.request.Request(url, headers={"Host": host} if host else {})
        with urllib.request.urlopen(request, timeout=3) as answer:
            return str(answer.read().decode().strip())
    except (urllib.error.URLError, OSError) as error:
        return f"({error})"


@pytest.fixture(scope="session")
def pods(cluster: Embedded) -> Embedded:
    cluster.ask("apply", "-f", "-", stdin=PODS)
    cluster.ask("-n", "trial", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
    return cluster


def reaches(cluster: Embedded, pod: str, target: str) -> bool:
    return cluster.kubectl("-n", "trial", "exec", pod, "--", "timeout", "2", "wget", "-qO-", f"http://{target}/").returncode == 0


def cpu_seconds() -> float:
    """Processor time of finished children: unlike the clock, the same on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_second_run_changes_nothing_and_is_quick(cluster: Embedded) -> None:
    start = cpu_seconds()
    assert changed(cluster.play()) == 0
    assert cpu_seconds() - start < 5


def test_another_namespace_is_added_quickly(cluster: Embedded) -> None:
    start = cpu_seconds()
    assert changed(cluster.play(namespaces=["mine", "more"])) == 1
    assert cpu_seconds() - start < 5
    assert cluster.kubectl("-n", "more", "get", "pods", kubeconfig=cluster.stack).returncode == 0


def test_nobody_gets_in_without_credentials(cluster: Embedded) -> None:
    context = ssl._create_unverified_context()
    for path in ("readyz", "version", "api"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"https://{cluster.node_ip(1)}:6443/{path}", timeout=5, context=context)
        assert refused.value.code == 401


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("create", "deployments.apps", "-n", "mine"), True),
        (("create", "pods/exec", "-n", "mine"), True),
        (("create", "pods/eviction", "-n", "mine"), True),
        (("patch", "middlewares.traefik.io", "-n", "mine"), True),
        (("patch", "namespace/mine", "-n", "mine"), True),
        (("get", "pods.metrics.k8s.io", "-n", "mine"), True),
        (("list", "nodes"), True),
        (("list", "storageclasses.storage.k8s.io"), True),
        (("delete", "namespace/mine", "-n", "mine"), False),
        (("list", "secrets", "-n", "kube-system"), False),
        (("create", "pods", "-n", "default"), False),
        (("create", "namespaces"), False),
        (("create", "clusterrolebindings.rbac.authorization.k8s.io"), False),
        (("get", "nodes", "--subresource=proxy"), False),
    ],
)
def test_the_stack_rules_in_its_namespace_only(cluster: Embedded, words: tuple[str, ...], allowed: bool) -> None:
    answer = cluster.kubectl("auth", "can-i", *words, kubeconfig=cluster.stack)
    assert answer.stdout.strip() == ("yes" if allowed else "no"), answer.stderr


def test_kubeconfigs_are_for_their_owner(cluster: Embedded) -> None:
    for path in (cluster.admin, cluster.stack):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_root_pod_is_refused_in_the_stacks_namespace(cluster: Embedded) -> None:
    answer = cluster.kubectl("-n", "mine", "run", "root", "--image=busybox", "--", "sleep", "1", kubeconfig=cluster.stack)
    assert 'violates PodSecurity "restricted' in answer.stderr


def test_metrics_are_served(cluster: Embedded) -> None:
    assert len(cluster.ask("top", "nodes", "--no-headers").splitlines()) == cluster.nodes


def test_dns_and_ingress_are_spread(cluster: Embedded) -> None:
    for selector in ("k8s-app=kube-dns", "app.kubernetes.io/name=traefik"):
        nodes = cluster.ask("-n", "kube-system", "get", "pods", "-l", selector, "-o", "jsonpath={.items[*].spec.nodeName}").split()
        assert sorted(nodes) == ["node1", "node2"]


def test_host_nodes_and_pods_know_the_registry_by_one_name(pods: Embedded) -> None:
    assert fetch("http://registry.k3s:5000/v2/") == "{}"
    found = pods.ask("-n", "trial", "exec", "friend", "--", "nslookup", "registry.k3s.")
    assert pods.ip(1) in found


def test_a_volume_is_shared_by_nodes(pods: Embedded) -> None:
    assert pods.ask("-n", "trial", "exec", "friend", "--", "cat", "/shared/index.html") == "hello"


def test_ingress_with_a_middleware_answers_on_every_node(pods: Embedded) -> None:
    for number in (1, 2):
        until(f"node {number} serves the page", lambda n=number: fetch(f"http://{pods.node_ip(n)}/app/", "trial.test") == "hello")


def test_network_policy(pods: Embedded) -> None:
    address = pods.ask("-n", "trial", "get", "pod", "server", "-o", "jsonpath={.status.podIP}")
    assert reaches(pods, "friend", f"{address}:8080") and reaches(pods, "stranger", f"{address}:8080")
    pods.ask("apply", "-f", "-", stdin=POLICY)
    until("the stranger on the same node is kept out", lambda: not reaches(pods, "stranger", f"{address}:8080"))
    assert reaches(pods, "friend", f"{address}:8080")  # from the other node, by a named port
    assert not reaches(pods, "friend", f"{address}:8081")
    pods.ask("-n", "trial", "delete", "networkpolicy", "--all")
    until("it is open again", lambda: reaches(pods, "stranger", f"{address}:8080"))


def test_a_cut_cable_is_silence_and_heals(pods: Embedded) -> None:
    socket.create_connection((pods.node_ip(2), 10250), timeout=2).close()  # the kubelet
    assert changed(pods.play(state="node_cut", node="node2")) == 1
    with pytest.raises(OSError):  # not refused by anybody: silence
        socket.create_connection((pods.node_ip(2), 10250), timeout=2).close()
    assert changed(pods.play(state="node_cut", node="node2")) == 0
    assert changed(pods.play(state="node_heal", node="2")) == 1
    until("node2 answers", lambda: pods.kubectl("-n", "trial", "exec", "friend", "--", "true").returncode == 0)


def test_power_off_and_on(pods: Embedded) -> None:
    assert changed(pods.play(state="node_off", node="node2")) == 1
    assert not [line for line in kernel()["processes"] if "node2/" in line]
    assert changed(pods.play(state="node_on", node="node2")) == 1
    until("the pod runs again", lambda: pods.kubectl("-n", "trial", "exec", "friend", "--", "true").returncode == 0, 60)
    until("it reaches the other node", lambda: reaches(pods, "friend", "server.trial.svc.cluster.local"), 60)


def test_stopping_keeps_data(pods: Embedded, machine_before: dict[str, set[str]]) -> None:
    before = len(pods.ask("-n", "trial", "exec", "stranger", "--", "cat", "/own/starts").splitlines())
    pods.play(state="stopped")
    left = differences(machine_before, kernel())
    left.pop("files", None)  # the note of whose the name is
    assert left == {}
    pods.play()
    until("the pod runs again", lambda: pods.kubectl("-n", "trial", "exec", "stranger", "--", "true").returncode == 0, 60)
    assert len(pods.ask("-n", "trial", "exec", "stranger", "--", "cat", "/own/starts").splitlines()) == before + 1


def test_wrong_input_changes_nothing(cluster: Embedded) -> None:
    for variables, words in (
        ({"nodes": 0}, "local_cluster_nodes is a whole number"),
        ({"name": "other", "network": "127.0.0.0/24"}, "is free on this machine"),
        ({"node": "node7", "state": "node_off"}, "local_cluster_node is a node of the cluster"),
        ({"name": "other", "network": "10.234.0.0/24", "run_dir": "/nowhere/x", "run_free_gib": 100000}, "GiB of free disk"),
        ({"nodez": 3}, "local_cluster_nodez"),
    ):
        before = kernel()
        run = cluster.start(**variables)
        output, _nothing = run.communicate(timeout=60)
        assert run.returncode != 0 and words in output, output
        assert differences(before, kernel()) == {}


def test_interrupted_runs_converge_and_nothing_is_left(cluster: Embedded, machine_before: dict[str, set[str]]) -> None:
    cluster.play(state="absent")
    for seconds in (0.9, 1.6, 6.0):
        run = cluster.start()
        time.sleep(seconds)
        run.send_signal(2)
        run.communicate(timeout=60)
    cluster.play()
    seen = differences(machine_before, kernel())
    # The comparison sees a cluster in each of these, so it would see what one leaves behind.
    assert {"processes", "network namespaces", "links", "addresses", "routes", "control groups", "hosts"} <= seen.keys()
    nodes = json.loads(cluster.ask("get", "nodes", "-o", "json"))["items"]
    assert len(nodes) == cluster.nodes
    cluster.play(state="absent")
    assert differences(machine_before, kernel()) == {}
    assert not list(cluster.directory.iterdir())
    assert changed(cluster.play(state="absent")) == 0
