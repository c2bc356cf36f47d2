# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three servers, three sentinels, a proxy on each node, and a pod that uses them as an application does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instance import PROJECT, Instance, delivered
from ledger_pod import manifest, running, server_image
from redis_ledger import Ledger
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, Image

IMAGES = PROJECT / "tests/images"


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    with delivered("redis") as found:
        yield found


@pytest.fixture(scope="session")
def ledger(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """The application's pod, with redis-py as distributions have it."""
    override = {"image_build_images": ["store_client"], "stackgate_images_dirs": [str(IMAGES)]}
    built = instance.play("--tags", "images", override=override, directory=tmp_path_factory.mktemp("ledger"))
    assert built.status == 0, built.failed
    image = Catalogue([IMAGES, PROJECT / "images"]).get("store_client")
    assert isinstance(image, Image)
    reference = image.reference(server_image(instance).partition("/stackgate/")[0])
    secrets = {"redis": "redis", "redis-members": "redis-members"}
    with running(instance, manifest(reference, 10090, ["redis", "redis-sentinel"], secrets)):
        made = Ledger(instance)
        until("its connections are let out", lambda: made("reach"))
        yield made
