# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup takes its options from variables, templates in them included, and gives references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.stackgate.k3s.plugins.lookup import image
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue


@pytest.fixture(autouse=True)
def known_options() -> None:
    """What ansible's plugin loader does: register the plugin's documented options."""
    documented = yaml.safe_load(image.DOCUMENTATION)["options"]
    constants.config.initialize_plugin_configuration_definitions("lookup", "stackgate.k3s.image", documented)


def look(*terms: str, options: dict[str, Any] | None = None, **variables: Any) -> list[str]:
    templar = Templar(loader=DataLoader(), variables=variables)
    plugin = image.LookupModule(loader=None, templar=templar)
    plugin._load_name = "stackgate.k3s.image"
    return plugin.run(list(terms), variables, **(options or {}))


def tag(name: str) -> str:
    return Catalogue().get(name).tag  # type: ignore[union-attr]


def test_a_reference_per_name() -> None:
    assert look("nginx", "redis", stackgate_registry="registry.k3s:5000") == [
        f"registry.k3s:5000/stackgate/nginx:{tag('nginx')}",
        f"registry.k3s:5000/stackgate/redis:{tag('redis')}",
    ]


def test_a_variable_may_be_a_template() -> None:
    found = look("nginx", stackgate_registry=trust_as_template("{{ host }}:5000"), host="registry.k3s")
    assert found == [f"registry.k3s:5000/stackgate/nginx:{tag('nginx')}"]


def test_an_option_wins_over_its_variable() -> None:
    assert look("nginx", options={"registry": "a:1"}, stackgate_registry="b:2")[0].startswith("a:1/")


def test_own_images_arguments_and_replaced_bases(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/Containerfile").write_text("FROM scratch\n")
    plain = look("own", stackgate_registry="r:1", stackgate_images_dirs=[str(tmp_path)])
    changed = look("own", stackgate_registry="r:1", stackgate_images_dirs=[str(tmp_path)], stackgate_image_arguments={"own": {"A": 1}})
    assert plain != changed
    assert look("debian", stackgate_registry="r:1", stackgate_image_bases={"debian": "example.org/debian:12"}) == ["example.org/debian:12"]


def test_errors_say_what_to_set() -> None:
    with pytest.raises(AnsibleLookupError, match="set stackgate_registry"):
        look("nginx")
    with pytest.raises(AnsibleLookupError, match="did you mean 'nginx'"):
        look("ngnix", stackgate_registry="r:1")
