# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry is asked by the client that builds and gates use, with the same variables."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.action.preflight import ActionModule
from ansible_collections.stackgate.k3s.plugins.plugin_utils.registry import REGISTRY


@pytest.fixture
def action() -> Any:
    made = ActionModule.__new__(ActionModule)
    made._templar = SimpleNamespace(template=lambda value: value)
    return made


def options(**given: Any) -> dict[str, Any]:
    return {**dict.fromkeys(REGISTRY), "registry_timeout": 0.2, **given}


def test_no_registry_is_no_problem(action: Any) -> None:
    assert action._registry_problems(options(), {"stackgate_registry": ""}) == []


def test_a_registry_that_does_not_listen_is_named_with_the_address_that_was_asked(action: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    variables = {"stackgate_registry": "registry.example:5000/path", "stackgate_registry_url": f"http://127.0.0.1:{port}"}
    (problem,) = action._registry_problems(options(), variables)
    assert f"http://127.0.0.1:{port}" in problem.expected
    assert "refused" in problem.seen
    assert problem.hint
