# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of kubeconfigs, rights, classes and registries."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.preflight import surroundings

CONFIG = {"clusters": [{"name": "c"}], "contexts": [{"name": "prod", "context": {}}], "current-context": "prod"}


class FakeCluster:
    """Answers from what a test gives it."""

    address = "https://api.test:6443"

    def __init__(self, version="v1.35.4", rules=(), incomplete=False, lists=None):
        self._version, self._rules, self._incomplete, self._lists = version, list(rules), incomplete, lists or {}

    def version(self):
        if isinstance(self._version, Exception):
            raise self._version
        return self._version

    def request(self, method, path, body=None):
        return {"status": {"resourceRules": self._rules, "incomplete": self._incomplete}}

    def may(self, verb, group, resource, namespace, subresource=""):
        return verb != "delete"

    def list(self, api_version, kind):
        found = self._lists.get(kind, [])
        if isinstance(found, Exception):
            raise found
        return [{"metadata": {"name": name}} for name in found]


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    return str(path)


def test_a_good_kubeconfig_passes(kubeconfig):
    assert surroundings.kubeconfig_problems(kubeconfig, "") == []
    assert surroundings.kubeconfig_problems(kubeconfig, "prod") == []


def test_a_missing_kubeconfig_is_named(tmp_path):
    (problem,) = surroundings.kubeconfig_problems(str(tmp_path / "none"), "")
    assert str(tmp_path / "none") in problem.expected
    assert "No such file" in problem.seen


def test_a_wrong_context_lists_the_known_ones(kubeconfig):
    (problem,) = surroundings.kubeconfig_problems(kubeconfig, "prd")
    assert "prod" in problem.seen
    assert "did you mean prod?" in problem.hint


@pytest.mark.parametrize("text", ["{", "a: b", "- 1"])
def test_a_file_that_is_no_kubeconfig(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    (problem,) = surroundings.kubeconfig_problems(str(path), "")
    assert "is a kubeconfig" in problem.expected


def test_an_old_server_is_refused():
    (problem,) = surroundings.server_problems(FakeCluster("v1.29.3+k3s1"))
    assert problem.seen == "v1.29.3+k3s1"
    assert surroundings.server_problems(FakeCluster("v1.30.0+k3s1")) == []


def test_refused_credentials_are_told_apart():
    error = ApiError("GET /version", 401, {"reason": "Unauthorized", "message": "Unauthorized"})
    (problem,) = surroundings.server_problems(FakeCluster(error))
    assert "token" in problem.hint


def test_each_missing_right_is_named():
    everything_but_jobs = [
        {"verbs": ["*"], "apiGroups": ["", "apps", "discovery.k8s.io", "networking.k8s.io", "policy"], "resources": ["*"]},
        {"verbs": ["*"], "apiGroups": ["batch"], "resources": ["cronjobs"]},
        {"verbs": ["get", "list"], "apiGroups": ["batch"], "resources": ["jobs"]},
    ]
    (problem,) = surroundings.rights_problems(FakeCluster(rules=everything_but_jobs), "ns", ["workload"])
    assert problem.expected == "the right to create, delete, patch jobs.batch in namespace ns"


def test_a_rule_for_named_objects_grants_nothing_in_general():
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["one"]}]
    assert surroundings.rights_problems(FakeCluster(rules=rules), "ns", [])


def test_an_incomplete_review_is_asked_one_by_one():
    problems = surroundings.rights_problems(FakeCluster(rules=[], incomplete=True), "ns", [])
    assert problems
    assert all(problem.expected.startswith("the right to delete ") for problem in problems)


def test_a_missing_storage_class_is_named():
    problems, warnings = surroundings.class_problems(FakeCluster(lists={"StorageClass": ["local-path"]}), ["local-pth", ""], "")
    assert "'local-pth'" in problems[0].expected
    assert "did you mean local-path?" in problems[0].hint
    assert warnings == []


def test_classes_that_may_not_be_listed_are_a_warning():
    forbidden = ApiError("GET", 403, {"reason": "Forbidden"})
    problems, warnings = surroundings.class_problems(FakeCluster(lists={"StorageClass": forbidden}), ["x"], "")
    assert problems == []
    assert "not checked" in warnings[0]
