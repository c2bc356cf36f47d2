# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest engine against a real API server."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset, engine

EVERYTHING = yaml.safe_load((Path(__file__).parent / "everything.yml").read_text(encoding="utf-8"))["items"]


def config(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}}


def actions(outcome):
    return {f"{item['kind']}/{item['name']}": item["action"] for item in outcome.summary()}


def only(outcome, *which):
    """The actions but those that say nothing happened."""
    return {name: action for name, action in actions(outcome).items() if action not in ("unchanged", "kept")}


def changed_copy(kind, name, change):
    """All objects, one of them changed by a function."""
    bodies = copy.deepcopy(EVERYTHING)
    change(next(body for body in bodies if (body["kind"], body["metadata"]["name"]) == (kind, name)))
    return bodies


def test_every_kind_is_stable_from_the_second_run_on(apply):
    foretold = apply("everything", *EVERYTHING, check=True)
    first = apply("everything", *EVERYTHING)
    assert actions(foretold) == actions(first)
    assert foretold.diff() == first.diff()
    assert actions(first) == dict.fromkeys(actions(first), "created")
    for _time in range(3):
        again = apply("everything", *EVERYTHING)
        assert only(again) == {}
        time.sleep(1.0)  # controllers write status, revisions and defaults meanwhile


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("ConfigMap", "settings", lambda body: body["data"].update(LANG="C")),
        ("Secret", "login", lambda body: body["stringData"].update(password="other-value")),
        ("Secret", "login", lambda body: body["stringData"].pop("token")),
        ("Deployment", "web", lambda body: body["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].update(cpu="20m")),
        ("Deployment", "web", lambda body: body["spec"]["template"]["spec"]["containers"][0]["env"].pop()),
        ("Service", "web", lambda body: body["spec"]["ports"].append({"name": "more", "port": 81})),
        ("Ingress", "web", lambda body: body["spec"]["rules"][0].update(host="other.k3s")),
        ("NetworkPolicy", "web", lambda body: body["spec"].update(ingress=[])),
        ("CronJob", "nightly", lambda body: body["spec"].update(schedule="7 4 * * *")),
        ("Role", "reader", lambda body: body["rules"][0].update(verbs=["get"])),
    ],
)
def test_one_change_is_foretold_made_and_shown_alone(apply, kind, name, change):
    apply("everything", *EVERYTHING)
    bodies = changed_copy(kind, name, change)
    foretold = apply("everything", *bodies, check=True)
    done = apply("everything", *bodies)
    assert only(foretold) == only(done) == {f"{kind}/{name}": "changed"}
    assert foretold.diff() == done.diff()
    assert "other-value" not in str(done.diff())
    assert only(apply("everything", *bodies)) == {}


def test_other_spellings_of_a_quantity_are_no_change(apply):
    apply("everything", *EVERYTHING)

    def respell(body):
        body["spec"]["template"]["spec"]["containers"][0]["resources"] = {
            "requests": {"cpu": "0.01", "memory": "16384Ki"},
            "limits": {"memory": "32Mi"},
        }

    assert only(apply("everything", *changed_copy("Deployment", "web", respell))) == {}


def test_what_left_is_deleted_and_what_holds_data_is_kept(apply, cluster, namespace):
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "media"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pruned"}, "spec": {"clusterIP": "None"}}
    apply("prune", config("p1"), config("p2"), service, claim)
    foretold = apply("prune", config("p1"), check=True)
    done = apply("prune", config("p1"))
    expected = {"ConfigMap/p2": "deleted", "Service/pruned": "deleted", "ConfigMap/prune-applyset": "changed"}
    assert only(foretold) == only(done) == expected
    assert actions(done)["PersistentVolumeClaim/media"] == "kept"
    assert cluster.get("v1", "Service", "pruned", namespace) is None
    assert only(apply("prune", config("p1"))) == {}
    assert only(apply("prune", config("p1"), prune_volumes=True))["PersistentVolumeClaim/media"] == "deleted"


def test_removal(apply, cluster, namespace):
    apply("removed", config("r1"), config("r2"))
    foretold = apply.remove("removed", check=True)
    assert only(foretold) == only(apply.remove("removed"))
    assert cluster.list("v1", "ConfigMap", namespace, labels="app.kubernetes.io/component=removed") == []
    assert not apply.remove("removed").changed


def test_the_labels_of_a_service_on_its_endpoints_prune_nothing(apply, cluster, namespace):
    """The endpoint controllers copy a Service's labels, the set's label among them."""
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "own"},
        "addressType": "IPv4",
        "endpoints": [],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "copied"},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}},
    }
    apply("slices", service, slices)
    label = "kubernetes.io/service-name=copied"
    until("the Service has a slice", lambda: cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, labels=label), 10)
    assert only(apply("slices", service, slices)) == {}


def test_refusals_of_many_objects_come_at_once_and_change_nothing(apply, cluster, namespace):
    bad = copy.deepcopy(next(body for body in EVERYTHING if body["kind"] == "Deployment"))
    bad["metadata"]["name"] = "bad"
    bad["spec"]["replicas"] = -1
    bad["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    unknown = copy.deepcopy(next(body for body in EVERYTHING if body["kind"] == "Service"))
    unknown["metadata"]["name"] = "unknown"
    unknown["spec"]["portz"] = []
    with pytest.raises(engine.Refused) as caught:
        apply("refused", config("good"), bad, unknown)
    assert {(str(problem.target), problem.field) for problem in caught.value.problems} == {
        ("Deployment/bad", "spec.replicas"),
        ("Deployment/bad", "spec.template.spec.containers[0].image"),
        ("Service/unknown", ".spec.portz"),
    }
    assert cluster.get("v1", "ConfigMap", "good", namespace) is None
    assert cluster.get("v1", "ConfigMap", "refused-applyset", namespace) is None


def test_a_field_of_another_manager(apply, cluster, namespace):
    apply("conflict", config("c", a="1"))
    path = cluster.path("v1", "ConfigMap", namespace, "c")
    query = {"fieldManager": "somebody"}
    cluster.request("PATCH", path, query=query, body={"data": {"a": "2"}}, content_type="application/merge-patch+json")
    with pytest.raises(engine.Refused, match="leave it to somebody") as caught:
        apply("conflict", config("c", a="1"), force=False)
    assert caught.value.problems[0].field == ".data.a"
    assert only(apply("conflict", config("c", a="1"))) == {"ConfigMap/c": "changed"}


def test_an_immutable_field_says_what_to_do(apply):
    apply("everything", *EVERYTHING)

    def grow(body):
        body["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "2Mi"

    with pytest.raises(engine.Refused, match=r"kubectl delete statefulset db .* --cascade=orphan"):
        apply("everything", *changed_copy("StatefulSet", "db", grow))


def test_unknown_kinds_come_with_a_suggestion(apply):
    with pytest.raises(StackgateError, match="did you mean apps/v1 Deployment"):
        apply("kinds", {"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "x"}})
    with pytest.raises(StackgateError, match="did you mean v1 ConfigMap"):
        apply("kinds", {"apiVersion": "v1", "kind": "ConfigMaps", "metadata": {"name": "x"}})


def test_pod_security_warnings_name_the_object(apply):
    root = copy.deepcopy(next(body for body in EVERYTHING if body["kind"] == "Deployment"))
    root["metadata"]["name"] = "root"
    root["spec"]["template"]["spec"].pop("securityContext")
    root["spec"]["template"]["spec"]["containers"][0].pop("securityContext")
    (warning,) = apply("warned", root).warnings
    assert warning.startswith("deployments/root: would violate PodSecurity")
    apply.remove("warned")


def rights(verbs):
    """A Role and its binding for the user jane."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "jane"}}
    role["rules"] = [{"apiGroups": ["", "apps"], "resources": ["configmaps", "deployments"], "verbs": verbs}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jane"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    binding = {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects}
    binding.pop("rules")
    return [role, binding]


def test_rights_in_the_namespace_are_enough_and_missing_ones_are_named(apply):
    apply("rights", *rights(["get", "list", "create", "patch"]))
    time.sleep(0.5)
    assert only(apply("janes", config("j1"), config("j2"), user="jane"))["ConfigMap/j1"] == "created"
    assert only(apply("janes", config("j1"), config("j2"), user="jane")) == {}
    with pytest.raises(engine.Refused, match="jane lacks the right to delete configmaps in namespace"):
        apply("janes", config("j1"), user="jane")
    with pytest.raises(StackgateError, match="secrets in namespace"):
        apply("janes", config("j1"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, user="jane")
    apply.remove("janes")


def test_a_role_and_its_binding_by_someone_who_may_not_bind_other_roles(apply):
    """The server looks for the Role while it judges the binding: in the rehearsal it is not there yet."""
    admin = rights(["get", "list", "create", "patch", "delete"])
    admin[0]["rules"].append(
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["roles", "rolebindings"],
            "verbs": ["get", "list", "create", "patch", "delete"],
        }
    )
    apply("rights", *admin)
    time.sleep(0.5)
    small = rights(["get"])
    for body in small:
        body["metadata"]["name"] = "small"
    small[1]["roleRef"]["name"] = "small"
    foretold = apply("janesrole", *small, user="jane", check=True)
    assert only(foretold) == only(apply("janesrole", *small, user="jane"))
    assert only(apply("janesrole", *small, user="jane")) == {}


def test_an_object_on_its_way_out_is_waited_for(apply, cluster, namespace):
    apply("leaving", config("l"))
    path = cluster.path("v1", "ConfigMap", namespace, "l")

    def finalizers(names):
        cluster.request("PATCH", path, body={"metadata": {"finalizers": names}}, content_type="application/merge-patch+json")

    finalizers(["stackgate.test/hold"])
    cluster.delete("v1", "ConfigMap", "l", namespace)
    with pytest.raises(StackgateError, match=r"finalizers: stackgate\.test/hold"):
        apply("leaving", config("l"), timeout=0.5)
    timer = threading.Timer(1.0, finalizers, [[]])
    timer.start()
    began = time.monotonic()
    assert only(apply("leaving", config("l"), timeout=20)) == {"ConfigMap/l": "created"}
    assert 0.5 < time.monotonic() - began < 10
    timer.join()
    assert "deletionTimestamp" not in cluster.get("v1", "ConfigMap", "l", namespace)["metadata"]


SETUP = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "setup"},
    "spec": {
        "activeDeadlineSeconds": 15,
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {
                        "name": "setup",
                        "image": "busybox",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["true"],
                        "envFrom": [{"configMapRef": {"name": "comes-late"}}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            }
        },
    },
}


def await_failure(cluster, namespace):
    """The Job when it has failed for good."""

    def failed(job):
        return any(item["type"] == "Failed" and item["status"] == "True" for item in job.get("status", {}).get("conditions", []))

    return until("the Job has failed", lambda: cluster.get("batch/v1", "Job", "setup", namespace), 60, holds=failed)


def pod_owners(cluster, namespace):
    """The uids of the Jobs that pods of this name belong to."""
    return {pod["metadata"]["ownerReferences"][0]["uid"] for pod in cluster.list("v1", "Pod", namespace, labels="job-name=setup")}


def test_a_job_that_failed_for_good_is_made_anew_and_completes_once_its_cause_is_gone(apply, cluster, play, namespace):
    """Its deadline passes for want of a ConfigMap; the next run needs no hand."""
    apply("setup", SETUP)
    failed = await_failure(cluster, namespace)
    options = {"namespace": "{{ ns }}", "component": "setup", "instance": "test", "definition": [config("comes-late"), SETUP]}
    tasks = [
        {"stackgate.k3s.manifest": options},
        {
            "stackgate.k3s.gate": {"namespace": "{{ ns }}", "stage": "setup", "conditions": [{"kind": "job", "name": "setup"}]},
            "when": "not ansible_check_mode",
        },
    ]
    foretold = play(tasks, "--check", "--diff")
    assert "changed=1" in foretold.stdout, foretold.stdout + foretold.stderr
    assert cluster.get("batch/v1", "Job", "setup", namespace)["metadata"]["uid"] == failed["metadata"]["uid"]
    done = play(tasks, "--diff")
    assert "changed=1" in done.stdout, done.stdout + done.stderr
    assert "failed=0" in done.stdout, done.stdout + done.stderr
    for run in (foretold, done):
        assert "-    reason: DeadlineExceeded" in run.stdout
    found = cluster.get("batch/v1", "Job", "setup", namespace)
    assert found["metadata"]["uid"] != failed["metadata"]["uid"]
    assert found["status"]["succeeded"] == 1
    again = play(tasks, "--diff")
    assert "changed=0" in again.stdout, again.stdout + again.stderr
    until("no pod of the failed Job is left", lambda: pod_owners(cluster, namespace) == {found["metadata"]["uid"]}, 30)
    apply.remove("setup")


def test_a_failed_job_may_be_repaired_in_the_template_that_cannot_change(apply, cluster, namespace):
    hasty = copy.deepcopy(SETUP)
    hasty["spec"]["activeDeadlineSeconds"] = 6
    apply("setup", hasty)
    repaired = copy.deepcopy(hasty)
    repaired["spec"]["template"]["spec"]["containers"][0].pop("envFrom")
    with pytest.raises(engine.Refused, match="kubectl delete job setup"):
        apply("setup", repaired)
    failed = await_failure(cluster, namespace)
    wrong = copy.deepcopy(repaired)
    wrong["spec"]["backoffLimit"] = -1
    with pytest.raises(engine.Refused, match=r"spec\.backoffLimit"):
        apply("setup", wrong)
    assert cluster.get("batch/v1", "Job", "setup", namespace)["metadata"]["uid"] == failed["metadata"]["uid"]
    foretold = apply("setup", repaired, check=True)
    done = apply("setup", repaired)
    assert only(foretold) == only(done) == {"Job/setup": "recreated"}
    assert foretold.diff() == done.diff()
    assert only(apply("setup", repaired)) == {}
    apply.remove("setup")


def test_a_definition_and_an_object_of_it_in_one_manifest(apply, cluster):
    group = f"test{os.getpid()}.stackgate.io"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"forums.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Forum", "plural": "forums", "singular": "forum"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    forum = {"apiVersion": f"{group}/v1", "kind": "Forum", "metadata": {"name": "f"}, "spec": {"x": 1}}
    try:
        foretold = apply("definition", definition, forum, check=True)
        assert only(foretold) == only(apply("definition", definition, forum))
        assert only(apply("definition", definition, forum)) == {}
        assert only(apply("definition", definition))["Forum/f"] == "deleted"
    finally:
        cluster.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"forums.{group}")


KILLED = """
import sys, yaml
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import crds, documents, engine, prepare
kubeconfig, namespace = sys.argv[1:]
cluster = Cluster({"kubeconfig": kubeconfig})
what = prepare.Component("killed", "test", namespace, "test")
names = [(kind, f"killed-{n}") for n in range(40) for kind in ("ConfigMap", "ServiceAccount")]
bodies = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} for kind, name in names]
written = documents.from_data(bodies, "definition")
wanted = prepare.prepare(written, what, crds.scope(cluster, written))
print("go", flush=True)
engine.Engine(cluster, what, engine.Settings(threads=4)).apply(wanted)
print("done", flush=True)
"""


@pytest.mark.parametrize("seconds", [0.25, 0.4, 0.55, 0.7])
def test_killed_at_any_moment_nothing_is_left_behind(apply, cluster, kubeconfig, namespace, seconds):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "collections")}
    command = [sys.executable, "-c", KILLED, kubeconfig, namespace]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    made = len(cluster.list("v1", "ServiceAccount", namespace, labels="app.kubernetes.io/component=killed"))
    print(f"killed after {seconds} s with {made} of 40 ServiceAccounts made")
    apply("killed", config("killed-rest"))
    left = [item for kind in ("ConfigMap", "ServiceAccount") for item in cluster.list("v1", kind, namespace, labels=applyset.PART_OF)]
    mine = [item["metadata"]["name"] for item in left if item["metadata"]["labels"]["app.kubernetes.io/component"] == "killed"]
    assert mine == ["killed-rest"]
    apply.remove("killed")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl on the PATH")
def test_kubectl_knows_the_set_and_would_prune_the_same(apply, cluster, kubeconfig, namespace, tmp_path):
    apply("shared", config("s1"), config("s2"))
    file = tmp_path / "s1.yml"
    file.write_text(yaml.safe_dump({**config("s1"), "metadata": {"name": "s1", "namespace": namespace}}), encoding="utf-8")
    command = ["kubectl", "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--prune"]
    command += ["-n", namespace, "--applyset=configmap/shared-applyset", "-f", str(file)]

    def kubectl():
        environment = {**os.environ, "KUBECTL_APPLYSET": "true"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    assert 'managed by tooling "stackgate"' in kubectl()
    path = cluster.path("v1", "ConfigMap", namespace, "shared-applyset")
    body = {"metadata": {"annotations": {applyset.TOOLING: "kubectl/v1.35.4"}}}
    cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    assert "configmap/s2 pruned" in kubectl()
    with pytest.raises(StackgateError, match="its manager is kubectl"):
        apply("shared", config("s1"))


def test_the_task(play):
    tasks = [
        {
            "stackgate.k3s.manifest": {"namespace": "{{ ns }}", "component": "task", "definition": [config("t"), "{{ other | to_yaml }}"]},
            "vars": {
                "other": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "stringData": {"password": "hunter2-{{ ns }}"}}
            },
        }
    ]
    foretold = play(tasks, "--check", "--diff")
    assert "changed=1" in foretold.stdout, foretold.stdout + foretold.stderr
    first = play(tasks, "--diff", "-vvv")
    assert "changed=1" in first.stdout
    assert "password: (hidden)" in first.stdout
    second = play(tasks, "--diff", "-vvv")
    assert "changed=0" in second.stdout
    for run in (foretold, first, second):
        assert "hunter2" not in run.stdout + run.stderr
