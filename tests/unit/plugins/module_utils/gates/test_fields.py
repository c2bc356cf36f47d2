# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in conditions: each is named with its condition and field, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _fields, _protocol

WRONG: list[tuple[Any, str]] = [
    ("rollout", "conditions[0]: expected a dictionary with the key kind, seen 'rollout'"),
    ({"name": "x"}, "conditions[0]: kind is missing"),
    ({"kind": "rolout", "resource": "Deployment/web"}, "conditions[0]: 'rolout' is no kind of condition; did you mean 'rollout'?"),
    ({"kind": "_view"}, "conditions[0]: '_view' is no kind of condition"),
    ({"kind": "rollout"}, "conditions[0] (rollout): resource is missing"),
    ({"kind": "rollout", "resource": "deployment/web"}, "resource: expected Deployment/<name>, StatefulSet/<name> or DaemonSet/<name>"),
    ({"kind": "rollout", "resource": "Deployment/web", "setle": 3}, "unknown field 'setle'; did you mean 'settle'?"),
    ({"kind": "rollout", "resource": "Deployment/web", "settle": -1}, "settle: expected 0 or more, seen -1"),
    ({"kind": "rollout", "resource": "Deployment/web", "timeout": 0}, "timeout: expected more than 0, seen 0"),
    ({"kind": "rollout", "resource": "Deployment/web", "timeout": "soon"}, "timeout: expected a number, seen 'soon'"),
    (
        {"kind": "rollout", "resource": "Deployment/web", "verify_images": "perhaps"},
        "verify_images: expected true or false, seen 'perhaps'",
    ),
    ({"kind": "rollout", "resource": "Deployment/web", "images": ["x"]}, "images: expected a dictionary"),
    ({"kind": "endpoints", "service": "web", "minimum": "many"}, "minimum: expected a whole number, seen 'many'"),
    ({"kind": "endpoints", "service": "web", "minimum": 1.5}, "minimum: expected a whole number, seen 1.5"),
    ({"kind": "endpoints", "service": "web", "minimum": True}, "minimum: expected a whole number, seen True"),
    ({"kind": "endpoints", "service": None}, "service: expected a text, seen None"),
    ({"kind": "pvc"}, "name: give either name or selector"),
    ({"kind": "http", "path": "/"}, "ingress: give one of ingress, service, pod, url"),
    ({"kind": "http", "ingress": "a", "service": "b"}, "ingress: give one of ingress, service, pod, url, not ingress and service"),
    ({"kind": "http", "ingress": "a", "path": "x"}, "path: expected /..., seen 'x'"),
    ({"kind": "http", "ingress": "a", "scheme": "htps"}, "scheme: expected one of http, https; did you mean 'https'?, seen 'htps'"),
    ({"kind": "http", "ingress": "a", "status": "ok"}, "status: expected a whole number or a list, seen 'ok'"),
    ({"kind": "http", "ingress": "a", "headers": {"Server": "("}}, "headers[Server]: no regular expression"),
    ({"kind": "http", "pod": "a"}, "port: a pod needs a port"),
    ({"kind": "tcp", "address": "a", "port": "http"}, "port: an address needs a port number"),
    ({"kind": "journey", "ingress": "a", "steps": []}, "steps: there are none"),
    ({"kind": "journey", "ingress": "a", "steps": [{"name": "x"}]}, "steps[0]: path is missing"),
    (
        {"kind": "journey", "ingress": "a", "steps": [{"name": "x", "path": "/", "metod": "GET"}]},
        "steps[0]: unknown field 'metod'; did you mean 'method'?",
    ),
    (
        {"kind": "journey", "ingress": "a", "steps": [{"name": "x", "path": "/${id}"}]},
        "steps[0]: nothing before it gives a value to ${id}; known: run",
    ),
    (
        {"kind": "journey", "ingress": "a", "steps": [{"name": "x", "path": "/", "save": {"id": "jsn id"}}]},
        "save[id]: expected json <path>",
    ),
    ({"kind": "journey", "ingress": "a", "steps": [{"name": "x", "path": "/", "form": {}, "json": {}}]}, "one body, not form and json"),
    (
        {"kind": "journey", "ingress": "a", "steps": [{"name": "x", "path": "/", "multipart": {"file": {"png": "big"}}}]},
        "steps[0]: multipart[file]: png: expected 64x64, seen 'big'",
    ),
]


@pytest.mark.parametrize(("condition", "message"), WRONG)
def test_a_mistake_is_named(condition: Any, message: str) -> None:
    with pytest.raises(_fields.FieldErrors) as caught:
        _protocol.parse([condition])
    assert message in str(caught.value)


def test_all_mistakes_of_all_conditions_are_named_at_once() -> None:
    with pytest.raises(_fields.FieldErrors) as caught:
        _protocol.parse([{"kind": "job"}, {"kind": "rollout", "resource": 3, "x": 1}, {"kind": "nope"}])
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [
        "conditions[0] (job)",
        "conditions[1] (rollout)",
        "conditions[1] (rollout)",
        "conditions[2]",
    ]


def test_a_number_may_come_as_text_from_a_template() -> None:
    condition: Any = _protocol.parse([{"kind": "endpoints", "service": "web", "minimum": "2", "timeout": "30"}])[0]
    assert (condition.minimum, condition.timeout) == (2, 30.0)


def test_every_kind_has_its_class_named_like_the_file() -> None:
    kinds = _protocol.kinds()
    assert {"rollout", "job", "pvc", "endpoints", "http", "tcp", "ingress", "hpa", "pdb", "journey"} <= set(kinds)
    assert {kind: _protocol.kind_class(kind).__name__.lower() for kind in kinds} == {kind: kind.replace("_", "") for kind in kinds}
