# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts and data become objects, and errors name the line."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import documents

TWO = """\
# a comment before the first document
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {since: 2024-01-31}
---
---
apiVersion: v1
kind: Service
metadata: {name: b}
"""


def test_parse_skips_empty_documents_and_knows_the_line():
    found = documents.parse(TWO, "web.yml.j2")
    assert [document.title for document in found] == ["ConfigMap/a", "Service/b"]
    assert [document.place for document in found] == ["web.yml.j2, rendered line 3", "web.yml.j2, rendered line 9"]


def test_parse_leaves_dates_as_text():
    assert documents.parse(TWO, "x")[0].body["data"] == {"since": "2024-01-31"}


def test_parse_takes_lists_apart():
    items = "".join(f"- {{apiVersion: v1, kind: {kind}, metadata: {{name: a}}}}\n" for kind in ("ConfigMap", "Secret"))
    text = f"apiVersion: v1\nkind: List\nitems:\n{items}"
    assert [document.title for document in documents.parse(text, "x")] == ["ConfigMap/a", "Secret/a"]


def test_yaml_error_shows_the_line():
    with pytest.raises(StackgateError) as caught:
        documents.parse("kind: ConfigMap\ndata:\n  a: b: c\n  d: e\n", "web.yml.j2")
    assert "line 3, column 7" in caught.value.seen
    assert ">    3 |   a: b: c" in caught.value.seen


def test_yaml_error_in_a_secret_shows_no_value():
    with pytest.raises(StackgateError) as caught:
        documents.parse("kind: Secret\nstringData:\n  password: hunter2: x\n  other: hunter3\n", "x")
    assert "hunter" not in str(caught.value)
    assert "password" in str(caught.value)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "metadata:\n  labels: {x: '1', x: '2'}\n"])
def test_a_key_given_twice_is_an_error(text):
    with pytest.raises(StackgateError, match="stands twice"):
        documents.parse(text, "x")


def test_merge_keys_are_no_repetition():
    assert documents.parse("base: &b {x: 1}\nother: {<<: *b, y: 2}\n", "x")[0].body["other"] == {"x": 1, "y": 2}


def test_a_document_that_is_no_mapping_is_an_error():
    with pytest.raises(StackgateError, match="a str"):
        documents.parse("just words\n", "x")


@pytest.mark.parametrize(
    "data",
    [
        TWO,
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}},
        ],
        [TWO],
    ],
)
def test_from_data_takes_text_and_objects(data):
    assert [document.title for document in documents.from_data(data, "definition")] == ["ConfigMap/a", "Service/b"]


def test_plain_forgets_subclasses():
    class Tagged(str):
        __slots__ = ()

    class Number(int):
        pass

    cleaned = documents.plain({Tagged("a"): [Tagged("b"), Number(3), True, None, 1.5]})
    assert cleaned == {"a": ["b", 3, True, None, 1.5]}
    assert [type(item) for item in cleaned["a"]] == [str, int, bool, type(None), float]
    json.dumps(cleaned)


def test_file_modes_are_octal_as_kubernetes_reads_them():
    assert documents.parse("defaultMode: 0440\n", "x")[0].body == {"defaultMode": 288}
