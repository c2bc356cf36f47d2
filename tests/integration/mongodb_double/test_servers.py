# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests expect of the servers that they start: an unmodified driver, real kills, partitions, keys."""

from __future__ import annotations

import pymongo
import pytest
from mongodb_servers import PASSWORD, MongodServer, ReplicaSetServers, real_mongod
from waiting import until

SPEED = 10.0


def uri(servers: ReplicaSetServers, login: str = "") -> str:
    return f"mongodb://{login}{','.join(servers.hosts)}/?replicaSet={servers.name}&serverSelectionTimeoutMS=120000"


def test_the_driver_finds_the_primary_and_a_new_one() -> None:
    with ReplicaSetServers(3, speed=SPEED) as servers:
        first = servers.initiate()
        with pymongo.MongoClient(uri(servers), w="majority") as client:
            client["app"]["ledger"].insert_one({"_id": 1})
            assert client.primary == (first.address, first.port)
            first.kill()
            client["app"]["ledger"].insert_one({"_id": 2})
            assert client.primary != (first.address, first.port)
            first.start()
            assert [document["_id"] for document in client["app"]["ledger"].find()] == [1, 2]
            until(
                "the old primary has what was written without it",
                lambda: first.command({"find": "ledger"}, "app", readPreference="secondaryPreferred")["cursor"]["firstBatch"],
                holds=lambda found: found == [{"_id": 1}, {"_id": 2}],
                passing=(pymongo.errors.PyMongoError,),
            )


def test_data_survives_the_death_of_all_members() -> None:
    with ReplicaSetServers(3, speed=SPEED) as servers:
        servers.initiate().command({"insert": "c", "documents": [{"_id": 1}], "writeConcern": {"w": "majority"}}, "app")
        for member in servers.members:
            member.kill()
        servers.start()
        assert servers.wait_primary().command({"find": "c"}, "app")["cursor"]["firstBatch"] == [{"_id": 1}]


@pytest.mark.skipif(bool(real_mongod()), reason="a real server takes no orders")
def test_a_partition_moves_the_primary() -> None:
    with ReplicaSetServers(3, speed=SPEED) as servers:
        old = servers.initiate()
        others = [member for member in servers.members if member is not old]
        servers.partition([old], others)

        def writable() -> list[bool]:
            return [member.command("hello")["isWritablePrimary"] for member in (old, *others)]

        until("the majority has a primary, and the minority none", writable, holds=lambda seen: not seen[0] and any(seen))
        servers.heal()
        until(
            "the old primary follows",
            lambda: old.command("hello").get("primary"),
            holds=lambda primary: primary in [other.host for other in others],
        )


def test_logins_and_the_end_of_the_exception() -> None:
    with ReplicaSetServers(3, auth=True, speed=SPEED) as servers:
        servers.initiate()
        servers.create_admin()
        with pytest.raises(pymongo.errors.OperationFailure, match="requires authentication"):
            servers.members[0].command("replSetGetStatus")
        for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
            with pymongo.MongoClient(uri(servers, f"root:{PASSWORD}@"), authMechanism=mechanism) as client:
                assert len(client.admin.command("replSetGetStatus")["members"]) == 3


def test_a_key_file_is_replaced_without_an_interruption() -> None:
    """Both keys everywhere, then the new one alone, one member after the other: always a primary and two secondaries that follow."""
    with ReplicaSetServers(3, auth=True, speed=SPEED) as servers:
        servers.initiate()
        servers.create_admin()
        old = servers.key_file.read_text(encoding="utf-8")
        login = {"username": "root", "password": PASSWORD}
        for name, keys in (("both", (old, "bmV3LWtleQ==")), ("both-new-first", ("bmV3LWtleQ==", old)), ("new", ("bmV3LWtleQ==",))):
            path = servers.write_key(name, *keys)
            for member in servers.members:
                member.options[member.options.index("--keyFile") + 1] = str(path)
                member.restart()
                primary = _wait_all_up(servers, login)
            insert = {"insert": "c", "documents": [{"_id": name}], "writeConcern": {"w": 3, "wtimeout": 600_000}}
            assert "writeConcernError" not in primary.command(insert, "app", **login)


def _wait_all_up(servers: ReplicaSetServers, login: dict[str, str]) -> MongodServer:
    """The primary, once it sees itself and two secondaries."""

    def states() -> list[str]:
        return sorted(member["stateStr"] for member in servers.primary.command("replSetGetStatus", **login)["members"])

    until("all are up", states, holds=lambda seen: seen == ["PRIMARY", "SECONDARY", "SECONDARY"], passing=(pymongo.errors.PyMongoError,))
    return servers.primary
