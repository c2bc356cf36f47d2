# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forum while its stores fail over: somebody posts every second through the ingress, and everybody's pages stay the right ones.

The faults are those of playbooks/drill.yml, which keeps a ledger of its own, inside the store.
"""

from __future__ import annotations

import re

import pytest
from forum_ledger import TASKS_DONE, People
from instance import Instance, Run
from waiting import until

pytestmark = [pytest.mark.disrupts]

# Seconds in which posting may fail, at most: those that the store promises for this fault. Nothing is promised for the loss of all
# its pods at once but that it comes back by itself.
FAULTS = [
    ("redis", "switchover", 1),
    ("redis", "process", 6),
    ("redis", "pod", 6),
    ("redis", "all_pods", 30),
    ("redis", "node", 6),
    ("redis", "network", 6),
    ("postgresql", "switchover", 2),
    ("postgresql", "process", 5),
    ("postgresql", "pod", 5),
    ("postgresql", "all_pods", 60),
    ("postgresql", "node", 25),
    ("postgresql", "network", 25),
]


@pytest.mark.parametrize(("store", "fault", "seconds"), FAULTS, ids=str)
def test_the_forum_keeps_serving(instance: Instance, people: People, store: str, fault: str, seconds: int) -> None:
    if fault in ("node", "network"):
        part(instance, store)
    with people.at_work() as ledger:
        broken = drill(instance, store, fault)
    print(f"{store} {fault}: {ledger.summary()}")
    assert broken.status == 0, broken.failed
    assert ledger.wrong == [], ledger.summary()
    assert len(ledger.posts) >= 10, "too few posts to say anything"
    assert ledger.error_seconds() <= seconds, ledger.summary()
    assert people.missing_posts() == []
    until("every accepted post has notified its recipient", lambda: people.not_notified() == [], TASKS_DONE)


def drill(instance: Instance, store: str, fault: str, *options: str) -> Run:
    arguments = ("--tags", store, "-e", f"drill_faults={fault}", "-e", "drill_confirmed=true", *options)
    return instance.play(*arguments, playbook="playbooks/drill.yml")


def part(instance: Instance, store: str) -> None:
    """Have the stores' leaders on two nodes: the loss of one is not to be a fault of the other store, too. node1 cannot be lost."""
    other = next(name for name, _fault, _seconds in FAULTS if name != store)
    for _time in range(6):
        nodes = [leaders_node(instance, one) for one in (store, other)]
        if nodes[0] not in ("node1", nodes[1]):
            return
        moved = drill(instance, store, "switchover")
        assert moved.status == 0, moved.failed
    raise AssertionError(f"the leaders of {store} and {other} are not on two nodes: {nodes}")


def leaders_node(instance: Instance, store: str) -> str:
    told = drill(instance, store, "node", "--check")
    found = re.search(r"since (\S+) is protected|power (\S+) off", told.output)
    assert found, told.output
    return found[1] or found[2]
