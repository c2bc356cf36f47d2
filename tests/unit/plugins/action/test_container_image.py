# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task's result, and where its options come from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.action import container_image
from ansible_collections.stackgate.k3s.plugins.action.container_image import ActionModule, outcomes
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images import delivery
from ansible_collections.stackgate.k3s.plugins.module_utils.images.builder import Outcome
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import External, Image
from ansible_collections.stackgate.k3s.plugins.plugin_utils import registry
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import documented_spec


def image(name: str, base: Image | None = None) -> Image:
    return Image(name, Path("/images") / name, "containerfile", base, {}, "1")


DEBIAN = image("debian")
NGINX, REDIS = image("nginx", DEBIAN), image("redis", DEBIAN)


def test_the_result_lists_what_was_wanted_then_the_bases() -> None:
    plan = delivery.Plan(present={"redis:1": "sha256:r"}, missing=[DEBIAN, NGINX])
    done = {"debian:1": Outcome("debian", "x", "sha256:d", True, 30.04), "nginx:1": Outcome("nginx", "x", "sha256:n", True, 6)}
    wanted: list[tuple[str, Any]] = [("nginx", NGINX), ("redis", REDIS), ("os", External("example.org/os:1"))]
    assert outcomes(wanted, plan, done, "r:5000") == [
        {"name": "nginx", "image": "r:5000/stackgate/nginx:1", "digest": "sha256:n", "built": True, "seconds": 6},
        {"name": "redis", "image": "r:5000/stackgate/redis:1", "digest": "sha256:r", "built": False, "seconds": 0.0},
        {"name": "os", "image": "example.org/os:1", "digest": "", "built": False, "seconds": 0.0},
        {"name": "debian", "image": "r:5000/stackgate/debian:1", "digest": "sha256:d", "built": True, "seconds": 30.0},
    ]


class FakeRegistry:
    def __init__(self, address: Any, **options: Any) -> None:
        self.address, self.options = address, options

    def wait(self, patience: float) -> None:
        pass

    def digest(self, repository: str, tag: str) -> str | None:
        return None if repository.endswith("nginx") else "sha256:x"


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The action in check mode, with a registry that has every image but nginx."""
    monkeypatch.setattr(registry, "Registry", FakeRegistry)
    made = ActionModule.__new__(ActionModule)
    made._task = SimpleNamespace(check_mode=True, diff=True, args={})
    made._templar = SimpleNamespace(template=lambda value: f"templated-{value}" if value == "variable:1" else value)
    return made


def execute(action: Any, variables: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    spec, _connection = documented_spec("container_image")
    given = {name: options.get(name, entry.get("default")) for name, entry in spec.items()}
    return action.execute(given, variables or {})


def test_check_mode_says_what_would_be_built_and_builds_nothing(action: Any, tmp_path: Path) -> None:
    result = execute(action, images=["nginx", "redis"], registry="r:5000", cache_dir=str(tmp_path / "cache"))
    assert result["changed"] is True
    assert result["missing"] == ["nginx"]
    assert [(entry["name"], entry["built"]) for entry in result["images"]] == [("nginx", False), ("redis", False)]
    assert result["diff"][0]["before"] == ""
    assert result["diff"][0]["after"].startswith("r:5000/stackgate/nginx:")
    assert not (tmp_path / "cache").exists()


def test_one_image_has_its_own_keys(action: Any) -> None:
    result = execute(action, name="redis", registry="r:5000")
    assert (result["changed"], result["digest"], result["built"]) == (False, "sha256:x", False)
    assert result["image"] == result["images"][0]["image"]


def test_options_come_from_variables_templated(action: Any) -> None:
    assert execute(action, {"stackgate_registry": "variable:1"}, name="redis")["image"].startswith("templated-variable:1/")
    assert execute(action, {"stackgate_registry": "variable:1"}, name="redis", registry="r:5000")["image"].startswith("r:5000/")


@pytest.mark.parametrize(("options", "seen"), [({}, "neither"), ({"name": "a", "images": []}, "both"), ({"images": []}, "none is named")])
def test_bad_options_are_said(action: Any, options: dict[str, Any], seen: str) -> None:
    with pytest.raises(StackgateError, match=seen):
        execute(action, **options)


def test_every_fallback_is_a_documented_option() -> None:
    spec, _connection = documented_spec("container_image")
    assert set(container_image.FALLBACKS) <= set(spec)
    assert all(spec[option].get("default") is None for option in container_image.FALLBACKS)
