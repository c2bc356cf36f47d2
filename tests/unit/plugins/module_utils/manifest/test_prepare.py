# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects get their namespace and labels; what is wrong with any of them is reported at once."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset, crds, documents, prepare

WEB = prepare.Component("web", "shop", "ns", "shop-stack")


def scoped(api_version: str, kind: str) -> bool:
    return kind != "Namespace"


def prepared(*bodies):
    return prepare.prepare(documents.from_data(list(bodies), "definition"), WEB, scoped)


def config(name="a", **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}


def complaint(*bodies) -> str:
    with pytest.raises(StackgateError) as caught:
        prepared(*bodies)
    assert len(caught.value.details["problems"]) == len(bodies)
    return caught.value.seen


def test_labels_and_namespace_are_added():
    body = prepared(config(labels={"app.kubernetes.io/component": "edge", "mine": "x"}))[0].body
    assert body["metadata"]["namespace"] == "ns"
    assert body["metadata"]["labels"] == {
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "edge",
        "app.kubernetes.io/managed-by": "stackgate",
        "app.kubernetes.io/part-of": "shop-stack",
        "mine": "x",
        applyset.PART_OF: applyset.set_id("web-applyset", "ns"),
    }


def test_pod_templates_are_left_alone():
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}}},
    }
    assert prepared(deployment)[0].body["spec"]["template"]["metadata"]["labels"] == {"a": "b"}


def test_the_given_data_is_not_changed():
    given = config()
    prepared(given)
    assert given == config()


def test_an_object_without_namespace_gets_none():
    assert "namespace" not in prepared({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})[0].body["metadata"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "ConfigMap", "metadata": {"name": "a"}}, "apiVersion is missing"),
        ({"apiVersion": "v1", "metadata": {"name": "a"}}, "kind is missing"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "metadata is missing"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, "metadata.name is missing"),
        (config(name=8080), "not a text: quote it"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}, "generateName"),
        (config(annotations={"x": True}), "metadata.annotations.x is True"),
        (config(namespace="other"), "metadata.namespace is 'other'"),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "namespace": "ns"}}, "belong to no namespace"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"port": 80}}, "stringData.port is of type int"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"pw": "hunter2!"}}, "data.pw is not base64"),
    ],
)
def test_incomplete_objects(body, words):
    seen = complaint(body)
    assert words in seen
    assert "hunter2" not in seen


def test_all_complaints_come_at_once():
    seen = complaint(config(namespace="other"), {"kind": "Pod"})
    assert "2 wrong" in seen


def test_an_object_that_stands_twice_names_both_places():
    with pytest.raises(StackgateError, match="stands twice, the first time in definition, item 1"):
        prepared(config(), config())


def test_the_same_object_in_two_versions_of_its_api_stands_twice():
    one = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    with pytest.raises(StackgateError, match="stands twice"):
        prepared(one, {**one, "apiVersion": "apps/v1beta1"})


def test_string_data_becomes_data():
    body = prepared({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"b": "text"}, "data": {"c": "eA=="}})[
        0
    ].body
    assert "stringData" not in body
    assert body["data"] == {"b": base64.b64encode(b"text").decode(), "c": "eA=="}


def test_objects_that_share_a_part_by_an_anchor_stay_apart():
    text = """
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: a}, data: &d {x: eA==}, stringData: {y: more}}
- {apiVersion: v1, kind: Secret, metadata: {name: b}, data: *d}
"""
    found = prepare.prepare(documents.parse(text, "x"), WEB, scoped)
    assert [sorted(item.body["data"]) for item in found] == [["x", "y"], ["x"]]


def test_a_kind_defined_in_the_same_manifest_is_known(cluster):
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "forums.x.io"},
        "spec": {"group": "x.io", "names": {"kind": "Forum"}, "scope": "Namespaced"},
    }
    is_namespaced = crds.scope(cluster, documents.from_data([crd], "definition"))
    assert is_namespaced("x.io/v1", "Forum") is True
    assert is_namespaced("v1", "Namespace") is False
    with pytest.raises(StackgateError):
        is_namespaced("x.io/v1", "Board")
