# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visitors of the forum, logged in or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from instance import Instance
from visitor import Visitor

ADMIN_SECRET = "misago-admin"


@pytest.fixture(scope="session")
def forum_host(instance: Instance) -> str:
    return f"wesago.{instance.domain}"


@pytest.fixture(scope="session")
def website_host(instance: Instance) -> str:
    return f"wesago-website.{instance.domain}"


@pytest.fixture
def anonymous(instance: Instance, forum_host: str) -> Visitor:
    return Visitor(instance.address, forum_host)


@pytest.fixture
def log_in(instance: Instance, forum_host: str) -> Callable[[str, str], Visitor]:
    def visitor_for(username: str, password: str) -> Visitor:
        visitor = Visitor(instance.address, forum_host)
        assert visitor.get("/").status == 200
        answer = visitor.post("/api/auth/", {"username": username, "password": password})
        assert answer.status == 200, answer.text
        return visitor

    return visitor_for


@pytest.fixture
def admin(instance: Instance, log_in: Callable[[str, str], Visitor]) -> Visitor:
    return log_in(instance.secret(ADMIN_SECRET, "username"), instance.secret(ADMIN_SECRET, "password"))
