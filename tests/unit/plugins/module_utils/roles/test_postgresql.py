# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases and users of the role postgresql, from its variables."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import postgresql


def made(users=(), **more):
    return postgresql.content(users, "owner", "shop", **more)


def role(found, name):
    return next(one for one in found["roles"] if one["name"] == name)


def test_the_application_owns_its_database():
    found = made(extensions=["hstore"])
    assert found["databases"] == [{"name": "shop", "owner": "owner", "extensions": ["hstore"], "connect": []}]
    assert role(found, "owner")["password_key"] == "password"
    assert found["values"] == {"host": "postgresql", "port": "5432", "database": "shop", "username": "owner"}
    assert found["fields"]["uri"] == "postgresql://${username}:${password}@${host}:${port}/${database}"
    assert found["fields"]["leader-uri"] == "postgresql://${username}:${password}@postgresql-leader:${port}/${database}"


def test_clients_are_told_to_encrypt():
    found = made([{"name": "reports"}], sslmode="require")
    assert found["values"]["sslmode"] == "require"
    uris = [key for key in found["fields"] if key.endswith("uri")]
    assert len(uris) == 4 and all(found["fields"][key].endswith("?sslmode=${sslmode}") for key in uris)
    assert "sslmode" not in made()["values"] and "?" not in made()["fields"]["uri"]


def test_a_further_database_has_its_own_user_and_keys():
    found = made(databases=[{"name": "second", "username": "guest", "extensions": None}])
    assert found["databases"][1] == {"name": "second", "owner": "guest", "extensions": [], "connect": []}
    assert found["values"]["second-username"] == "guest"
    assert "second-password" in found["generate"]
    assert found["fields"]["second-uri"].endswith("@${host}:${port}/second")


def test_a_further_user_may_connect_and_what_its_roles_may_do():
    found = made([{"name": "reports", "member_of": ["pg_read_all_data"], "connection_limit": 3}, {"name": "visitor"}])
    assert found["databases"][0]["connect"] == ["reports", "visitor"]
    reports = role(found, "reports")
    assert (reports["password_secret"], reports["password_key"]) == ("postgresql", "reports-password")
    assert (reports["member_of"], reports["connection_limit"]) == (["pg_read_all_data"], 3)
    assert (role(found, "visitor")["member_of"], role(found, "visitor")["connection_limit"]) == ([], -1)


def test_the_exporter_reads_statistics_alone_and_is_no_applications():
    found = made()
    exporter = role(found, "exporter")
    assert (exporter["password_secret"], exporter["member_of"]) == ("postgresql-members", ["pg_monitor"])
    assert "exporter-password" not in found["generate"]


def test_each_pair_of_database_and_user_is_a_pool():
    assert made()["pools"] == 1
    assert made([{"name": "reports"}], databases=[{"name": "second", "username": "guest"}])["pools"] == 3


@pytest.mark.parametrize(
    ("users", "databases", "words"),
    [
        ([{"name": "owner"}], [], ["2 users are called owner"]),
        ([], [{"name": "shop", "username": "other"}], ["2 databases are called shop"]),
        ([{"name": "postgres"}], [], ["postgres is a user of the role itself"]),
        ([{"name": "pooler"}], [], ["pooler is a user of the role itself"]),
        ([], [{"name": "template1", "username": "other"}], ["template1 is a database of the role itself"]),
        ([{"name": "Reports"}], [], ["the user 'Reports'"]),
        ([{"name": "a" * 64}], [], ["at most 63"]),
        ([{"name": "with space"}], [], ["the user 'with space'"]),
        ([], [{"name": "", "username": "other"}], ["the database ''"]),
        ([{"name": "second"}], [{"name": "second", "username": "other"}], ["second is the name of a database and of a further user"]),
        ([{"name": "visitor", "database": "nowhere"}], [], ["visitor: there is no database nowhere"]),
    ],
)
def test_what_cannot_be_is_refused(users, databases, words):
    with pytest.raises(StackgateError) as refused:
        made(users, databases=databases)
    assert all(word in str(refused.value) for word in [*words, "nothing was changed"])
