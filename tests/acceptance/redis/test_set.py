# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The set that was delivered, as an application sees it."""

from __future__ import annotations

import secrets

import pytest
from instance import Instance
from redis_ledger import Ledger

# What a server says to a user who may not do that.
REFUSED = "no permissions"


@pytest.mark.covers("CH1-F26", "CH2-F11", "WE-F10")
def test_one_master_on_which_all_sentinels_agree(ledger: Ledger) -> None:
    found = ledger.status()
    assert sorted(found["servers"]) == [f"redis-{n}" for n in range(3)]
    assert sorted(found["servers"].values()) == ["master", "slave", "slave"]
    assert sorted(found["sentinels"]) == [f"redis-sentinel-{n}" for n in range(3)]
    assert ledger.master()


@pytest.mark.covers("CH2-L06", "CH2-L07")
def test_an_application_needs_the_uri_alone(ledger: Ledger, instance: Instance) -> None:
    uri = instance.secret("redis", "uri")
    assert uri == f"redis://app:{instance.secret('redis', 'password')}@redis:6379"
    assert instance.secret("redis", "cache-uri") == f"{uri}/1"
    name = secrets.token_hex(8)
    assert ledger("keep", name)
    assert ledger("find", name)


def test_an_application_may_ask_the_sentinels_itself(ledger: Ledger) -> None:
    assert ledger("by-sentinel") == {"read": "yes", "replicas": 2}


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["PUBLISH", "__sentinel__:hello", "127.0.0.1,26379,0,0,redis,127.0.0.1,6379,9999"], REFUSED),
        (["SPUBLISH", "__sentinel__:hello", "x"], REFUSED),
        (["PUBLISH", "news", "x"], "0"),
        (["CONFIG", "GET", "requirepass"], REFUSED),
        (["ACL", "LIST"], REFUSED),
        (["REPLICAOF", "NO", "ONE"], REFUSED),
        (["SHUTDOWN"], REFUSED),
        (["KEYS", "nothing*"], "[]"),
        (["EVAL", "return 7", "0"], "7"),
    ],
    ids=lambda given: " ".join(given[:2]) if isinstance(given, list) else "",
)
def test_the_application_cannot_touch_the_set(ledger: Ledger, command: list[str], answer: str) -> None:
    """Who can publish to the sentinels' channel can make them believe in another master."""
    assert answer in ledger("allowed", "", *command)


@pytest.mark.parametrize(
    ("user", "command"),
    [("check", ["GET", "x"]), ("exporter", ["GET", "x"]), ("replication", ["SET", "x", "y"]), ("sentinel", ["GET", "x"])],
)
def test_each_other_user_has_its_own_part_only(ledger: Ledger, user: str, command: list[str]) -> None:
    assert REFUSED in ledger("allowed", user, *command)


def test_members_of_a_kind_are_on_different_nodes(instance: Instance) -> None:
    def nodes(name: str) -> list[str]:
        return [pod["spec"]["nodeName"] for pod in instance.pods(f"app.kubernetes.io/name={name}")]

    everywhere = nodes("redis-proxy")
    assert len(everywhere) == len(set(everywhere))
    for name in ("redis", "redis-sentinel"):
        assert len(set(nodes(name))) == min(len(nodes(name)), len(everywhere)), (name, nodes(name))


def test_nobody_connects_who_does_not_say_so(instance: Instance, ledger: Ledger) -> None:
    """The same pod without the label, once its node's policies know it, is refused."""
    pods = instance.dynamic.resources.get(api_version="v1", kind="Pod")
    label = "stackgate.k3s/client-of-redis"

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


def test_all_are_ready(instance: Instance) -> None:
    for pod in instance.pods("app.kubernetes.io/component=redis"):
        assert all(status["ready"] for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]


def test_passwords_are_in_no_specification(instance: Instance) -> None:
    text = str(
        [instance.objects(*kind) for kind in (("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("v1", "Pod"), ("v1", "ConfigMap"))]
    )
    assert instance.secret("redis", "password") not in text
    for user in ("admin", "check", "exporter", "replication", "sentinel"):
        assert instance.secret("redis-members", f"{user}-password") not in text
