# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four servers with a drive each, and a pod that uses them as an application does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from instance import Instance, delivered
from ledger_pod import server_image
from object_ledger import Ledger, Storage

from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, Image

IMAGES = Path(__file__).parent / "images"


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    with delivered("object_storage") as found:
        yield found


@pytest.fixture(scope="session")
def storage(instance: Instance) -> Storage:
    return Storage(instance)


@pytest.fixture(scope="session")
def ledger_image(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The application's image, in the registry."""
    override = {"image_build_images": ["ledger"], "stackgate_images_dirs": [str(IMAGES)]}
    built = instance.play("--tags", "images", override=override, directory=tmp_path_factory.mktemp("ledger"))
    assert built.status == 0, built.failed
    image = Catalogue([IMAGES]).get("ledger")
    assert isinstance(image, Image)
    return image.reference(server_image(instance).partition("/stackgate/")[0])


@pytest.fixture
def ledger(instance: Instance, ledger_image: str) -> Iterator[Ledger]:
    """The application, at work."""
    made = Ledger(instance, ledger_image)
    made.start()
    yield made
    made.stop()
