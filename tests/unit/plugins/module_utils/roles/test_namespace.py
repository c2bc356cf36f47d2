# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace, made by whoever may make it."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.namespace import ensure, remove

LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}


def refusal(status, reason):
    return ApiError("a request", status, {"reason": reason, "message": reason})


class Cluster:
    """One namespace, and an identity that may do what it is told."""

    def __init__(self, labels=None, phase="Active", may=("get", "apply", "delete", "work")):
        self.labels, self.phase, self.rights = labels, phase, may
        self.applied = []

    def _need(self, right):
        if right not in self.rights:
            raise refusal(403, "Forbidden")

    def get(self, api_version, kind, name, namespace=None):
        self._need("get")
        return None if self.labels is None else {"metadata": {"name": name, "labels": self.labels}, "status": {"phase": self.phase}}

    def apply(self, document, *, dry_run=False, force=True):
        self._need("apply")
        self.applied.append((document, dry_run))
        return {"metadata": {"labels": {**(self.labels or {}), **document["metadata"]["labels"]}}}

    def delete(self, api_version, kind, name, namespace=None, *, dry_run=False, propagation="Background"):
        self._need("delete")
        return self.labels is not None

    def may(self, verb, group, resource, namespace=None, name="", subresource=""):
        return "work" in self.rights


def test_it_is_made():
    cluster = Cluster()
    outcome = ensure(cluster, "shop", LABELS, dry_run=False)
    assert outcome.changed
    assert outcome.after == LABELS
    assert cluster.applied == [({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": LABELS}}, False)]


def test_check_mode_makes_nothing():
    cluster = Cluster()
    assert ensure(cluster, "shop", LABELS, dry_run=True).changed
    assert [dry_run for _document, dry_run in cluster.applied] == [True]


def test_nothing_to_do_asks_for_no_right():
    outcome = ensure(Cluster({**LABELS, "other": "x"}, may=("get",)), "shop", LABELS, dry_run=False)
    assert not outcome.changed
    assert not outcome.warning


def test_labels_that_may_not_be_set_are_a_warning_with_the_command():
    outcome = ensure(Cluster({}, may=("get", "work")), "shop", LABELS, dry_run=False)
    assert not outcome.changed
    assert outcome.lacking == LABELS
    assert "kubectl label --overwrite namespace shop pod-security.kubernetes.io/enforce=restricted" in outcome.warning


def test_none_and_no_right_to_make_one():
    with pytest.raises(StackgateError, match="kubectl create namespace shop"):
        ensure(Cluster(may=("get",)), "shop", LABELS, dry_run=False)


def test_unreadable_but_usable():
    outcome = ensure(Cluster({}, may=("work",)), "shop", LABELS, dry_run=False)
    assert not outcome.changed
    assert "cannot be read" in outcome.warning


def test_unreadable_and_unusable():
    with pytest.raises(StackgateError, match=r"docs/rights\.md"):
        ensure(Cluster({}, may=()), "shop", LABELS, dry_run=False)


def test_one_that_is_ending_is_not_deployed_to():
    with pytest.raises(StackgateError, match="being deleted"):
        ensure(Cluster({}, phase="Terminating"), "shop", LABELS, dry_run=False)


def test_other_refusals_are_not_swallowed():
    cluster = Cluster({})
    cluster.get = lambda *_args: (_never for _never in ()).throw(refusal(500, "InternalError"))
    with pytest.raises(ApiError):
        ensure(cluster, "shop", LABELS, dry_run=False)


def test_it_is_deleted_where_that_is_allowed():
    assert remove(Cluster({}), "shop", dry_run=False).changed
    assert not remove(Cluster(None), "shop", dry_run=False).changed
    stays = remove(Cluster({}, may=("get",)), "shop", dry_run=False)
    assert not stays.changed
    assert "stays" in stays.warning


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_a_namespace_of_the_cluster_is_left_alone(name):
    cluster = Cluster({})
    with pytest.raises(StackgateError, match="belongs to the cluster"):
        ensure(cluster, name, LABELS, dry_run=False)
    assert not cluster.applied
