# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set that was delivered, as an application sees it."""

from __future__ import annotations

import pytest
from instance import Instance
from ledger_pod import Client


@pytest.mark.covers("CH1-L06", "CH2-L01")
def test_three_members_of_one_set_each_under_its_own_name(ledger: Client, instance: Instance) -> None:
    found = ledger("status")
    hosts = [f"mongodb-{n}.mongodb-members.{instance.namespace}.svc.cluster.local:27017" for n in range(3)]
    assert sorted(member["host"] for member in found["config"]["members"]) == hosts
    assert sorted(found["hello"]) == hosts
    assert sorted(found["members"].values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]


@pytest.mark.covers("CH2-F12")
def test_the_application_is_given_all_members(instance: Instance) -> None:
    uri = instance.secret("mongodb", "uri")
    assert all(f"mongodb-{n}.mongodb-members." in uri for n in range(3))
    assert "replicaSet=rs0" in uri
    assert "authSource=admin" in uri
    assert "w=majority" in uri


def test_users_may_do_what_they_need_and_no_more(ledger: Client) -> None:
    assert ledger("allowed", "", "app") == [True, True]
    assert ledger("allowed", "", "other") == [False, False]
    assert ledger("allowed", "reports", "app") == [True, False]


def test_the_members_are_on_different_nodes(instance: Instance) -> None:
    nodes = [pod["spec"]["nodeName"] for pod in instance.pods("app.kubernetes.io/name=mongodb")]
    assert len(set(nodes)) == 3


def test_nobody_connects_who_does_not_say_so(instance: Instance, ledger: Client) -> None:
    """The same pod without the label, once its node's policies know it, is refused."""
    pods = instance.dynamic.resources.get(api_version="v1", kind="Pod")
    label = "stackgate.k3s/client-of-mongodb"

    def set_label(value: str | None) -> None:
        body = {"metadata": {"name": "ledger", "labels": {label: value}}}
        pods.patch(body=body, name="ledger", namespace=instance.namespace, content_type="application/merge-patch+json")

    assert ledger("reach") is True
    set_label(None)
    try:
        assert ledger("reach", "refused") is False
    finally:
        set_label("true")
    assert ledger("reach") is True


def test_no_member_was_restarted_and_all_are_ready(instance: Instance) -> None:
    for pod in instance.pods("app.kubernetes.io/component=mongodb"):
        assert all(status["ready"] and status["restartCount"] == 0 for status in pod["status"]["containerStatuses"]), pod["metadata"][
            "name"
        ]


def test_the_key_and_the_passwords_are_in_no_specification(instance: Instance) -> None:
    text = str([instance.objects("apps/v1", "StatefulSet"), instance.pods(), instance.objects("v1", "ConfigMap")])
    for secret, key in (("mongodb-key", "key"), ("mongodb-admin", "password"), ("mongodb", "password"), ("mongodb-exporter", "password")):
        assert instance.secret(secret, key).strip() not in text
