# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image nginx on a real cluster: it serves, logs to its streams, writes nowhere but in /tmp, and ends gracefully."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def nginx(namespace: Any) -> Any:
    container = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    namespace.run("nginx", "nginx", 10028, container=container)
    namespace.ready("nginx")
    return namespace


def test_it_serves_and_logs(nginx: Any) -> None:
    log = nginx.log("nginx")
    assert "GET / HTTP/1.1" in log
    assert "Read-only file system" not in log
    assert "Permission denied" not in log


def test_it_runs_as_its_own_user(nginx: Any) -> None:
    assert nginx.sh("nginx", "id -un; id -u") == (0, "nginx\n10028")


def test_it_ends_quickly(nginx: Any) -> None:
    assert nginx.delete("nginx") < 10
