# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Secret in the cluster: made once, by whoever comes first."""

from __future__ import annotations

import base64
import copy

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import compare
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import store, values

PLACE = store.Place("db", "ns", "Opaque", {"app.kubernetes.io/instance": "shop"})


class FakeCluster:
    """Secrets by name, with versions. before_write: called once before a write, to be the other one."""

    def __init__(self):
        self.secrets = {}
        self.version = 0
        self.writes = 0
        self.before_write = []
        self.errors = []

    def get(self, api_version, kind, name, namespace=None):
        return copy.deepcopy(self.secrets.get(name))

    def _put(self, document, dry_run):
        for error in self.errors:
            raise error
        if not dry_run:
            self.version += 1
            self.writes += 1
            stored = copy.deepcopy(document)
            stored["metadata"] = {key: part for key, part in stored["metadata"].items() if part}
            stored["metadata"].update(resourceVersion=str(self.version), uid=stored["metadata"].get("uid", "u"))
            self.secrets[document["metadata"]["name"]] = stored

    def create(self, document, *, dry_run=False):
        if self.before_write:
            self.before_write.pop(0)()
        if document["metadata"]["name"] in self.secrets:
            raise ApiError("create", 409, {"reason": "AlreadyExists"})
        self._put(document, dry_run)

    def replace(self, document, *, dry_run=False):
        if self.before_write:
            self.before_write.pop(0)()
        if self.secrets[document["metadata"]["name"]]["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"]:
            raise ApiError("replace", 409, {"reason": "Conflict"})
        self._put(document, dry_run)

    def delete(self, api_version, kind, name, namespace=None, *, dry_run=False, uid=""):
        assert uid == self.secrets[name]["metadata"]["uid"]
        if not dry_run:
            del self.secrets[name]
        return True


@pytest.fixture
def cluster():
    return FakeCluster()


def request(rotate=(), **fields):
    return values.request({"password": None}, None, fields, list(rotate))


def value(cluster, key="password"):
    return base64.b64decode(cluster.secrets["db"]["data"][key])


def test_made_once(cluster):
    first = store.ensure(cluster, PLACE, request())
    password = value(cluster)
    second = store.ensure(cluster, PLACE, request())
    assert (first.changed, second.changed) == (True, False)
    assert value(cluster) == password
    assert cluster.writes == 1
    assert first.checksum == second.checksum


def test_made_once_without_labels(cluster):
    """The server stores no empty mapping."""
    place = store.Place("db", "ns", "Opaque", {})
    store.ensure(cluster, place, request())
    assert not store.ensure(cluster, place, request()).changed


def test_check_mode_writes_nothing_and_foretells(cluster):
    foretold = store.ensure(cluster, PLACE, request(), check=True)
    assert cluster.secrets == {}
    done = store.ensure(cluster, PLACE, request())
    assert foretold.actions == done.actions
    foretold = store.ensure(cluster, PLACE, request(uri="x://${password}"), check=True)
    done = store.ensure(cluster, PLACE, request(uri="x://${password}"))
    assert (foretold.actions, foretold.diff, foretold.checksum) == (done.actions, done.diff, done.checksum)


def test_the_checksum_follows_the_values_and_nothing_else(cluster):
    first = store.ensure(cluster, PLACE, request()).checksum
    labelled = store.Place("db", "ns", "Opaque", {"app.kubernetes.io/instance": "other"})
    relabelled = store.ensure(cluster, labelled, request())
    assert relabelled.changed
    assert relabelled.checksum == first
    assert store.ensure(cluster, PLACE, request(["password"])).checksum != first


def test_the_checksum_of_equal_values_differs_between_secrets(cluster):
    """Else it would tell that two instances share a password, and short values could be found by trying."""
    one = values.request(None, {"a": "1"}, None, None)
    first = store.ensure(cluster, PLACE, one).checksum
    store.remove(cluster, PLACE)
    assert store.ensure(cluster, PLACE, one).checksum != first


def test_nothing_that_is_returned_holds_a_value_or_the_salt(cluster):
    for rotate in ((), ("password",)):
        outcome = store.ensure(cluster, PLACE, request(rotate, uri="x://${password}"))
        secret = cluster.secrets["db"]
        for text in (value(cluster).decode(), secret["data"]["password"], secret["metadata"]["annotations"][compare.SALT]):
            assert text not in repr(outcome)
    assert "password: (hidden, new value)" in outcome.diff["after"]


def test_who_creates_first_wins(cluster):
    def other():
        other_outcome.append(store.ensure(cluster, PLACE, request()))

    other_outcome = []
    cluster.before_write = [other]
    outcome = store.ensure(cluster, PLACE, request())
    assert cluster.writes == 1
    assert not outcome.changed
    assert outcome.checksum == other_outcome[0].checksum


def test_who_updates_first_is_not_overwritten(cluster):
    store.ensure(cluster, PLACE, request())
    cluster.before_write = [lambda: store.ensure(cluster, PLACE, request(["password"]))]
    store.ensure(cluster, PLACE, request(uri="x://${password}"))
    assert value(cluster, "uri") == b"x://" + value(cluster)


def test_endless_conflict_is_an_error(cluster):
    cluster.errors = [ApiError("create", 409, {"reason": "AlreadyExists"})]
    with pytest.raises(StackgateError, match="6 times in a row"):
        store.ensure(cluster, PLACE, request())


def test_what_others_put_on_it_stays(cluster):
    store.ensure(cluster, PLACE, request())
    cluster.secrets["db"]["metadata"]["annotations"]["theirs"] = "x"
    cluster.secrets["db"]["metadata"]["labels"]["theirs"] = "y"
    store.ensure(cluster, PLACE, request(["password"]))
    assert cluster.secrets["db"]["metadata"]["annotations"]["theirs"] == "x"
    assert cluster.secrets["db"]["metadata"]["labels"] == {"theirs": "y", **PLACE.labels}


def test_a_secret_made_by_hand_is_adopted_with_its_values(cluster):
    cluster.create(
        {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "db"}, "data": {"password": "aHVudGVyMg=="}}
    )
    outcome = store.ensure(cluster, PLACE, request())
    assert outcome.actions == {"password": "unchanged"}
    assert value(cluster) == b"hunter2"


def test_another_type_is_an_error(cluster):
    store.ensure(cluster, PLACE, request())
    with pytest.raises(StackgateError, match="the type of a Secret is fixed"):
        store.ensure(cluster, store.Place("db", "ns", "kubernetes.io/basic-auth", {}), request())


def test_no_namespace(cluster):
    cluster.errors = [ApiError("create", 404, {"reason": "NotFound", "message": 'namespaces "ns" not found'})]
    assert store.ensure(cluster, PLACE, request(), check=True).changed
    with pytest.raises(StackgateError, match="the namespace ns does not exist"):
        store.ensure(cluster, PLACE, request())


def test_a_missing_right_is_named_without_a_value(cluster):
    message = 'secrets is forbidden: User "jane" cannot create resource "secrets" in API group "" in the namespace "ns"'
    cluster.errors = [ApiError("create", 403, {"reason": "Forbidden", "message": message})]
    for check in (True, False):
        with pytest.raises(StackgateError, match="jane lacks the right to create secrets in namespace ns"):
            store.ensure(cluster, PLACE, request(), check=check)


def test_a_secret_that_is_being_deleted_is_an_error(cluster):
    store.ensure(cluster, PLACE, request())
    cluster.secrets["db"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(StackgateError, match="is not being deleted"):
        store.ensure(cluster, PLACE, request())


def test_remove(cluster):
    assert not store.remove(cluster, PLACE).changed
    store.ensure(cluster, PLACE, request())
    password = value(cluster).decode()
    foretold = store.remove(cluster, PLACE, check=True)
    assert "db" in cluster.secrets
    done = store.remove(cluster, PLACE)
    assert foretold == done
    assert done.actions == {"password": "removed"}
    assert password not in repr(done)
    assert cluster.secrets == {}
