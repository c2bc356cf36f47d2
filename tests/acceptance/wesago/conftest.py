# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visitors of the forum, logged in or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
from forum_ledger import IMPATIENCE, People
from instance import Instance
from members import member, new_thread
from testinfra.host import Host
from visitor import Visitor
from waiting import until

ADMIN_SECRET = "forum-admin"


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


@pytest.fixture
def post(admin: Visitor) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Posts a thread as the administrator; what was posted is deleted after the test."""
    made: list[int] = []

    def post_thread(text: str) -> dict[str, Any]:
        thread = new_thread(admin, text).json()
        made.append(thread["id"])
        return thread

    yield post_thread
    for thread in made:
        assert admin.request("DELETE", f"/api/threads/{thread}/").status == 200


@pytest.fixture
def inside(instance: Instance) -> Callable[[str], Host]:
    """The first running pod of a name, as a host that commands can be run on."""

    def host(name: str, container: str = "") -> Host:
        pods = [pod for pod in instance.pods(f"app.kubernetes.io/name={name}") if pod["status"]["phase"] == "Running"]
        assert pods, f"no pod of {name} runs in {instance.namespace}"
        pod = pods[0]["metadata"]["name"]
        chosen = container or pods[0]["spec"]["containers"][0]["name"]
        return testinfra.get_host(f"kubectl://{pod}?namespace={instance.namespace}&container={chosen}&kubeconfig={instance.kubeconfig}")

    return host


@pytest.fixture
def newcomer(instance: Instance, forum_host: str, inside: Callable[[str], Host]) -> Iterator[Callable[[], tuple[str, Visitor]]]:
    """Makes a member, logged in: (name, visitor). After the test the accounts are deleted, in the application itself."""
    names: list[str] = []

    def join() -> tuple[str, Visitor]:
        visitor = Visitor(instance.address, forum_host)
        names.append(member(visitor))
        return names[-1], visitor

    yield join
    delete = (
        'python -c "import django; django.setup(); from django.contrib.auth import get_user_model; '
        f'[user.delete(anonymous_username=user.username) for user in get_user_model().objects.filter(username__in={names})]"'
    )
    # A task may be notifying one of them at this moment: then the database refuses.
    until(f"{', '.join(names)} are deleted", lambda: inside("web").run(delete).rc == 0, 60)


@pytest.fixture
def people(
    instance: Instance,
    admin: Visitor,
    anonymous: Visitor,
    newcomer: Callable[[], tuple[str, Visitor]],
    post: Callable[[str], dict[str, Any]],
    inside: Callable[[str], Host],
) -> Iterator[People]:
    """Who uses the forum while something breaks. What they wrote is deleted after the test."""
    text = "Written before anything broke"
    known = (post(text)["url"], text)
    name, recipient = newcomer()
    for visitor in (admin, anonymous, recipient):
        visitor.timeout = IMPATIENCE
    found = People(admin, instance.secret(ADMIN_SECRET, "username"), recipient, name, anonymous, known)
    yield found
    delete = (
        'python -c "import django; django.setup(); from misago.threads.models import Thread; '
        f"[thread.delete() for thread in Thread.objects.filter(title__startswith='Ledger {found.tag}')]\""
    )
    until("the posts are deleted", lambda: inside("web").run(delete).rc == 0, 60)
