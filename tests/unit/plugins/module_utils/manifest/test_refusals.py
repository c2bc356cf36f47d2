# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded refusals of a real API server become sentences with object, field and advice."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import refusals
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import Key


def problems(recorded, name):
    case = recorded[name]
    error = ApiError("x", case["status"], case["body"])
    return refusals.problems_of(error, Key("", case["kind"], "shop", case["name"]), case["document"])


@pytest.mark.parametrize(
    ("name", "field", "message", "hint"),
    [
        ("deployment_selector", "spec.selector", "field is immutable", "kubectl delete deployment web -n shop"),
        ("statefulset_storage", "spec", "updates to statefulset spec", "kubectl delete statefulset db -n shop --cascade=orphan"),
        ("job_template", "spec.template", "field is immutable", "a name that changes with its template"),
        ("claim_shrinks", "spec", "immutable after creation", "only the size of a claim can change"),
        ("role_ref", "roleRef", "cannot change roleRef", "kubectl delete rolebinding rb -n shop"),
        ("secret_immutable", "data", "field is immutable", "kubectl delete secret frozen -n shop"),
        ("wrong_type", ".data.LANG", "expected string, got 1", ""),
        ("namespace_missing", "", "the namespace shop does not exist", "role namespace"),
        ("conflict", ".spec.replicas", 'conflict with "kubectl-scale"', "leave it to kubectl-scale"),
        ("quota", "", "exceeded quota: q", "ResourceQuota"),
        ("terminating", "", "being terminated", "wait until the namespace is gone"),
        ("forbidden", "", "jane lacks the right to patch deployments.apps in namespace manifestrec", "docs/rights.md"),
        ("forbidden_cluster", "", "jane lacks the right to patch persistentvolumes at the scope of the cluster", "docs/rights.md"),
    ],
)
def test_a_recorded_refusal(refusals_recorded, name, field, message, hint):
    (problem,) = problems(refusals_recorded, name)
    assert problem.field == field
    assert message in problem.message
    assert hint in problem.hint
    assert str(problem).startswith(f"{problem.target.kind}/{problem.target.name}")


def test_a_manifest_may_know_better_what_helps(refusals_recorded):
    case = refusals_recorded["statefulset_storage"]
    document = {**case["document"], "metadata": {"annotations": {"stackgate.k3s/immutable-hint": "add a pool instead"}}}
    (problem,) = refusals.problems_of(ApiError("x", case["status"], case["body"]), Key("", case["kind"], "shop", case["name"]), document)
    assert problem.hint == "add a pool instead"


def test_each_field_of_an_invalid_object_is_named(refusals_recorded):
    assert [problem.field for problem in problems(refusals_recorded, "invalid_values")] == [
        "spec.replicas",
        "spec.template.metadata.labels",
    ]


def test_each_unknown_or_mistyped_field_is_named(refusals_recorded):
    found = {problem.field: problem.message for problem in problems(refusals_recorded, "unknown_fields")}
    assert found[".spec.replicas"] == "expected numeric (int or float), got string"
    assert found['.spec.template.spec.containers[name="web"].imag'].startswith("there is no such field")


def test_a_whole_pod_template_is_not_repeated(refusals_recorded):
    (problem,) = problems(refusals_recorded, "job_template")
    assert problem.message == "Invalid value: (...): field is immutable"


@pytest.mark.parametrize("name", ["forbidden", "forbidden_list"])
def test_the_missing_right(refusals_recorded, name):
    verb = "patch" if name == "forbidden" else "list"
    assert refusals.missing_right(refusals_recorded[name]["body"]["message"]) == f"{verb} deployments.apps in namespace manifestrec"


def test_no_value_of_a_secret_is_repeated():
    body = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}
    error = ApiError(
        "x",
        422,
        {"reason": "Invalid", "message": "bad: aHVudGVyMg== and hunter2", "details": {"causes": [{"field": "data", "message": "hunter2"}]}},
    )
    for problem in refusals.problems_of(error, Key("", "Secret", "ns", "s"), body):
        assert "hunter2" not in str(problem)
        assert "aHVudGVyMg" not in str(problem)


def test_an_unknown_refusal_is_told_in_the_servers_words():
    error = ApiError("x", 400, {"message": 'admission webhook "policy.example" denied the request: no'})
    (problem,) = refusals.problems_of(error, Key("", "Pod", "ns", "p"), {})
    assert problem.message == 'admission webhook "policy.example" denied the request: no'
