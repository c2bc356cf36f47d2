# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of site.yml on a cluster that stands: members come and go, restarts, content by variables; no commit is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance import CACHE, Instance, Run
from ledger_pod import Client
from postgresql_members import Members
from waiting import until

pytestmark = pytest.mark.deploys


def changes(run: Run) -> list[tuple[str, str]]:
    return [(host, task) for host, task, _diff in run.changed]


def play(instance: Instance, *arguments: str, **more: Any) -> Run:
    """A run for the component alone, which is what people do after a change of it."""
    return instance.play("--tags", "postgresql", *arguments, **more)


def uids(members: Members) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in members.pods().items()}


@pytest.fixture
def as_it_was(instance: Instance) -> Iterator[None]:
    """Afterwards the cluster is the one of the inventory again."""
    yield
    run = play(instance)
    assert run.status == 0, run.failed


def test_a_second_run_changes_nothing(instance: Instance) -> None:
    run = instance.play()
    assert run.status == 0, run.failed
    assert changes(run) == []


def test_a_check_of_what_is_not_there_yet_tells_the_whole_first_run(instance: Instance, tmp_path: Path) -> None:
    """Nobody can be asked: neither namespace nor Secrets nor pods are there. An administrator's identity may look for the namespace."""
    elsewhere = {"stackgate_namespace": f"{instance.namespace}-not-there", "stackgate_kubeconfig": str(CACHE / "admin.kubeconfig")}
    run = instance.play("--check", "--diff", override=elsewhere, directory=tmp_path)
    assert run.status == 0, run.failed
    told = [task.partition(" : ")[2] for _host, task in changes(run) if "postgresql" in task]
    assert told == ["Apply | Make the passwords once", "Apply | Create the members", "Bootstrap | Make databases and users"]


@pytest.mark.covers("OP-L02")
def test_members_come_and_go_by_one_variable(instance: Instance, members: Members, ledger: Client, tmp_path: Path, as_it_was: None) -> None:
    four = {"postgresql_replicas": 4}
    before = uids(members)
    said = play(instance, "--check", "--diff", override=four, directory=tmp_path)
    assert said.status == 0, said.failed
    assert uids(members) == before, "a check changed something"

    writing = ledger.start("drill", "150")
    grown = play(instance, override=four, directory=tmp_path)
    assert grown.status == 0, grown.failed
    assert changes(grown) == changes(said)
    until("the four members are whole", lambda: members.whole(4), 30)  # Patroni writes it on the pods once per loop
    assert changes(play(instance, override=four, directory=tmp_path)) == []

    said = play(instance, "--check")
    shrunk = play(instance)
    assert shrunk.status == 0, shrunk.failed
    assert changes(shrunk) == changes(said)
    until("the pod is gone", lambda: len(members.pods()) == 3, 90)
    until("the three members are whole", members.whole, 30)
    written = ledger.finish(writing, 400)
    print(f"3 -> 4 -> 3: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, failures {written['failures']}")
    assert written["lost"] == []
    assert written["acknowledged"] > 100
    claims = {claim["metadata"]["name"] for claim in instance.objects("v1", "PersistentVolumeClaim")}
    assert "data-postgresql-3" in claims, "a volume was deleted, though nobody said so"


def test_a_member_that_lost_its_pod_and_volume_is_copied_anew(instance: Instance, members: Members, ledger: Client) -> None:
    """By itself: no run is needed."""
    name = secrets.token_hex(8)
    assert ledger("keep", name)
    lost = next(member for member in members.pods() if member != members.leader())
    before = uids(members)
    instance.core.delete_namespaced_persistent_volume_claim(f"data-{lost}", instance.namespace)
    instance.core.delete_namespaced_pod(lost, instance.namespace)
    until("it follows again", lambda: uids(members).get(lost) not in (None, before[lost]) and members.whole(), 180)
    assert ledger("find", name)
    run = play(instance)
    assert (run.status, changes(run)) == (0, []), run.failed


def test_databases_users_and_extensions_follow_the_variables(
    instance: Instance, members: Members, ledger: Client, tmp_path: Path, as_it_was: None
) -> None:
    content = {
        "postgresql_extensions": ["btree_gin", "hstore", "citext"],
        "postgresql_databases": [
            {"name": "second", "username": "second_owner", "extensions": ["pg_trgm"]},
            {"name": "third", "username": "third_owner"},
        ],
        "postgresql_users": [{"name": "reports", "member_of": ["pg_read_all_data"]}, {"name": "visitor", "database": "second"}],
    }
    before = uids(members)
    databases = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1"
    there = ledger("query", "uri", databases)
    said = play(instance, "--check", "--diff", override=content, directory=tmp_path)
    assert said.status == 0, said.failed
    assert ledger("query", "uri", databases) == there, "a check changed something"
    run = play(instance, "--diff", override=content, directory=tmp_path)
    assert run.status == 0, run.failed
    assert changes(run) == changes(said)
    assert changes(play(instance, override=content, directory=tmp_path)) == []
    assert ["third"] in ledger("query", "uri", databases)
    assert ["citext"] in ledger("query", "uri", "SELECT extname FROM pg_extension")
    assert ["pg_trgm"] in ledger("query", "second-uri", "SELECT extname FROM pg_extension")
    until("the pod has the new Secret", lambda: ledger("query", "uri", "SELECT 1") == [[1]] and _has(ledger, "visitor-uri"), 120)
    assert ledger("query", "visitor-uri", "SELECT current_user, current_database()") == [["visitor", "second"]]
    assert uids(members) == before, "members were restarted for what needs no restart"


def _has(ledger: Client, key: str) -> bool:
    process = ledger.start("query", key, "SELECT 1")
    process.communicate(timeout=60)
    return process.returncode == 0


def test_a_setting_is_in_force_without_a_new_pod(
    instance: Instance, members: Members, ledger: Client, tmp_path: Path, as_it_was: None
) -> None:
    """Some by a reload, some by a restart of the server in its pod, the leader's after a switchover."""
    before = uids(members)
    changed = {"postgresql_work_mem_mib": 6, "postgresql_max_connections": 110}
    said = play(instance, "--check", override=changed, directory=tmp_path)
    writing = ledger.start("drill", "60")
    run = play(instance, override=changed, directory=tmp_path)
    assert run.status == 0, run.failed
    assert set(changes(said)) <= set(changes(run))
    written = ledger.finish(writing, 200)
    assert written["lost"] == []
    for host in ("postgresql", "postgresql-replicas"):
        shown = "SELECT current_setting('work_mem'), current_setting('max_connections')"
        assert ledger("query", "uri", shown, host) == [["6MB", "110"]]
    assert uids(members) == before


def test_a_change_restarts_one_member_after_the_other(
    instance: Instance, members: Members, ledger: Client, tmp_path: Path, as_it_was: None
) -> None:
    leader, before = members.leader(), uids(members)
    changed = {"postgresql_termination_grace_s": 61}
    said = play(instance, "--check", override=changed, directory=tmp_path)
    assert uids(members) == before
    writing = ledger.start("drill", "120")
    run = play(instance, override=changed, directory=tmp_path)
    assert run.status == 0, run.failed
    assert changes(run) == changes(said)
    assert not set(uids(members).values()) & set(before.values())
    began = sorted(members.pods().values(), key=lambda pod: pod["metadata"]["creationTimestamp"])
    assert began[-1]["metadata"]["name"] == leader
    written = ledger.finish(writing, 300)
    print(f"a rolling restart: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, failures {written['failures']}")
    assert written["lost"] == []
    assert written["gaps"][0] < 10


def test_passwords_are_replaced_when_asked(instance: Instance, ledger: Client) -> None:
    before = {name: instance.secret(name, key) for name, key in (("postgresql", "password"), ("postgresql-members", "superuser-password"))}
    run = play(instance, "-e", "postgresql_rotate_passwords=true")
    assert run.status == 0, run.failed
    assert instance.secret("postgresql", "password") != before["postgresql"]
    assert instance.secret("postgresql-members", "superuser-password") == before["postgresql-members"]
    until("the pod has the new password", lambda: _has(ledger, "uri"), 150)
    again = play(instance)
    assert (again.status, changes(again)) == (0, []), again.failed


def test_data_survive_all_pods_at_once(instance: Instance, members: Members, ledger: Client) -> None:
    name = secrets.token_hex(8)
    assert ledger("keep", name)
    before = uids(members)
    for pod in before:
        instance.core.delete_namespaced_pod(pod, instance.namespace, grace_period_seconds=0)
    until("all pods are new and whole", lambda: not set(uids(members).values()) & set(before.values()) and members.whole(), 180)
    assert ledger("find", name)
    run = play(instance)
    assert (run.status, changes(run)) == (0, []), run.failed


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"postgresql_replicas": 0}, "postgresql_replicas"),
        ({"postgresql_pool_size": 100}, "postgresql_max_connections"),
        ({"postgresql_pool_mode": "statement"}, "postgresql_pool_mode"),
        ({"postgresql_retry_timeout_s": 10}, "postgresql_retry_timeout_s"),
        ({"postgresql_settings": {"max_connections": 5}}, "max_connections"),
        ({"postgresql_users": [{"name": "postgres"}]}, "postgres"),
        ({"postgresql_users": [{"name": "visitor", "database": "nowhere"}]}, "nowhere"),
        ({"postgresql_databases": [{"name": "Second", "username": "x"}]}, "Second"),
        ({"postgresql_replicsa": 3}, "postgresql_replicsa"),
    ],
    ids=str,
)
def test_bad_input_stops_before_anything_changed(instance: Instance, tmp_path: Path, override: dict[str, Any], named: str) -> None:
    before = instance.objects("v1", "Secret"), instance.objects("apps/v1", "DaemonSet")
    run = play(instance, override=override, directory=tmp_path)
    assert run.status != 0
    assert named in "\n".join(run.failed), run.failed
    assert (instance.objects("v1", "Secret"), instance.objects("apps/v1", "DaemonSet")) == before
