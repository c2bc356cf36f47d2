# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four servers with a drive each, and a pod that uses them as an application does.

STACKGATE_STORAGE_INSTANCE, _INVENTORY (with colons between), _KUBECONFIG: another instance than the one of the molecule scenario.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance import CACHE, PROJECT, Instance, run_playbook
from object_ledger import Ledger, Storage

from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, Image

SCENARIO = PROJECT / "molecule/object_storage"
IMAGES = Path(__file__).parent / "images"


def given(name: str, default: str) -> str:
    return os.environ.get(f"STACKGATE_STORAGE_{name}") or default


NAME = given("INSTANCE", "store-object-storage")
INVENTORIES = tuple(PROJECT / path for path in given("INVENTORY", "inventories/local:molecule/object_storage/inventory").split(":"))
KUBECONFIG = Path(given("KUBECONFIG", str(CACHE / "kubeconfig")))


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """The instance of the molecule scenario: the one that is there, or one that is made, and taken down again."""
    assert KUBECONFIG.exists(), f"no kubeconfig at {KUBECONFIG}: `make cluster` first"
    found = Instance(NAME, INVENTORIES, KUBECONFIG, NAME, "k3s")
    arguments = [word for path in INVENTORIES for word in ("-i", str(path))] + ["--limit", f"{NAME},localhost"]
    try:
        there = bool(found.objects("apps/v1", "StatefulSet"))
    except Exception:  # no rights in a namespace that is not there yet
        there = False
    if not there:
        made = run_playbook([str(SCENARIO / "converge.yml"), *arguments])
        assert made.status == 0, made.failed
    yield found
    if not there:
        run_playbook([str(SCENARIO / "cleanup.yml"), *arguments, "-e", f"confirm={NAME}"])


@pytest.fixture(scope="session")
def storage(instance: Instance) -> Storage:
    return Storage(instance)


@pytest.fixture(scope="session")
def ledger_image(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The application's image, in the registry."""
    override = {"image_build_images": ["ledger"], "stackgate_images_dirs": [str(IMAGES)]}
    built = instance.play("--tags", "images", override=override, directory=tmp_path_factory.mktemp("ledger"))
    assert built.status == 0, built.failed
    server = instance.objects("apps/v1", "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    image = Catalogue([IMAGES]).get("ledger")
    assert isinstance(image, Image)
    return image.reference(server.partition("/stackgate/")[0])


@pytest.fixture
def ledger(instance: Instance, ledger_image: str) -> Iterator[Ledger]:
    """The application, at work."""
    made = Ledger(instance, ledger_image)
    made.start()
    yield made
    made.stop()
