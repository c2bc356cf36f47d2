# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real MinIO servers as processes; the collection speaks to them as it does through a port-forward, over sockets that it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from minio_servers import binary
from minio_storage import Storage


@pytest.fixture(scope="session", autouse=True)
def program() -> str:
    """The server's program. Without one, and without Go to build it, there is nothing to test."""
    found = binary()
    if not found:
        pytest.skip("no MinIO server: install Go, or name a program in STACKGATE_MINIO")
    return found


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Four servers that run all the time: tests keep to buckets of their own and break nothing."""
    storage = Storage(tmp_path_factory.mktemp("minio"))
    storage.start()
    try:
        storage.wait()
        yield storage
    finally:
        storage.stop()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """Four servers of a test's own, to be broken."""
    made = Storage(tmp_path)
    made.start()
    try:
        made.wait()
        yield made
    finally:
        made.stop()
