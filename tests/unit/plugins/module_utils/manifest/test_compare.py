# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a difference, and how one is shown."""

from __future__ import annotations

import copy

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import compare


def secret(**data):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "b2xk", compare.SALT: "salz"},
        },
        "data": data,
    }


def test_a_real_deployment_is_the_same_read_listed_and_rehearsed(deployment_recorded):
    assert compare.same(deployment_recorded["get"], deployment_recorded["listed"])
    assert compare.same(deployment_recorded["get"], deployment_recorded["same"])
    owned = compare.owned(deployment_recorded["get"], "stackgate")
    assert owned
    assert owned == compare.owned(deployment_recorded["same"], "stackgate")


def test_quantities_in_another_spelling_are_the_same(deployment_recorded):
    assert compare.same(deployment_recorded["get"], deployment_recorded["equal_quantity"])


def test_a_real_change_is_seen_and_nothing_else_is_shown(deployment_recorded):
    assert not compare.same(deployment_recorded["get"], deployment_recorded["changed"])
    shown = compare.difference("Deployment/web", deployment_recorded["get"], deployment_recorded["changed"])
    before, after = shown["before"].splitlines(), shown["after"].splitlines()
    differing = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert differing == [("  replicas: 0", "  replicas: 2")]


def test_status_versions_and_bookkeeping_make_no_difference(deployment_recorded):
    other = copy.deepcopy(deployment_recorded["get"])
    other["status"] = {"replicas": 7}
    other["metadata"].update(resourceVersion="0", generation=9, managedFields=[], uid="x")
    other["metadata"].setdefault("annotations", {})["deployment.kubernetes.io/revision"] = "12"
    assert compare.same(deployment_recorded["get"], other)


def test_labels_and_annotations_make_a_difference(deployment_recorded):
    for part in ("labels", "annotations"):
        other = copy.deepcopy(deployment_recorded["get"])
        other["metadata"].setdefault(part, {})["new"] = "x"
        assert not compare.same(deployment_recorded["get"], other)


def test_secrets_show_which_value_changed_and_none():
    shown = compare.difference("Secret/s", secret(a="b2xk", b="c2FtZQ=="), secret(a="bmV3", b="c2FtZQ==", c="bW9yZQ=="))
    text = "\n".join(shown.values())
    for value in ("b2xk", "bmV3", "c2FtZQ==", "bW9yZQ==", "salz"):
        assert value not in text
    assert "a: (hidden)\n  b: (hidden)\n" in shown["before"]
    assert "a: (hidden, new value)\n  b: (hidden)\n  c: (hidden, new value)\n" in shown["after"]


def test_a_new_and_a_deleted_secret_show_no_value():
    for before, after in ((None, secret(a="bmV3")), (secret(a="bmV3"), None)):
        shown = compare.difference("Secret/s", before, after)
        assert "bmV3" not in "".join(shown.values())
        assert "a: (hidden)" in shown["before"] + shown["after"]
        assert "(absent)" in shown["before_header"] + shown["after_header"]


def test_masking_does_not_touch_the_objects():
    given = secret(a="bmV3")
    compare.difference("Secret/s", given, given)
    assert given == secret(a="bmV3")


def test_files_in_configmaps_stay_readable():
    assert "conf: |\n" in compare.to_yaml({"data": {"conf": "line 1\nline 2\n"}})
