# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption is turned on in a cluster that runs, and off again, while an application commits whose URI is from before."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from instance import CACHE, Instance, Run
from ledger_pod import Client
from postgresql_members import Members
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import certificates, values

pytestmark = pytest.mark.deploys

TLS = {"postgresql_tls": True}
SERVICES = ("postgresql", "postgresql-leader", "postgresql-replicas")
ENCRYPTED, PLAIN = {"client": True, "server": True}, {"client": False, "server": False}
# The Secret of somebody who brings a certificate.
OWN = "own-certificate"
# Everything that comes from outside of the server's own pod.
SESSIONS = """
SELECT usename, application_name, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
 WHERE client_addr IS NOT NULL AND NOT client_addr <<= '127.0.0.0/8' AND client_addr <> '::1'
"""


def changes(run: Run) -> list[tuple[str, str]]:
    return [(host, task) for host, task, _diff in run.changed]


def psql(instance: Instance, pod: str, statement: str) -> list[list[str]]:
    """The rows of a statement, asked by the superuser in a member's pod."""
    kubectl = [str(CACHE / "bin/kubectl"), f"--kubeconfig={instance.kubeconfig}", "-n", instance.namespace, "exec", pod, "-c", "postgresql"]
    asked = [*kubectl, "--", "psql", "-h", "/run/postgresql", "-AtF|", "-c", statement]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("|") for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Turned:
    """Encryption was turned on. said: by the check before; written: by the application meanwhile."""

    said: Run
    run: Run
    written: dict[str, Any]
    directory: Path


@pytest.fixture(scope="module")
def own_certificate(instance: Instance) -> Iterator[str]:
    """A Secret as somebody else makes it, of an authority of their own; the authority's certificate."""
    now = datetime.datetime.now(datetime.UTC)
    authority = certificates.plan_authority(values.Existing(), certificates.Terms(("somebody",), 30, 1), now).data
    data = certificates.plan_certificate(values.Existing(), certificates.Terms(SERVICES, 20, 1), authority, now).data
    texts = {key: value.decode() for key, value in data.items()}
    instance.core.create_namespaced_secret(instance.namespace, {"metadata": {"name": OWN}, "type": certificates.TYPE, "stringData": texts})
    yield texts[certificates.AUTHORITY]
    instance.core.delete_namespaced_secret(OWN, instance.namespace)


def test_a_certificate_of_one_s_own_is_offered_then_required_then_off(
    instance: Instance, members: Members, ledger: Client, own_certificate: str, tmp_path: Path
) -> None:
    offered = {**TLS, "postgresql_tls_secret": OWN, "postgresql_tls_required": False}
    try:
        run = instance.play("--tags", "postgresql", override=offered, directory=tmp_path)
        assert run.status == 0, run.failed
        for host in SERVICES:
            assert ledger("encryption", "verify-full", host, own_certificate)["client"]
            assert not ledger("encryption", "disable", host)["client"]
        assert "sslmode" not in instance.secret("postgresql", "uri")
        assert changes(instance.play("--tags", "postgresql", override=offered, directory=tmp_path)) == []

        run = instance.play("--tags", "postgresql", override={**offered, "postgresql_tls_required": True}, directory=tmp_path)
        assert run.status == 0, run.failed
        assert ledger("encryption", "verify-full", "postgresql", own_certificate) == ENCRYPTED
        assert isinstance(ledger("encryption", "disable", "postgresql-leader"), str), "a plain session was let in"
    finally:
        off = instance.play("--tags", "postgresql")
    assert off.status == 0, off.failed
    until("the cluster is whole", members.whole, 120)
    assert ledger("encryption", "prefer", "postgresql-leader") == PLAIN


@pytest.fixture(scope="module")
def turned(instance: Instance, members: Members, ledger: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turned]:
    directory = tmp_path_factory.mktemp("encrypted")
    words = ("--tags", "postgresql")
    said = instance.play(*words, "--check", "--diff", override=TLS, directory=directory)
    writing = ledger.start("drill", "150")
    run = instance.play(*words, "--diff", override=TLS, directory=directory)
    print(f"turned on in {run.seconds:.0f} s")
    try:
        assert run.status == 0, run.failed
        yield Turned(said, run, ledger.finish(writing, 300), directory)
    finally:
        writing = ledger.start("drill", "150")
        off = instance.play(*words)
        print(f"turned off in {off.seconds:.0f} s")
    assert off.status == 0, off.failed
    written = ledger.finish(writing, 300)
    print(f"turned off: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, failures {written['failures']}")
    assert written["lost"] == []
    until("the cluster is whole", members.whole, 120)
    assert {ssl for _user, _name, ssl in psql(instance, members.leader(), SESSIONS)} == {"f"}
    until("the pod has the URI without it", lambda: ledger("query", "uri", "SELECT 1") == [[1]], 120)


def test_a_check_tells_what_turning_it_on_does_and_no_key_is_shown(instance: Instance, turned: Turned) -> None:
    assert turned.said.status == 0, turned.said.failed
    assert changes(turned.said) == changes(turned.run)
    assert "PRIVATE KEY" not in turned.said.output + turned.run.output
    assert instance.secret("postgresql-tls", "tls.key") not in turned.run.output


def test_an_application_of_before_goes_on_meanwhile(turned: Turned) -> None:
    written = turned.written
    print(f"turned on: {written['acknowledged']} acknowledged, longest gaps {written['gaps']} s, failures {written['failures']}")
    assert written["lost"] == []
    assert written["acknowledged"] > 100
    assert written["gaps"][0] < 15


def test_every_session_over_the_network_is_encrypted(instance: Instance, members: Members, ledger: Client, turned: Turned) -> None:
    """Replicas', which check whom they follow, and the poolers'."""
    until("the cluster is whole", members.whole, 120)
    assert ledger("query", "uri", "SELECT 1") == [[1]]
    found = psql(instance, members.leader(), SESSIONS)
    assert {ssl for _user, _name, ssl in found} == {"t"}
    followers = sorted(name for user, name, _ssl in found if user == "replication")
    assert followers == sorted(set(members.pods()) - {members.leader()})
    assert "app" in {user for user, _name, _ssl in found}
    for follower in followers:
        ((conninfo,),) = psql(instance, follower, "SELECT replace(conninfo, '|', '') FROM pg_stat_wal_receiver")
        assert "sslmode=verify-ca" in conninfo and "sslrootcert=/run/secrets/tls/ca.crt" in conninfo


@pytest.mark.parametrize("host", SERVICES)
def test_a_client_is_encrypted_or_refused(instance: Instance, ledger: Client, turned: Turned, host: str) -> None:
    ca = instance.secret("postgresql-tls", "ca.crt")
    assert ledger("encryption", "verify-full", host, ca) == ENCRYPTED
    assert ledger("encryption", "prefer", host) == ENCRYPTED
    refused = ledger("encryption", "disable", host)
    assert isinstance(refused, str), "a plain session was let in"
    assert "no encryption" in refused if host != "postgresql" else refused


def test_a_client_trusts_nobody_else(instance: Instance, ledger: Client, turned: Turned) -> None:
    stranger = instance.core.read_namespaced_config_map("kube-root-ca.crt", instance.namespace).data["ca.crt"]
    assert "certificate verify failed" in ledger("encryption", "verify-full", "postgresql", stranger)


def test_applications_are_told(instance: Instance, turned: Turned) -> None:
    for key in ("uri", "leader-uri", "second-uri", "reports-uri"):
        assert instance.secret("postgresql", key).endswith("?sslmode=require")


def test_a_second_run_changes_nothing(instance: Instance, turned: Turned) -> None:
    run = instance.play("--tags", "postgresql", override=TLS, directory=turned.directory)
    assert (run.status, changes(run)) == (0, []), run.failed


def test_a_renewed_certificate_is_in_use_without_a_restart(instance: Instance, members: Members, turned: Turned) -> None:
    """The run ends when every member and every pooler has it: the gate looks."""

    def pods() -> dict[str, Any]:
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in instance.pods()}

    started = "SELECT pg_postmaster_start_time()"
    before = pods(), {name: psql(instance, name, started) for name in members.pods()}
    authority = instance.secret("postgresql-tls", "ca.crt")
    instance.core.delete_namespaced_secret("postgresql-tls", instance.namespace)
    run = instance.play("--tags", "postgresql", override=TLS, directory=turned.directory)
    print(f"renewed in {run.seconds:.0f} s")
    assert run.status == 0, run.failed
    assert [task.partition(" : ")[2] for _host, task in changes(run)] == ["Apply | Make the certificate once, and anew before it ends"]
    assert instance.secret("postgresql-tls", "ca.crt") == authority
    assert (pods(), {name: psql(instance, name, started) for name in members.pods()}) == before


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"postgresql_tls": True, "postgresql_tls_secret": "nowhere"}, "the Secret nowhere in namespace"),
        ({"postgresql_tls": True, "postgresql_tls_secret": "postgresql"}, "without tls.crt and tls.key and ca.crt"),
        ({"postgresql_tls": True, "postgresql_tls_secret": "postgresql-authority"}, "without ca.crt"),
        ({"postgresql_tls_secret": "postgresql-tls"}, "postgresql_tls is false"),
        ({"postgresql_tls": True, "postgresql_tls_secret": OWN}, "stays that of the Secret postgresql-tls"),
    ],
    ids=str,
)
def test_a_certificate_that_does_not_serve_stops_the_run(
    instance: Instance, turned: Turned, own_certificate: str, tmp_path: Path, override: dict[str, Any], named: str
) -> None:
    run = instance.play("--tags", "postgresql", override=override, directory=tmp_path)
    assert run.status != 0 and run.recap[instance.name]["changed"] == 0
    assert named in "\n".join(run.failed), run.failed
