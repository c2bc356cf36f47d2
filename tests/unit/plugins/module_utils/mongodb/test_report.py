# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and data about what was observed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64, ObjectId, Timestamp

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.config import ReplicaSetConfig
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import MemberObservation, Observation, Standing
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.report import plain, set_data, short, states

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONFIG = ReplicaSetConfig(
    {
        "_id": "rs0",
        "version": 2,
        "term": 1,
        "members": [{"_id": 0, "host": "db-0.db.shop.svc:27017"}, {"_id": 1, "host": "db-1.db.shop.svc:27017", "votes": 0, "priority": 0}],
        "settings": {"replicaSetId": ObjectId("6920521e8a4f3c0b5d2e7f11")},
    }
)
PRIMARY = MemberObservation(
    "db-0.db.shop.svc:27017", Standing.MEMBER, state="PRIMARY", writable=True, config=CONFIG, optime_date=NOW, fcv=(5, 0), version=(5, 0, 7)
)
SECONDARY = MemberObservation(
    "db-1.db.shop.svc:27017",
    Standing.MEMBER,
    state="SECONDARY",
    config=CONFIG,
    optime_date=NOW - timedelta(seconds=3),
    clock_offset_s=0.12345,
)
LOST = MemberObservation("db-2.db.shop.svc:27017", Standing.UNREACHABLE, error="no answer in time")
NEW = MemberObservation("10.0.0.3:27017", Standing.UNINITIALISED)
ALL = Observation("rs0", (PRIMARY, SECONDARY, LOST, NEW))


@pytest.mark.parametrize(
    ("host", "told"),
    [("db-0.db.shop.svc:27017", "db-0"), ("db-0.db:27018", "db-0:27018"), ("10.0.0.3:27017", "10.0.0.3:27017"), ("db", "db")],
)
def test_hosts_are_short_where_they_are_names(host: str, told: str) -> None:
    assert short(host) == told


def test_states_on_one_line() -> None:
    assert states(ALL) == "db-0 PRIMARY, db-1 SECONDARY, db-2 unreachable (no answer in time), 10.0.0.3:27017 uninitialised"
    assert states(Observation("rs0", ())) == "no member was asked"


def test_a_set_as_data() -> None:
    found = set_data(ALL, {"db-1.db.shop.svc:27017": "second"})
    assert (found["set_id"], found["primary"], found["feature_compatibility_version"]) == ("6920521e8a4f3c0b5d2e7f11", PRIMARY.host, "5.0")
    first, second, third, _fourth = found["members"]
    assert (second["name"], second["lag_s"], second["votes"], second["clock_offset_s"]) == ("second", 3.0, 0, 0.123)
    assert (first["lag_s"], first["version"], third["standing"], third["error"]) == (None, "5.0.7", "unreachable", "no answer in time")
    json.dumps(found)


def test_no_set_as_data() -> None:
    found = set_data(Observation("rs0", (LOST,)), {})
    assert (found["set_id"], found["primary"], found["config"]) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": Int64(5)}, {"a": 5}),
        ([ObjectId("6920521e8a4f3c0b5d2e7f11")], ["6920521e8a4f3c0b5d2e7f11"]),
        (Timestamp(1, 2), "Timestamp(1, 2)"),
        (True, True),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_documents_without_bson(value: Any, told: Any) -> None:
    assert plain(value) == told and type(plain(value)) is type(told)
