# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's variables: the same ones, with the same defaults, in defaults/main.yml and in meta/argument_specs.yml; all documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
NAMES = ("namespace", "mongodb", "postgresql", "redis", "object_storage", "workload", "nginx", "website", "ingress")
TYPES = {"str": str, "int": int, "bool": bool, "list": list, "dict": dict, "float": float}


def load(role: str, path: str) -> Any:
    return yaml.safe_load((ROLES / role / path).read_text(encoding="utf-8"))


def specs(role: str) -> dict[str, Any]:
    found: dict[str, Any] = load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


def all_options(options: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield f"{path}{name}", option
        yield from all_options(option.get("options") or {}, f"{path}{name}.")


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specs_have_the_same_variables(role: str) -> None:
    assert sorted(load(role, "defaults/main.yml")) == sorted(specs(role))


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specs_have_the_same_values(role: str) -> None:
    documented = {name: option.get("default") for name, option in specs(role).items()}
    assert load(role, "defaults/main.yml") == documented


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_documented_with_its_type(role: str) -> None:
    for path, option in all_options(specs(role)):
        assert option.get("type"), path
        text = option.get("description")
        assert text, path
        for sentence in text if isinstance(text, list) else [text]:
            assert sentence.endswith("."), f"{path}: {sentence}"
        default = option.get("default")
        if default is not None and not (isinstance(default, str) and "{{" in default):
            assert isinstance(default, TYPES[option["type"]]), path


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_explained(role: str) -> None:
    text = (ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    for name in specs(role):
        before = text.partition(f"\n{name}:")[0].rstrip().splitlines()[-1]
        # Two variables may share a comment.
        assert before.startswith("#") or re.match(rf"{role}_\w+:", before), f"{name}: a comment above it expected, seen {before!r}"


@pytest.mark.parametrize("role", NAMES)
def test_units_stand_in_names_and_words(role: str) -> None:
    words = {"_s": "second", "_mib": "MiB", "_ms": "milliseconds"}
    for name, option in specs(role).items():
        for suffix, word in words.items():
            if name.endswith(suffix):
                assert word.lower() in str(option["description"]).lower(), name


@pytest.mark.parametrize("role", NAMES)
def test_names_begin_with_the_role(role: str) -> None:
    assert all(name.startswith(f"{role}_") for name in specs(role))
    for name in load(role, "vars/main.yml"):
        assert name == f"{role}_gate" or name.startswith(f"__{role}_"), name


@pytest.mark.parametrize("role", NAMES)
def test_the_readme_names_what_others_use(role: str) -> None:
    """Services, Secrets and claims are how components meet: they are in the README by name."""
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    for heading in ("## What it makes", "## What others use", "## Gate"):
        assert heading in readme, heading
    known = {*specs(role), f"{role}_gate"}
    for name in re.findall(rf"`({role}_\w+)`", readme):
        assert name in known, f"{name} is no variable of the role"


@pytest.mark.parametrize("role", NAMES)
def test_one_manifest_task_applies(role: str) -> None:
    tasks = load(role, "tasks/apply.yml")
    applies = [task for task in tasks if "stackgate.k3s.manifest" in task]
    assert len(applies) == 1
    assert applies[0]["stackgate.k3s.manifest"]["template"] == f"{role}.yml.j2"
    assert len(list((ROLES / role / "templates").glob("*.yml.j2"))) == 1
    for path in (ROLES / role / "tasks").glob("*.yml"):
        for task in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert "tags" not in task, f"{path}: the play gives the component's tag"
            assert ("stackgate.k3s.gate" in task) <= (path.name == "gate.yml"), f"{path}: only gate.yml waits"


@pytest.mark.parametrize("role", NAMES)
def test_what_a_role_checks_is_checked_in_preflight_and_by_itself(role: str) -> None:
    tasks = ROLES / role / "tasks"
    preflight = (ROLES.parent / "playbooks" / "preflight.yml").read_text(encoding="utf-8")
    checks = (tasks / "check.yml").exists()
    assert checks == ("check.yml" in (tasks / "main.yml").read_text(encoding="utf-8"))
    assert checks == (f"name: stackgate.k3s.{role}\n        tasks_from: check" in preflight)
    if checks:
        # Without changes: the cluster is asked by modules that only read.
        used = re.findall(r"stackgate\.k3s\.(\w+):", (tasks / "check.yml").read_text(encoding="utf-8"))
        assert [module for module in used if not module.endswith("_info")] == []
