# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the phases of a change take for granted."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.desired import from_options
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.phases import leaving, with_new_pods

CONFIG = ReplicaSetConfig({"_id": "rs0", "version": 1, "members": [{"_id": n, "host": f"m{n}:27017"} for n in range(3)]})
SET = Observation("rs0", (MemberObservation("m0:27017", Standing.MEMBER, config=CONFIG),))
DESIRED = from_options("rs0", [{"host": "m0:27017"}, {"host": "m3:27017"}])


def test_members_of_the_set_that_are_not_wanted_leave() -> None:
    assert leaving(DESIRED, SET) == {"m1:27017", "m2:27017"}


def test_without_a_login_hello_tells_who_is_in_the_set() -> None:
    hello = {"hosts": ["m0:27017", "m1:27017"], "arbiters": ["m2:27017"]}
    unread = Observation("rs0", (MemberObservation("m0:27017", Standing.MEMBER, hello=hello),))
    assert leaving(DESIRED, unread) == {"m1:27017", "m2:27017"}
    assert leaving(DESIRED, Observation("rs0", ())) == set()


@pytest.mark.parametrize(
    ("error", "standing"),
    [
        ('404 NotFound: pods "mongodb-0" not found', Standing.UNINITIALISED),
        ("connection refused, nothing listens on that port in the pod", Standing.UNREACHABLE),
        ('secrets "x" not found', Standing.UNREACHABLE),
    ],
)
def test_pods_that_do_not_exist_will_be_empty(error: str, standing: Standing) -> None:
    observed = Observation("rs0", (MemberObservation("m0:27017", Standing.UNREACHABLE, error=error),))
    assert with_new_pods(observed).members[0].standing is standing
