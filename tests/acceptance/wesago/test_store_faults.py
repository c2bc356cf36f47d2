# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forum while its stores fail over: somebody posts every second through the ingress, and everybody's pages stay the right ones.

The faults are those of playbooks/drill.yml, which keeps a ledger of its own, inside the store.
"""

from __future__ import annotations

import pytest
from forum_ledger import TASKS_DONE, People
from instance import Instance
from ledger_pod import until

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
    with people.at_work() as ledger:
        drill = instance.play("--tags", store, "-e", f"drill_faults={fault}", "-e", "drill_confirmed=true", playbook="playbooks/drill.yml")
    print(f"{store} {fault}: {ledger.summary()}")
    assert drill.status == 0, drill.failed
    assert ledger.wrong == [], ledger.summary()
    assert len(ledger.posts) >= 10, "too few posts to say anything"
    assert ledger.error_seconds() <= seconds, ledger.summary()
    assert people.missing_posts() == []
    until("every accepted post has notified its recipient", lambda: people.not_notified() == [], TASKS_DONE)
