# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members and users of the role mongodb, from its variables."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import mongodb

DOMAIN = "mongodb-members.shop.svc.cluster.local"
HOSTS = "a:27017,b:27017,c:27017"


def made(own=None, replicas=3, **more):
    return mongodb.members(own or {}, "rs0", replicas, DOMAIN, **more)


def test_one_member_for_each_pod_under_its_full_name():
    members = made()
    assert [member["name"] for member in members] == ["mongodb-0", "mongodb-1", "mongodb-2"]
    assert all(member["pod"] == member["name"] for member in members)
    assert members[0]["host"] == f"mongodb-0.{DOMAIN}:27017"


def test_the_arbiter_comes_last_and_bears_nothing_that_the_server_refuses():
    last = made(replicas=2, arbiter=True)[-1]
    assert (last["pod"], last["arbiter"]) == ("mongodb-arbiter-0", True)
    assert not {"tags", "horizons", "priority"} & set(last)


def test_what_a_member_has_of_its_own_is_taken_by_name():
    members = made({"mongodb-2": {"hidden": True, "secondary_delay_s": 3600, "tags": {"use": "reports"}}})
    assert (members[2]["hidden"], members[2]["secondary_delay_s"], members[2]["tags"]) == (True, 3600, {"use": "reports"})
    assert (members[1]["hidden"], members[1]["tags"]) == (False, {})


@pytest.mark.parametrize("replicas", [1, 3, 5, 7])
def test_odd_numbers_are_fine(replicas):
    assert len(made(replicas=replicas)) == replicas


@pytest.mark.parametrize(
    ("own", "more", "words"),
    [
        ({}, {"replicas": 4}, ["4: 1 of them may fail, as of 3", "mongodb_arbiter on"]),
        ({}, {"replicas": 3, "arbiter": True}, ["4: 1 of them", "mongodb_arbiter off"]),
        ({"mongodb-0": {"votes": 0}}, {}, ["2: 0 of them may fail"]),
        ({"mongodb-3": {}}, {}, ["there is no member mongodb-3", "mongodb-0, mongodb-1, mongodb-2"]),
        ({"mongodb-1": {"prioritty": 2}}, {}, ["mongodb-1: prioritty is unknown"]),
        ({"mongodb-1": {"host": "elsewhere"}}, {}, ["mongodb-1: host is unknown"]),
        ({"mongodb-1": 2}, {}, ["mongodb-1: 2"]),
        ({"mongodb-1": {"secondary_delay_s": -1}}, {}, ["mongodb-1", "-1 s"]),
        ({"mongodb-1": {"hidden": True, "priority": 1}}, {}, ["mongodb-1: priority 1, yet hidden"]),
        ({}, {"replicas": 9}, ["9 voting members"]),
        ({}, {"replicas": 0}, ["0 members"]),
        ({}, {"settings": {"electionTimeout": 5}}, ["setting electionTimeout"]),
    ],
)
def test_what_cannot_be_is_told_in_words(own, more, words):
    with pytest.raises(StackgateError) as error:
        made(own, **more)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_an_even_number_needs_a_yes():
    assert len(made(replicas=2, even_votes=True)) == 2


def users(*further, username="app", database="app"):
    return mongodb.users(further, username, database, HOSTS, "rs0")


def test_the_secret_holds_the_whole_seed_list():
    found = users()
    assert found["fields"]["uri"] == "mongodb://${username}:${password}@${hosts}/app?replicaSet=rs0&authSource=admin&w=majority"
    assert found["values"]["hosts"] == HOSTS
    assert found["generate"] == {"password": {}}


def test_each_user_has_keys_of_its_own():
    found = users({"name": "carts", "database": "shop"})
    assert set(found["generate"]) == {"password", "carts-password"}
    assert found["values"]["carts-username"] == "carts"
    assert found["fields"]["carts-uri"].startswith("mongodb://${carts-username}:${carts-password}@${hosts}/shop?")


def test_everybody_has_the_least_roles():
    accounts = {account["name"]: account for account in users({"name": "reports", "database": "app", "roles": ["read"]})["accounts"]}
    roles = {name: [(role["role"], role["db"]) for role in account["roles"]] for name, account in accounts.items()}
    assert roles == {
        "app": [("readWrite", "app")],
        "reports": [("read", "app")],
        "exporter": [("clusterMonitor", "admin"), ("read", "local")],
        "backup": [("backup", "admin")],
    }
    assert (accounts["reports"]["password_secret"], accounts["reports"]["password_key"]) == ("mongodb", "reports-password")
    assert (accounts["backup"]["password_secret"], accounts["backup"]["password_key"]) == ("mongodb-backup", "password")


@pytest.mark.parametrize(
    ("further", "word"),
    [
        ([{"name": "app", "database": "x"}], "2 users are called app"),
        ([{"name": "backup", "database": "x"}], "backup is a user of the role itself"),
        ([{"name": "a b", "database": "x"}], "'a b'"),
        ([{"name": "a", "database": "x/y"}], "'x/y'"),
        ([{"name": "a", "database": ""}], "''"),
    ],
)
def test_names_that_cannot_be_are_told(further, word):
    with pytest.raises(StackgateError, match="mongodb_users") as error:
        users(*further)
    assert word in str(error.value)
