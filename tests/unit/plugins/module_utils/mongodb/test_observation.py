# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.observation import OpTime, Standing, observe, observe_member
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.mongodb.recorded_members import RECORDED, recorded


@pytest.mark.parametrize(
    ("name", "standing", "state"),
    [
        ("uninitialised", Standing.UNINITIALISED, ""),
        ("standalone", Standing.STANDALONE, ""),
        ("primary", Standing.MEMBER, "PRIMARY"),
        ("secondary", Standing.MEMBER, "SECONDARY"),
        ("arbiter", Standing.MEMBER, "ARBITER"),
        ("initial sync", Standing.MEMBER, "STARTUP2"),
        ("removed", Standing.REMOVED, ""),
        ("needs login, uninitialised", Standing.UNINITIALISED, ""),
        ("needs login, primary", Standing.MEMBER, "PRIMARY"),
        ("key: restarted member", Standing.MEMBER, "RECOVERING"),
    ],
)
def test_the_standing_of_a_recorded_member(name: str, standing: Standing, state: str) -> None:
    found = recorded(name)
    assert (found.standing, found.state) == (standing, state)


def test_a_primary_tells_all_that_a_planner_needs() -> None:
    found = recorded("primary", clock_offset_s=0.25)
    assert found.writable and found.sound and found.reachable and found.in_own_config
    assert (found.me, found.primary, found.set_name, found.term) == ("127.0.0.21:27121", "127.0.0.21:27121", "rs0", 1)
    assert (found.voting_count, found.commitment, found.fcv, found.fcv_target) == (3, True, (5, 0), None)
    assert (found.default_write_concern_set, found.max_wire_version, found.clock_offset_s) == (False, 13, 0.25)
    assert [(peer.host, peer.state, peer.sound, peer.authenticated) for peer in found.peers] == [
        ("127.0.0.22:27122", "SECONDARY", True, True),
        ("127.0.0.23:27123", "SECONDARY", True, True),
    ]
    assert found.optime == OpTime(1, 1795260467, 7) == found.committed
    assert found.optime_date is not None and found.committed_date is not None and found.uptime_s is not None
    assert found.status["myState"] == 1 and found.hello["setVersion"] == 1


def test_a_set_default_write_concern_is_told_from_the_implicit_one() -> None:
    replies = {**RECORDED["primary"]["replies"], **RECORDED["default write concern set"]["replies"]}
    assert observe_member("a:1", replies).default_write_concern_set is True
    assert recorded("uninitialised").default_write_concern_set is None


def test_an_interrupted_change_of_feature_compatibility_shows_both() -> None:
    found = recorded("feature compatibility 4.4")
    assert (found.fcv, found.fcv_target) == ((4, 4), (5, 0))


def test_a_member_that_does_not_answer_says_why() -> None:
    found = observe_member("a:1", {"hello": {"errmsg": "connection refused"}})
    assert (found.standing, found.error, found.reachable) == (Standing.UNREACHABLE, "connection refused", False)
    quiescing = {"ok": 0.0, "errmsg": "The server is in quiesce mode and will shut down", "code": 91}
    assert observe_member("a:1", {"hello": quiescing}).standing is Standing.UNREACHABLE


def test_an_uninitialised_member_of_which_the_status_is_for_users_only() -> None:
    replies = {**RECORDED["uninitialised"]["replies"], "replSetGetStatus": {"errmsg": "not authorized", "code": 13}}
    found = observe_member("a:1", replies)
    assert (found.standing, found.error) == (Standing.NEEDS_LOGIN, "not authorized")


def test_user_data_on_an_uninitialised_member() -> None:
    replies = dict(RECORDED["uninitialised"]["replies"])
    assert observe_member("a:1", replies).has_user_data is False  # its feature compatibility version was never written
    assert observe_member("a:1", replies, logged_in=True).has_user_data is True
    for collections in (0, 3):
        counted = {**replies, "serverStatus": {"catalogStats": {"collections": collections}, "ok": 1.0}}
        assert observe_member("a:1", counted).has_user_data is (collections > 0)
    del replies["getParameter"]
    assert observe_member("a:1", replies).has_user_data is None
    assert recorded("primary", logged_in=True).has_user_data is None


def test_data_of_another_set() -> None:
    assert observe("other", [recorded("wrong set name")]).members[0].standing is Standing.WRONG_SET_NAME
    # The same process as its operator meant it: data of rs0, started with --replSet other. Only its command line tells.
    replies = {**RECORDED["wrong set name"]["replies"], "getCmdLineOpts": {"parsed": {"replication": {"replSet": "other"}}, "ok": 1.0}}
    assert observe("rs0", [observe_member("127.0.0.65:27165", replies)]).members[0].standing is Standing.WRONG_SET_NAME
    assert observe("rs0", [recorded("wrong set name")]).members[0].standing is Standing.REMOVED


def test_a_member_at_another_address_is_not_in_its_own_configuration() -> None:
    assert not recorded("other address").in_own_config
    assert recorded("wrong set name").in_own_config


def test_a_member_that_the_primary_does_not_authenticate_has_the_wrong_key() -> None:
    found = observe("rs0", [recorded("key: primary"), recorded("key: uninitialised member")])
    assert [m.standing for m in found.members] == [Standing.MEMBER, Standing.WRONG_KEY]
    primary = observe_member("127.0.0.51:27151", {**RECORDED["key: primary"]["replies"], **RECORDED["key: primary later"]["replies"]})
    found = observe("rs0", [primary, recorded("key: restarted member")])
    assert [m.standing for m in found.members] == [Standing.MEMBER, Standing.WRONG_KEY]
    # Without the primary's word the restarted member is the only witness, and nobody it speaks of was seen.
    assert observe("rs0", [recorded("key: restarted member")]).members[0].standing is Standing.MEMBER


def test_a_voter_that_the_server_is_still_adding() -> None:
    assert observe("rs0", [recorded("voter being added")]).votes_pending == 1
    assert observe("rs0", [recorded("primary")]).votes_pending == 0


def test_the_set_as_a_whole() -> None:
    found = observe("rs0", [recorded("primary"), recorded("secondary"), recorded("uninitialised", logged_in=None)])
    assert found.primary is found.members[0] and found.config is found.members[0].config
    assert found.sets == {"6b01802713211e279f1885af": ("127.0.0.21:27121",)}
    assert found.member("127.0.0.22:27122") is found.members[1] and found.member("x:1") is None
    assert found.standing("x:1") is Standing.UNREACHABLE
    assert found.sound("127.0.0.23:27123"), "the primary sees it, although nobody asked it"
    assert not found.sound("x:1")
    assert [m.host for m in found.initialised] == ["127.0.0.21:27121", "127.0.0.22:27122"]


def test_without_a_primary_the_newest_configuration_counts() -> None:
    assert observe("rs0", [recorded("removed"), recorded("arbiter")]).config is not None
    found = observe("rs0", [recorded("removed")])
    assert found.config is not None and found.config.version == 4 and found.primary is None
