# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that was delivered, as an application sees it."""

from __future__ import annotations

import secrets
import subprocess

import pytest
from instance import CACHE, Instance
from ledger_pod import Client
from postgresql_members import Members
from waiting import until


@pytest.mark.covers("WE-F08")
def test_one_member_leads_and_the_others_follow(members: Members) -> None:
    assert sorted(members.states()) == ["postgresql-0", "postgresql-1", "postgresql-2"]
    until("the cluster is whole", members.whole, 30)


def test_members_are_on_different_nodes_and_a_proxy_is_on_each(instance: Instance, members: Members) -> None:
    assert len({members.node(name) for name in members.pods()}) == 3
    proxies = instance.pods("app.kubernetes.io/name=postgresql-proxy")
    assert len(proxies) == len({pod["spec"]["nodeName"] for pod in proxies}) == 3
    assert all(status["ready"] for pod in proxies for status in pod["status"]["containerStatuses"])


@pytest.mark.covers("WE-F34")
def test_a_commit_through_the_pooler_is_read_from_a_replica(ledger: Client) -> None:
    name = secrets.token_hex(8)
    assert ledger("query", "uri", "SELECT pg_is_in_recovery()") == [[False]]
    assert ledger("keep", name)
    assert ledger("query", "uri", "SELECT pg_is_in_recovery()", "postgresql-replicas") == [[True]]
    until(
        "a replica has it",
        lambda: ledger("query", "uri", f"SELECT count(*) FROM kept WHERE what = '{name}'", "postgresql-replicas") == [[1]],
        10,
    )


def test_the_leader_can_be_reached_without_the_pooler(ledger: Client) -> None:
    """For what needs a session of its own: an advisory lock is kept from one statement to the next."""
    assert ledger("query", "leader-uri", "SELECT pg_is_in_recovery(), pg_try_advisory_lock(1)") == [[False, True]]


def test_databases_have_their_owners_and_extensions(ledger: Client) -> None:
    assert ledger("query", "uri", "SELECT current_user, current_database()") == [["app", "app"]]
    assert ledger("query", "second-uri", "SELECT current_user, current_database()") == [["second_owner", "second"]]
    owners = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ('app', 'second') ORDER BY 1"
    assert ledger("query", "uri", owners) == [["app", "app"], ["second", "second_owner"]]
    assert ledger("query", "uri", "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1") == [["btree_gin"], ["hstore"]]


def test_users_may_do_what_they_need_and_no_more(ledger: Client) -> None:
    assert ledger("keep", "for reports")
    assert ledger("query", "reports-uri", "SELECT count(*) FROM kept WHERE what = 'for reports'") == [[1]]
    assert "permission denied" in ledger("query", "reports-uri", "INSERT INTO kept VALUES ('by reports')")
    allowed = "SELECT has_database_privilege('app', 'second', 'CONNECT'), has_database_privilege('second_owner', 'app', 'CONNECT')"
    assert ledger("query", "uri", allowed) == [[False, False]]


def test_the_superuser_cannot_come_over_the_network(ledger: Client) -> None:
    assert "pg_hba.conf rejects" in ledger("refused", "postgres")
    # The pooler does not even know it.
    assert "no such user" in ledger("refused", "postgres", "postgresql") or "authentication failed" in ledger(
        "refused", "postgres", "postgresql"
    )


def test_nobody_connects_who_does_not_say_so(instance: Instance, ledger: Client) -> None:
    """The same pod without the label, once its node's policies know it, is refused."""
    pods = instance.dynamic.resources.get(api_version="v1", kind="Pod")

    def set_label(value: str | None) -> None:
        body = {"metadata": {"name": "ledger", "labels": {"stackgate.k3s/client-of-postgresql": value}}}
        pods.patch(body=body, name="ledger", namespace=instance.namespace, content_type="application/merge-patch+json")

    assert ledger("reach") is True
    set_label(None)
    try:
        assert ledger("reach", "refused") is False
    finally:
        set_label("true")
    assert ledger("reach") is True


def test_no_password_is_in_a_specification_an_argument_an_environment_or_a_log(instance: Instance) -> None:
    text = str([instance.objects("apps/v1", kind) for kind in ("StatefulSet", "DaemonSet")])
    text += str([instance.pods(), instance.objects("v1", "ConfigMap")])
    kubectl = [str(CACHE / "bin/kubectl"), f"--kubeconfig={instance.kubeconfig}", "-n", instance.namespace]
    proxy = instance.pods("app.kubernetes.io/name=postgresql-proxy")[0]["metadata"]["name"]
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    for pod, container in (("postgresql-0", "postgresql"), (proxy, "pgbouncer"), (proxy, "haproxy")):
        for words in (["exec", pod, "-c", container, "--", "sh", "-c", look], ["logs", pod, "-c", container]):
            text += subprocess.run([*kubectl, *words], capture_output=True, text=True, check=False).stdout
    assert "patroni" in text  # something was seen
    for name in ("postgresql", "postgresql-members"):
        data = instance.core.read_namespaced_secret(name, instance.namespace).data
        for key in (key for key in data if key.endswith("password")):
            assert instance.secret(name, key) not in text, key


def test_only_patroni_may_speak_to_the_api_server_and_only_about_itself(instance: Instance) -> None:
    for pod in instance.pods("app.kubernetes.io/component=postgresql"):
        for container in pod["spec"]["containers"]:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert ("/var/run/secrets/kubernetes.io/serviceaccount" in paths) == (container["name"] == "postgresql")
    rules = instance.objects("rbac.authorization.k8s.io/v1", "Role", field_selector="metadata.name=postgresql")[0]["rules"]
    assert {resource for rule in rules for resource in rule["resources"]} == {"configmaps", "pods"}
    assert all(rule.get("resourceNames") or set(rule["verbs"]) <= {"create", "list", "watch"} for rule in rules)
