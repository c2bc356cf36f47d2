# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/rights.md: the Role that it shows is enough for all that is rendered, and no more than preflight asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SETS
from rules import Stack

from ansible_collections.stackgate.k3s.plugins.module_utils.preflight.surroundings import NEEDED_RIGHTS

RIGHTS = Path(__file__).parents[2] / "docs" / "rights.md"
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
WRITE = {"get", "list", "create", "patch", "delete"}


def the_role() -> list[dict[str, Any]]:
    """The rules of the Role in the document."""
    blocks = re.findall(r"```yaml\n(.*?)```", RIGHTS.read_text(encoding="utf-8"), re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block) if document]
    roles = [document for document in documents if document.get("kind") == "Role"]
    assert len(roles) == 1
    rules: list[dict[str, Any]] = roles[0]["rules"]
    return rules


def granted(group: str, resource: str) -> set[str]:
    return {verb for rule in the_role() if group in rule["apiGroups"] and resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("name", SETS)
def test_the_role_is_enough_for_every_object(stacks: dict[str, Stack], name: str) -> None:
    for item in stacks[name].objects:
        group = item["apiVersion"].rpartition("/")[0]
        resource = PLURALS.get(item["kind"], item["kind"].lower() + "s")
        assert granted(group, resource) >= WRITE, f"{group}/{resource}"


def test_the_role_is_enough_for_preflight() -> None:
    for rights in NEEDED_RIGHTS.values():
        for right in rights:
            assert granted(right.group, right.resource) >= set(right.verbs), f"{right.group}/{right.resource}"


def test_the_role_has_no_wildcard_and_nothing_dangerous() -> None:
    for rule in the_role():
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
        assert not {"pods/exec", "nodes"} & set(rule["resources"])
        # Rights can be given away as far as one has them, which without bind and escalate the API server sees to.
        assert not {"roles", "rolebindings", "clusterroles", "clusterrolebindings"} & set(rule["resources"]) or rule["resources"] == [
            "rolebindings",
            "roles",
        ]


def test_every_right_has_its_reason() -> None:
    text = RIGHTS.read_text(encoding="utf-8")
    table = text.partition("| Right |")[2]
    for rule in the_role():
        for resource in rule["resources"]:
            assert f"`{resource}`" in table, f"{resource}: a line with its reason expected"
