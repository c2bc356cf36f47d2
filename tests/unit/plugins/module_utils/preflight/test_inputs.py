# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight says of names and values that a user wrote."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.preflight import inputs

SPEC = {
    "redis_replicas": {"type": "int", "default": 1},
    "redis_port": {"type": "int"},
    "redis_mode": {"type": "str", "choices": ["a", "b"]},
}


def test_a_misspelt_component_gets_its_nearest_name():
    (problem,) = inputs.unknown_components("wesago", ["redis", "postgres"], ["redis", "postgresql"])
    assert problem.seen == "'postgres'"
    assert "postgresql" in problem.hint


def test_an_instance_without_components_is_in_no_stack():
    (problem,) = inputs.unknown_components("wesago", [], ["redis"])
    assert "wesago" in problem.seen


def test_a_misspelt_tag_gets_its_nearest_name():
    (problem,) = inputs.unknown_tags(["ngnix", "data", "all", "always"], ["nginx", "data"])
    assert problem.seen == "'ngnix'"
    assert "did you mean nginx?" in problem.hint


def test_a_misspelt_variable_gets_its_nearest_name():
    (problem,) = inputs.misspelt(["redis_replcas", "redis_port", "other"], {"redis": SPEC})
    assert "'redis_replcas'" in problem.seen
    assert problem.hint == "did you mean redis_replicas?"


@pytest.mark.parametrize("variable", ["redis_port", "redis_gate", "unrelated_port"])
def test_documented_and_foreign_variables_pass(variable):
    assert inputs.misspelt([variable], {"redis": SPEC}) == []


def test_the_longest_role_name_owns_a_variable():
    specs = {"image": {"image_x": {}}, "image_build": {"image_build_images": {}}}
    (problem,) = inputs.misspelt(["image_build_imags"], specs)
    assert "image_build_images" in problem.hint


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"redis_replicas": 0}, "0"),
        ({"redis_replicas": "three"}, "three"),
        ({"redis_replicas": True}, "True"),
        ({"redis_mode": "c"}, "c"),
        ({"redis_port": "x"}, "x"),
    ],
)
def test_a_wrong_value_is_one_problem(values, seen):
    (problem,) = inputs.wrong_values("redis", SPEC, values)
    assert seen in problem.seen


def test_right_values_pass():
    assert inputs.wrong_values("redis", SPEC, {"redis_replicas": 3, "redis_mode": "a"}) == []


def test_replicas_inside_a_list_are_named_by_the_item():
    spec = {"workload_items": {"type": "list", "elements": "dict"}}
    (problem,) = inputs.wrong_values("workload", spec, {"workload_items": [{"name": "web", "replicas": 0}]})
    assert problem.expected == "workload_items[web].replicas is at least 1"


def test_a_host_name_has_one_owner():
    (problem,) = inputs.doubled_hosts([("a", "x.k3s"), ("b", "x.k3s"), ("b", "y.k3s")])
    assert "'x.k3s'" in problem.seen
    assert "a, b" in problem.seen


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "default", "Wesago", "wesago_local", ""])
def test_a_namespace_that_is_not_the_instance_s_own_is_one_problem(namespace):
    (problem,) = inputs.unfit_namespaces([("wesago-local", "here", namespace)])
    assert repr(namespace) in problem.seen


def test_two_instances_of_a_cluster_never_share_a_namespace():
    (problem,) = inputs.unfit_namespaces([("a", "here", "shop"), ("b", "here", "shop"), ("c", "there", "shop")])
    assert problem.seen == "'shop' is that of a, b"


def test_namespaces_of_one_s_own_pass():
    assert inputs.unfit_namespaces([("a", "here", "a"), ("b", "here", "b-2")]) == []
