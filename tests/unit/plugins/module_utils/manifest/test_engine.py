# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan and run agree; nothing is orphaned, whenever the run dies; what holds data stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset, compare, crds, documents, engine, prepare

WEB = prepare.Component("web", "shop", "ns", "shop")
PARENT = ("v1", "ConfigMap", "ns", "web-applyset")


def config(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}}


def deployment(name, replicas=1):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": replicas}}


def claim(name):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {"size": "1Gi"}}


def namespace(name="ns"):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def worker(cluster, component=WEB, **settings):
    return engine.Engine(cluster, component, engine.Settings(**{"timeout": 0.0, **settings}))


def wanted(cluster, bodies, component=WEB):
    found = documents.from_data(list(bodies), "definition")
    return prepare.prepare(found, component, crds.scope(cluster, found))


def apply(cluster, *bodies, component=WEB, **settings):
    return worker(cluster, component, **settings).apply(wanted(cluster, bodies, component))


def actions(outcome):
    return {f"{item['kind']}/{item['name']}": item["action"] for item in outcome.summary()}


def state(cluster):
    """The objects as they matter, without versions."""
    return {key: compare.content(found) for key, found in cluster.objects.items()}


# -- apply -----------------------------------------------------------------------------------------------------


def test_the_second_run_changes_and_writes_nothing(cluster):
    first = apply(cluster, config("a"), deployment("b"))
    assert first.changed
    assert actions(first) == {"ConfigMap/web-applyset": "created", "ConfigMap/a": "created", "Deployment/b": "created"}
    cluster.writes.clear()
    second = apply(cluster, config("a"), deployment("b"))
    assert not second.changed
    assert second.diff() == []
    assert cluster.writes == []


def test_a_run_with_nothing_to_do_asks_once_per_object_and_kind(cluster):
    bodies = [config(f"c{number}") for number in range(8)] + [deployment("a"), deployment("b")]
    apply(cluster, *bodies)
    cluster.requests = 0
    apply(cluster, *bodies)
    assert cluster.requests == len(bodies) + 2 + 1  # the rehearsals, a list per kind, the parent


def test_only_what_differs_is_written(cluster):
    apply(cluster, config("a"), config("b"), deployment("c"))
    cluster.writes.clear()
    outcome = apply(cluster, config("a"), config("b", a="2"), deployment("c"))
    assert actions(outcome)["ConfigMap/b"] == "changed"
    assert cluster.writes == [("apply", "ConfigMap", "b")]
    (shown,) = outcome.diff()
    assert shown["before_header"] == "ConfigMap/b"
    assert "a: '1'" in shown["before"]
    assert "a: '2'" in shown["after"]


def test_a_field_that_left_the_manifest_is_removed(cluster):
    apply(cluster, config("a", x="1", y="2"))
    assert actions(apply(cluster, config("a", x="1")))["ConfigMap/a"] == "changed"
    assert cluster.objects[("v1", "ConfigMap", "ns", "a")]["data"] == {"x": "1"}


def test_the_parent_is_written_once_when_that_is_enough(cluster):
    sent = []
    cluster.refuse = lambda verb, document: sent.append(verb) if document["metadata"]["name"] == "web-applyset" else None
    apply(cluster, config("a"))
    assert sent == ["apply", "apply"]  # the rehearsal and the write
    sent.clear()
    apply(cluster, config("b"))
    assert sent == []
    apply(cluster, deployment("c"))
    assert sent == ["apply", "apply", "apply"]  # the rehearsal, with both kinds, with one


def test_the_parent_follows_changed_labels(cluster):
    apply(cluster, config("a"))
    moved = prepare.Component("web", "shop", "ns", "other-stack")
    assert actions(apply(cluster, config("a"), component=moved))["ConfigMap/web-applyset"] == "changed"
    assert cluster.objects[PARENT]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "other-stack"


def test_somebody_elses_change_is_put_back(cluster):
    apply(cluster, deployment("a", 2))
    edited = copy.deepcopy(cluster.objects[("apps/v1", "Deployment", "ns", "a")])
    edited["spec"]["replicas"] = 0
    cluster.put(edited)
    assert actions(apply(cluster, deployment("a", 2)))["Deployment/a"] == "changed"
    assert cluster.objects[("apps/v1", "Deployment", "ns", "a")]["spec"]["replicas"] == 2


def test_an_object_made_by_others_is_adopted(cluster):
    cluster.put({**config("a"), "metadata": {"name": "a", "namespace": "ns"}})
    outcome = apply(cluster, config("a"))
    assert actions(outcome)["ConfigMap/a"] == "changed"
    assert cluster.objects[("v1", "ConfigMap", "ns", "a")]["metadata"]["labels"][applyset.PART_OF] == WEB.set_id


def test_equal_content_that_is_not_ours_is_claimed_without_being_a_change(cluster):
    apply(cluster, config("a"))
    key = ("v1", "ConfigMap", "ns", "a")
    foreign = copy.deepcopy(cluster.objects[key])
    foreign["metadata"]["managedFields"] = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {}}]
    cluster.put(foreign)
    cluster.writes.clear()
    outcome = apply(cluster, config("a"))
    assert not outcome.changed
    assert cluster.writes == [("apply", "ConfigMap", "a")]
    assert compare.owned(cluster.objects[key], "stackgate")


def test_a_member_of_another_component_is_taken_over_with_a_warning(cluster):
    other = prepare.Component("old", "shop", "ns", "shop")
    apply(cluster, config("a"), component=other)
    outcome = apply(cluster, config("a"))
    assert any("ConfigMap/a belonged to another component" in warning for warning in outcome.warnings)
    apply(cluster, config("b"), component=other)
    assert "a" in cluster.names("ConfigMap")


def test_a_stale_list_does_not_matter(cluster):
    apply(cluster, config("a"), config("b"))
    cluster.stale = copy.deepcopy(cluster.objects)
    apply(cluster, config("a", a="2"), config("b"))
    outcome = apply(cluster, config("a", a="2"), config("b"))
    assert not outcome.changed


def test_order_namespaces_then_parent_then_plain_then_bindings_then_workloads(cluster):
    del cluster.objects[("v1", "Namespace", "", "ns")]
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "rb"}}
    apply(cluster, deployment("d"), binding, config("a"), namespace())
    assert [kind for _verb, kind, _name in cluster.writes] == ["Namespace", "ConfigMap", "ConfigMap", "RoleBinding", "Deployment"]
    assert cluster.writes[1][2] == "web-applyset"


def test_server_warnings_are_passed_on_once(cluster):
    cluster.warnings = ["deployments/a: would violate PodSecurity", "deployments/a: would violate PodSecurity"]
    assert apply(cluster, config("a")).warnings == ["deployments/a: would violate PodSecurity"]


# -- check mode ------------------------------------------------------------------------------------------------

STEPS: list[list[dict[str, Any]]] = [
    [config("a"), deployment("b")],
    [config("a", a="2"), deployment("b")],
    [config("a", a="2"), deployment("b", 3), claim("c")],
    [config("a", a="2")],
    [deployment("z")],
]


def test_check_mode_shows_what_the_run_then_does(cluster):
    for bodies in STEPS:
        before = state(cluster)
        cluster.writes.clear()
        foretold = apply(cluster, *bodies, check=True)
        assert cluster.writes == []
        assert state(cluster) == before
        done = apply(cluster, *bodies)
        assert actions(foretold) == actions(done)
        assert foretold.changed == done.changed
        assert foretold.diff() == done.diff()


def test_new_pods_are_those_of_a_changed_template(cluster):
    def web(replicas, image):
        body = deployment("web", replicas)
        body["spec"]["template"] = {"spec": {"containers": [{"name": "web", "image": image}]}}
        return body

    def new_pods(outcome):
        return [item["name"] for item in outcome.summary() if item["new_pods"]]

    assert new_pods(apply(cluster, web(1, "a"))) == []
    assert new_pods(apply(cluster, web(2, "a"))) == []
    assert new_pods(apply(cluster, web(2, "b"), check=True)) == ["web"] == new_pods(apply(cluster, web(2, "b")))
    assert new_pods(apply(cluster, web(2, "b"))) == []


def test_check_mode_without_the_namespace_foretells_creation(cluster):
    elsewhere = prepare.Component("web", "shop", "not-yet", "shop")
    outcome = apply(cluster, config("a"), component=elsewhere, check=True)
    assert actions(outcome) == {"ConfigMap/web-applyset": "created", "ConfigMap/a": "created"}


def test_a_run_without_the_namespace_says_so_and_once(cluster):
    elsewhere = prepare.Component("web", "shop", "not-yet", "shop")
    with pytest.raises(engine.Refused) as caught:
        apply(cluster, config("a"), component=elsewhere)
    assert [str(problem.target) for problem in caught.value.problems] == ["ConfigMap/a"]
    assert "the namespace not-yet does not exist" in caught.value.seen


def test_a_manifest_may_bring_its_namespace(cluster):
    elsewhere = prepare.Component("web", "shop", "new", "shop")
    foretold = apply(cluster, namespace("new"), config("a"), component=elsewhere, check=True)
    done = apply(cluster, namespace("new"), config("a"), component=elsewhere)
    assert actions(foretold) == actions(done)
    assert not apply(cluster, namespace("new"), config("a"), component=elsewhere).changed


def test_a_binding_whose_role_comes_with_it_is_not_refused(cluster):
    def refuse(verb, document):
        roles = cluster.names("Role")
        if document["kind"] == "RoleBinding" and "r" not in roles:
            raise ApiError("apply", 404, {"reason": "NotFound", "message": 'roles.rbac.authorization.k8s.io "r" not found'})

    cluster.refuse = refuse
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "rb"}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}
    with pytest.raises(engine.Refused, match="RoleBinding/rb"):
        apply(cluster, binding)
    assert actions(apply(cluster, binding, role))["RoleBinding/rb"] == "created"


# -- refusals --------------------------------------------------------------------------------------------------


def refusing(*names):
    def refuse(verb, document):
        if verb == "apply" and document["metadata"]["name"] in names:
            raise ApiError("apply", 422, {"reason": "Invalid", "message": f"{document['metadata']['name']} is bad"})

    return refuse


def test_all_refusals_are_told_and_nothing_was_changed(cluster):
    cluster.refuse = refusing("b", "d")
    with pytest.raises(engine.Refused) as caught:
        apply(cluster, config("a"), config("b"), config("c"), deployment("d"))
    assert [str(problem.target) for problem in caught.value.problems] == ["ConfigMap/b", "Deployment/d"]
    assert "2 refused; nothing was changed" in caught.value.seen
    assert cluster.writes == []


def test_what_fails_only_for_good_stops_before_the_next_phase(cluster):
    applied = []

    def refuse(verb, document):
        if verb == "apply" and document["metadata"]["name"] == "a":
            applied.append(1)
            if len(applied) > 1:  # the rehearsal passes
                raise ApiError("apply", 403, {"reason": "Forbidden", "message": "exceeded quota: q"})

    apply(cluster, config("old"))
    cluster.refuse = refuse
    with pytest.raises(engine.Refused, match="exceeded quota"):
        apply(cluster, config("a"), deployment("d"))
    assert cluster.names("Deployment") == []
    assert "old" in cluster.names("ConfigMap")


def test_a_deletion_that_is_not_allowed_is_told_before_anything_changes(cluster):
    apply(cluster, config("a"), config("b"))

    def refuse(verb, document):
        if verb == "delete":
            message = 'configmaps "b" is forbidden: User "jane" cannot delete resource "configmaps" in API group "" in the namespace "ns"'
            raise ApiError("delete", 403, {"reason": "Forbidden", "message": message})

    cluster.refuse = refuse
    cluster.writes.clear()
    with pytest.raises(engine.Refused, match="jane lacks the right to delete configmaps in namespace ns"):
        apply(cluster, config("a", a="2"))
    assert cluster.writes == []


def test_a_missing_right_to_list_is_named(cluster):
    def refuse(verb, document):
        if verb == "list":
            message = 'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "ns"'
            raise ApiError("list", 403, {"reason": "Forbidden", "message": message})

    cluster.refuse = refuse
    with pytest.raises(StackgateError, match="list configmaps in namespace ns"):
        apply(cluster, config("a"))


def test_kinds_of_the_whole_cluster_are_applied_even_where_they_may_not_be_listed(cluster):
    def refuse(verb, document):
        if verb == "list" and document["kind"] == "ClusterRole":
            message = 'clusterroles is forbidden: User "jane" cannot list resource "clusterroles" in API group "rbac" at the cluster scope'
            raise ApiError("list", 403, {"reason": "Forbidden", "message": message})

    cluster.refuse = refuse
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}
    outcome = apply(cluster, role)
    assert actions(outcome)["ClusterRole/r"] == "created"
    assert any("list clusterroles" in warning for warning in outcome.warnings)
    assert not apply(cluster, role).changed


def test_a_busy_server_is_asked_again(cluster, monkeypatch):
    monkeypatch.setattr(engine, "PAUSES", (0.0, 0.0))
    answers = [429, 503]

    def refuse(verb, document):
        if verb == "apply" and document["metadata"]["name"] == "a" and answers:
            raise ApiError("apply", answers.pop(), {"message": "later"})

    cluster.refuse = refuse
    assert apply(cluster, config("a")).changed


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(engine, "PAUSES", (0.0, 0.0))
    calls = []

    def busy():
        calls.append(1)
        raise ApiError("x", 503, {"message": "no"})

    with pytest.raises(ApiError):
        engine.patiently(busy)
    assert len(calls) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
def test_a_refusal_is_not_repeated(status):
    calls = []

    def refuse():
        calls.append(1)
        raise ApiError("x", status, {"message": "failed to create typed patch object"})

    with pytest.raises(ApiError):
        engine.patiently(refuse)
    assert len(calls) == 1


# -- prune -----------------------------------------------------------------------------------------------------


def test_what_left_the_manifest_is_deleted(cluster):
    apply(cluster, config("a"), config("b"), deployment("c"))
    outcome = apply(cluster, config("a"))
    assert actions(outcome)["ConfigMap/b"] == actions(outcome)["Deployment/c"] == "deleted"
    assert cluster.names("ConfigMap") == ["a", "web-applyset"]
    assert cluster.names("Deployment") == []
    assert applyset.group_kinds(cluster.objects[PARENT]) == {"ConfigMap"}
    assert not apply(cluster, config("a")).changed


def test_without_prune_it_stays_and_is_remembered(cluster):
    apply(cluster, config("a"), deployment("c"))
    assert not apply(cluster, config("a"), prune=False).changed
    assert cluster.names("Deployment") == ["c"]
    assert actions(apply(cluster, config("a")))["Deployment/c"] == "deleted"


def test_others_objects_are_never_deleted(cluster):
    apply(cluster, config("theirs"), component=prepare.Component("other", "shop", "ns", "shop"))
    cluster.put({**config("nobodys"), "metadata": {"name": "nobodys", "namespace": "ns"}})
    apply(cluster, config("a"))
    apply(cluster, config("b"))
    assert {"theirs", "nobodys", "b"} <= set(cluster.names("ConfigMap"))


def test_an_object_that_a_controller_made_with_copied_labels_is_left_to_it(cluster):
    apply(cluster, config("a"))
    owned = {**config("copy"), "metadata": {"name": "copy", "namespace": "ns", "labels": {applyset.PART_OF: WEB.set_id}}}
    owned["metadata"]["ownerReferences"] = [{"controller": True, "kind": "X", "name": "x"}]
    cluster.put(owned)
    assert not apply(cluster, config("a")).changed


def test_volumes_stay_until_told_and_stay_members(cluster):
    apply(cluster, config("a"), claim("media"))
    outcome = apply(cluster, config("a"))
    assert actions(outcome)["PersistentVolumeClaim/media"] == "kept"
    assert not outcome.changed
    assert not apply(cluster, config("a")).changed
    assert actions(apply(cluster, config("a"), prune_volumes=True))["PersistentVolumeClaim/media"] == "deleted"
    assert applyset.group_kinds(cluster.objects[PARENT]) == {"ConfigMap"}


def test_the_namespace_is_never_pruned_by_accident(cluster):
    apply(cluster, namespace(), config("a"))
    assert actions(apply(cluster, config("a")))["Namespace/ns"] == "kept"
    assert cluster.names("Namespace") == ["ns"]


def statefulset(name="db"):
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]},
    }


def volumes(cluster):
    for name in ("data-db-0", "data-db-1", "data-db-extra", "data-db2-0"):
        cluster.put({**claim(name), "metadata": {"name": name, "namespace": "ns"}})


def test_a_deleted_statefulsets_claims_stay_unless_volumes_are_pruned(cluster):
    apply(cluster, statefulset(), config("a"))
    volumes(cluster)
    apply(cluster, config("a"))
    assert len(cluster.names("PersistentVolumeClaim")) == 4


def test_a_deleted_statefulsets_claims_go_with_prune_volumes_and_no_others(cluster):
    apply(cluster, statefulset(), config("a"))
    volumes(cluster)
    apply(cluster, config("a"), prune_volumes=True)
    assert cluster.names("PersistentVolumeClaim") == ["data-db-extra", "data-db2-0"]


def labelled_claim(cluster, name):
    labels = {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": "web"}
    cluster.put({**claim(name), "metadata": {"name": name, "namespace": "ns", "labels": labels}})


def test_pruning_one_statefulset_keeps_the_claims_of_another(cluster):
    apply(cluster, statefulset("db"), statefulset("cache"))
    labelled_claim(cluster, "data-db-0")
    labelled_claim(cluster, "data-cache-0")
    apply(cluster, statefulset("cache"), prune_volumes=True)
    assert cluster.names("PersistentVolumeClaim") == ["data-cache-0"]


def test_a_removal_finds_claims_of_a_statefulset_that_is_gone_already(cluster):
    apply(cluster, config("a"))
    labelled_claim(cluster, "data-db-0")
    worker(cluster, prune_volumes=True).remove()
    assert cluster.names("PersistentVolumeClaim") == []


def test_claims_of_an_expendable_statefulset_go_with_it_and_no_others(cluster):
    apply(cluster, statefulset("db"), statefulset("cache"))
    volumes(cluster)
    labelled_claim(cluster, "data-cache-0")
    apply(cluster, statefulset("db"), expendable=("cache",))
    assert cluster.names("PersistentVolumeClaim") == ["data-db-0", "data-db-1", "data-db-extra", "data-db2-0"]


def test_a_removal_takes_expendable_claims_though_their_statefulset_is_gone_already(cluster):
    apply(cluster, statefulset("db"))
    for name in ("data-db-0", "data-cache-0", "data-other-1"):
        labelled_claim(cluster, name)
    worker(cluster, expendable=("cache",)).remove()
    assert cluster.names("PersistentVolumeClaim") == ["data-db-0", "data-other-1"]
    assert not worker(cluster, expendable=("cache",)).remove().changed


def test_a_statefulset_that_stays_keeps_its_claims(cluster):
    apply(cluster, statefulset())
    volumes(cluster)
    assert not apply(cluster, statefulset(), prune_volumes=True).changed


def test_another_tools_set_is_not_touched(cluster):
    parent = applyset.parent("web", "ns", {}, ["ConfigMap"])
    parent["metadata"]["annotations"][applyset.TOOLING] = "kubectl/v1.35.4"
    cluster.put(parent)
    with pytest.raises(StackgateError, match="its manager is kubectl"):
        apply(cluster, config("a"))


def test_another_instances_component_is_not_touched(cluster):
    apply(cluster, config("a"), component=prepare.Component("web", "shop-staging", "ns", "shop"))
    with pytest.raises(StackgateError, match="belongs to instance shop-staging"):
        apply(cluster, config("b"))


# -- interruption ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [config("a"), deployment("b"), claim("c")]),
        ([config("a"), deployment("b")], [config("c"), statefulset("d")]),
        ([config("a"), deployment("b"), claim("p")], [deployment("b", 3)]),
    ],
)
def test_killed_at_any_write_the_next_run_converges(cluster, killed, before, after):
    """And if the manifest has changed meanwhile, nothing of the interrupted one is left behind."""
    if before:
        apply(cluster, *before)
    start = copy.deepcopy(cluster.objects)
    apply(cluster, *after)
    finish = state(cluster)
    cluster.objects = copy.deepcopy(start)
    for lives in range(20):
        cluster.objects = copy.deepcopy(start)
        cluster.lives = lives
        try:
            apply(cluster, *after, threads=1)
            break
        except killed:
            pass
        cluster.lives = None
        halfway = copy.deepcopy(cluster.objects)
        apply(cluster, *after)
        assert state(cluster) == finish, f"killed at write {lives + 1}"
        assert not apply(cluster, *after).changed
        cluster.objects = halfway
        apply(cluster, config("other"), prune_volumes=True)
        members = {key for key, found in cluster.objects.items() if applyset.PART_OF in (found["metadata"].get("labels") or {})}
        assert members == {("v1", "ConfigMap", "ns", "other")}, f"orphans after a kill at write {lives + 1}"
    assert lives > 2
    cluster.lives = None


# -- absent ----------------------------------------------------------------------------------------------------


def test_removing_deletes_all_but_the_data(cluster):
    apply(cluster, config("a"), deployment("b"), claim("c"))
    foretold = worker(cluster, check=True).remove()
    done = worker(cluster).remove()
    assert actions(foretold) == actions(done)
    assert foretold.diff() == done.diff()
    assert actions(done)["PersistentVolumeClaim/c"] == "kept"
    assert cluster.names("Deployment") == []
    assert cluster.names("ConfigMap") == ["web-applyset"]
    assert applyset.group_kinds(cluster.objects[PARENT]) == {"PersistentVolumeClaim"}
    assert not worker(cluster).remove().changed


def test_removing_with_the_data_leaves_nothing(cluster):
    apply(cluster, config("a"), claim("c"), statefulset())
    volumes(cluster)
    worker(cluster, prune_volumes=True).remove()
    assert cluster.names("ConfigMap") == []
    assert cluster.names("PersistentVolumeClaim") == ["data-db-extra", "data-db2-0"]
    assert not worker(cluster, prune_volumes=True).remove().changed


def test_removing_workloads_first(cluster):
    apply(cluster, config("a"), deployment("b"))
    cluster.writes.clear()
    worker(cluster).remove()
    assert [kind for _verb, kind, _name in cluster.writes] == ["Deployment", "ConfigMap", "ConfigMap"]


def test_an_interrupted_removal_goes_on(cluster, killed):
    for lives in range(10):
        cluster.objects = {("v1", "Namespace", "", "ns"): {"metadata": {"name": "ns"}}}
        apply(cluster, config("a"), deployment("b"))
        cluster.lives = lives
        try:
            worker(cluster, threads=1).remove()
            break
        except killed:
            cluster.lives = None
            worker(cluster).remove()
            assert cluster.names("ConfigMap") == cluster.names("Deployment") == []
    assert lives == 3


def test_removing_nothing_changes_nothing(cluster):
    assert not worker(cluster).remove().changed


# -- objects on their way out ----------------------------------------------------------------------------------


def leaving(cluster):
    apply(cluster, config("a"), config("b"))
    key = ("v1", "ConfigMap", "ns", "b")
    cluster.objects[key]["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x/y"])
    return key


def test_an_object_that_is_being_deleted_is_waited_for(cluster, monkeypatch):
    key = leaving(cluster)
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: cluster.objects.pop(key))
    foretold = apply(cluster, config("a"), config("b"), check=True)
    assert actions(foretold)["ConfigMap/b"] == "created"
    assert actions(apply(cluster, config("a"), config("b"), timeout=5.0))["ConfigMap/b"] == "created"
    assert "deletionTimestamp" not in cluster.objects[key]["metadata"]


def test_waiting_for_it_ends_and_names_the_finalizer(cluster):
    leaving(cluster)
    with pytest.raises(StackgateError, match="finalizers: x/y"):
        apply(cluster, config("a"), config("b"), timeout=-1.0)


def test_a_leftover_that_is_being_deleted_is_not_deleted_again(cluster):
    leaving(cluster)
    outcome = apply(cluster, config("a"))
    assert not outcome.changed


# -- Jobs that failed for good ------------------------------------------------------------------------------------

JOB = ("batch/v1", "Job", "ns", "setup")
DEADLINE = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"}


def job(command="setup"):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "setup"}, "spec": {"template": {"command": command}}}


def ended(cluster, *conditions, **meta):
    """The controller's word on the Job; its uid."""
    cluster.objects[JOB].update(status={"conditions": list(conditions)})
    cluster.objects[JOB]["metadata"].update(meta)
    return cluster.objects[JOB]["metadata"]["uid"]


def fix_template(cluster, refusals_recorded):
    """From now on the cluster refuses to change a Job's template, as a real one does."""

    def refuse(verb, document):
        live = cluster.objects.get(JOB)
        if verb == "apply" and document["kind"] == "Job" and live and live["spec"]["template"] != document["spec"]["template"]:
            raise ApiError("apply", 422, refusals_recorded["job_template"]["body"])

    cluster.refuse = refuse


def test_a_job_that_failed_for_good_is_deleted_and_made_anew(cluster):
    apply(cluster, config("a"), job())
    old = ended(cluster, {"type": "FailureTarget", "status": "True"}, DEADLINE)
    cluster.writes.clear()
    foretold = apply(cluster, config("a"), job(), check=True)
    assert cluster.writes == []
    done = apply(cluster, config("a"), job())
    assert cluster.writes == [("delete", "Job", "setup"), ("apply", "Job", "setup")]
    assert actions(foretold) == actions(done)
    assert actions(done)["Job/setup"] == "recreated"
    assert foretold.changed
    assert done.changed
    (shown,) = done.diff()
    assert foretold.diff() == [shown]
    assert shown["before_header"] == shown["after_header"] == "Job/setup"
    assert "reason: DeadlineExceeded" in shown["before"]
    assert "status" not in shown["after"]
    assert cluster.objects[JOB]["metadata"]["uid"] != old
    assert "status" not in cluster.objects[JOB]
    assert not apply(cluster, config("a"), job()).changed


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [{"type": "Complete", "status": "True"}],
        [{**DEADLINE, "status": "False"}],
        [{**DEADLINE, "type": "FailureTarget"}],
        [{"type": "Suspended", "status": "True"}],
    ],
)
def test_any_other_job_is_left_as_it_is(cluster, conditions):
    apply(cluster, job())
    ended(cluster, *conditions)
    cluster.writes.clear()
    assert not apply(cluster, job()).changed
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("api_version", "kind"), [("apps/v1", "Deployment"), ("batch/v1", "CronJob"), ("batch.volcano.sh/v1alpha1", "Job")]
)
def test_a_failed_condition_of_another_kind_means_nothing(cluster, api_version, kind):
    cluster.kinds[(api_version, kind)] = True
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": {"x": 1}}
    apply(cluster, body)
    cluster.objects[(api_version, kind, "ns", "a")]["status"] = {"conditions": [DEADLINE]}
    assert not apply(cluster, body).changed


@pytest.mark.parametrize("command", ["setup", "repaired"])
def test_killed_while_a_job_is_made_anew_the_next_run_converges(cluster, killed, refusals_recorded, command):
    fix_template(cluster, refusals_recorded)
    apply(cluster, config("a"), job())
    ended(cluster, DEADLINE)
    start = copy.deepcopy(cluster.objects)
    for lives in range(5):
        cluster.objects = copy.deepcopy(start)
        cluster.lives = lives
        try:
            apply(cluster, config("a"), job(command), threads=1)
            break
        except killed:
            pass
        cluster.lives = None
        outcome = apply(cluster, config("a"), job(command))
        assert actions(outcome)["Job/setup"] == ("recreated" if lives == 0 else "created")
        assert cluster.objects[JOB]["spec"]["template"] == {"command": command}
        assert "status" not in cluster.objects[JOB]
        assert not apply(cluster, config("a"), job(command)).changed
    assert lives == 2
    cluster.lives = None


def test_a_failed_job_is_made_anew_from_a_template_that_differs(cluster, refusals_recorded):
    """A live Job's template cannot change, but it is not this Job that gets it."""
    fix_template(cluster, refusals_recorded)
    apply(cluster, job())
    with pytest.raises(engine.Refused, match="kubectl delete job setup") as caught:
        apply(cluster, job("repaired"))
    assert "nothing was changed" in caught.value.seen
    ended(cluster, DEADLINE)
    foretold = apply(cluster, job("repaired"), check=True)
    done = apply(cluster, job("repaired"))
    assert actions(foretold) == actions(done)
    assert actions(done)["Job/setup"] == "recreated"
    assert foretold.diff() == done.diff()
    assert "command: repaired" in done.diff()[0]["after"]
    assert not apply(cluster, job("repaired")).changed


def test_what_else_is_wrong_with_a_failed_jobs_template_is_refused_before_it_is_deleted(cluster, refusals_recorded):
    apply(cluster, job())
    ended(cluster, DEADLINE)
    both = copy.deepcopy(refusals_recorded["job_template"]["body"])
    both["details"]["causes"].append({"field": "spec.backoffLimit", "message": "must be greater than or equal to 0", "reason": "x"})

    def refuse(verb, document):
        if verb == "apply" and document["kind"] == "Job":
            raise ApiError("apply", 422, both)

    cluster.refuse = refuse
    cluster.writes.clear()
    with pytest.raises(engine.Refused, match=r"spec\.backoffLimit"):
        apply(cluster, job("repaired"))
    assert cluster.writes == []


def test_without_the_right_to_delete_the_failed_job_nothing_changes(cluster):
    apply(cluster, job())
    ended(cluster, DEADLINE)

    def refuse(verb, document):
        if verb == "delete":
            message = 'jobs is forbidden: User "jane" cannot delete resource "jobs" in API group "batch" in the namespace "ns"'
            raise ApiError("delete", 403, {"reason": "Forbidden", "message": message})

    cluster.refuse = refuse
    cluster.writes.clear()
    with pytest.raises(engine.Refused, match=r"delete jobs\.batch in namespace ns"):
        apply(cluster, job(), config("a"))
    assert cluster.writes == []


def test_the_end_of_a_failed_job_is_waited_for(cluster, monkeypatch):
    apply(cluster, job())
    ended(cluster, DEADLINE, finalizers=["x/y"])
    with pytest.raises(StackgateError, match="finalizers: x/y"):
        apply(cluster, job(), timeout=-1.0)
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: cluster.objects.pop(JOB))
    assert actions(apply(cluster, job(), timeout=5.0))["Job/setup"] == "created"  # it was on its way out already
    ended(cluster, DEADLINE, finalizers=["x/y"])
    assert actions(apply(cluster, job(), timeout=5.0))["Job/setup"] == "recreated"
    assert "status" not in cluster.objects[JOB]


def test_a_job_on_its_way_out_gives_way_to_one_with_another_template(cluster, refusals_recorded, monkeypatch):
    fix_template(cluster, refusals_recorded)
    apply(cluster, job())
    ended(cluster, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x/y"])
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: cluster.objects.pop(JOB))
    assert actions(apply(cluster, job("repaired"), timeout=5.0))["Job/setup"] == "created"
    assert cluster.objects[JOB]["spec"]["template"] == {"command": "repaired"}


def test_a_job_that_another_run_made_anew_is_not_deleted(cluster):
    apply(cluster, job())
    ended(cluster, DEADLINE)
    others = []

    def overtaken(verb, document):
        """Another run does the same, between this one's plan and its deletion."""
        if verb == "delete":
            others.append("")
            if len(others) == 2:  # the first is the rehearsal
                cluster.objects.pop(JOB)
                others.append(cluster.apply(wanted(cluster, [job()])[0].body)["metadata"]["uid"])

    cluster.refuse = overtaken
    apply(cluster, job())
    assert cluster.objects[JOB]["metadata"]["uid"] == others[-1] != ""


# -- kinds that the manifest defines -----------------------------------------------------------------------------

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "forums.x.io"},
    "spec": {"group": "x.io", "names": {"kind": "Forum"}, "scope": "Namespaced"},
}


def test_a_definition_and_its_object_in_one_manifest(cluster, monkeypatch):
    cluster.kinds[("apiextensions.k8s.io/v1", "CustomResourceDefinition")] = False
    forum = {"apiVersion": "x.io/v1", "kind": "Forum", "metadata": {"name": "f"}}
    assert actions(apply(cluster, CRD, forum, check=True))["Forum/f"] == "created"
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: cluster.kinds.update({("x.io/v1", "Forum"): True}))
    assert actions(apply(cluster, CRD, forum, timeout=5.0))["Forum/f"] == "created"
    assert cluster.names("Forum") == ["f"]


def test_a_definition_that_is_never_served_is_an_error(cluster):
    cluster.kinds[("apiextensions.k8s.io/v1", "CustomResourceDefinition")] = False
    with pytest.raises(StackgateError, match="though the definition was applied"):
        apply(cluster, CRD, {"apiVersion": "x.io/v1", "kind": "Forum", "metadata": {"name": "f"}}, timeout=-1.0)
