# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dynamic configuration: the smallest patch, and that one is enough."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import settings
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.patroni.recorded_cluster import Recorded

THERE = {"ttl": 20, "synchronous_mode": True, "postgresql": {"use_slots": True, "parameters": {"max_connections": 60, "jit": "off"}}}


@pytest.mark.parametrize(
    ("wanted", "patch"),
    [
        ({}, {}),
        ({"ttl": 20, "synchronous_mode": True}, {}),
        ({"ttl": 30}, {"ttl": 30}),
        ({"loop_wait": 3}, {"loop_wait": 3}),
        ({"postgresql": {"parameters": {"max_connections": "60", "jit": False}}}, {}),
        ({"postgresql": {"parameters": {"max_connections": 70}}}, {"postgresql": {"parameters": {"max_connections": 70}}}),
        ({"postgresql": {"parameters": {"jit": None, "work_mem": None}}}, {"postgresql": {"parameters": {"jit": None}}}),
        ({"slots": {"archive": {"type": "physical"}}}, {"slots": {"archive": {"type": "physical"}}}),
        ({"ttl": None}, {"ttl": None}),
        ({"synchronous_mode": False}, {"synchronous_mode": False}),
        ({"postgresql": {"pg_hba": ["local all all peer"]}}, {"postgresql": {"pg_hba": ["local all all peer"]}}),
    ],
)
def test_the_smallest_patch(wanted: dict[str, Any], patch: dict[str, Any]) -> None:
    assert settings.difference(wanted, THERE) == patch


def test_a_recorded_configuration_is_as_it_is() -> None:
    config = Recorded().config
    assert settings.difference(config, config) == {}


def test_a_patch_for_people() -> None:
    patch = {"ttl": 30, "loop_wait": 3, "postgresql": {"parameters": {"jit": None}}}
    assert list(settings.words(patch, THERE)) == ["loop_wait 3", "no postgresql.parameters.jit (it was off)", "ttl 30 in place of 20"]


values = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["on", "off", "1", "x"])
trees = st.dictionaries(
    st.sampled_from("abc"), st.recursive(values, lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6)
)


def without_null(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: without_null(value) if isinstance(value, dict) else value for name, value in tree.items() if value is not None}


@given(trees, trees.map(without_null))
def test_a_patch_is_enough(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    patch = settings.difference(wanted, found)
    after = settings.patched(found, patch)
    assert settings.difference(wanted, after) == {}
    untouched = set(found) - set(wanted)
    assert {name: after[name] for name in untouched} == {name: found[name] for name in untouched}
