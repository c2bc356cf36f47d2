# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forum while its stores fail over: somebody posts every second through the ingress, and everybody's pages stay the right ones.

The faults are those of playbooks/drill.yml, which keeps a ledger of its own, inside the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from forum_ledger import IMPATIENCE, People
from instance import Instance
from ledger_pod import until
from testinfra.host import Host
from visitor import Visitor

pytestmark = [pytest.mark.disrupts]

# Seconds in which posting may fail, at most: those that the store promises for this fault. Nothing is promised for the loss of all
# its pods at once but that it comes back by itself.
FAULTS = [
    ("redis", "switchover", 1),
    ("redis", "process", 6),
    ("redis", "pod", 6),
    ("redis", "all_pods", 30),
    ("redis", "node", 6),
    ("postgresql", "switchover", 2),
    ("postgresql", "process", 5),
    ("postgresql", "pod", 5),
    ("postgresql", "all_pods", 60),
    ("postgresql", "node", 25),
]
# A task that a lost worker had taken is given back after two minutes.
TASKS_DONE = 240.0


@pytest.fixture
def people(
    instance: Instance,
    admin: Visitor,
    anonymous: Visitor,
    newcomer: Callable[[], tuple[str, Visitor]],
    post: Callable[[str], dict[str, str]],
    inside: Callable[[str], Host],
) -> Iterator[People]:
    text = "Written before anything broke"
    known = (post(text)["url"], text)
    name, recipient = newcomer()
    for visitor in (admin, anonymous, recipient):
        visitor.timeout = IMPATIENCE
    found = People(admin, instance.secret("forum-admin", "username"), recipient, name, anonymous, known)
    yield found
    inside("web").check_output(
        'python -c "import django; django.setup(); from misago.threads.models import Thread; '
        f"[thread.delete() for thread in Thread.objects.filter(title__startswith='Ledger {found.tag}')]\""
    )


@pytest.mark.parametrize(("store", "fault", "seconds"), FAULTS, ids=lambda value: str(value))
def test_the_forum_keeps_serving(instance: Instance, people: People, store: str, fault: str, seconds: int) -> None:
    with people.at_work() as ledger:
        drill = instance.play("--tags", store, "-e", f"drill_faults={fault}", "-e", "drill_confirmed=true", playbook="playbooks/drill.yml")
    print(f"{store} {fault}: {ledger.summary()}")
    assert drill.status == 0, drill.failed
    assert ledger.wrong == [], ledger.summary()
    assert len(ledger.posts) >= 10, "too few posts to say anything"
    assert ledger.error_seconds() <= seconds, ledger.summary()
    assert people.missing_posts() == []
    until("every accepted post has notified its recipient", lambda: people.not_notified() == [], TASKS_DONE)
