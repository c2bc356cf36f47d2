# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real server with the certificates that the collection makes: who trusts it, who is let in, and what a renewal takes."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
import yaml
from jinja2 import Environment
from postgres_server import PostgresServer

from ansible_collections.stackgate.k3s.plugins.module_utils.patroni import encryption
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.encryption import Wanted
from ansible_collections.stackgate.k3s.plugins.module_utils.patroni.probe import End
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import certificates, values
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets.certificates import Terms

from .conftest import running_server

NAMES = ("postgresql", "localhost", "127.0.0.1")
PLAIN = ["local all all trust", "host all all all scram-sha-256"]
# The role's rule for the network, here for the only network that there is.
REFUSING = ["local all all trust", "hostssl all all all scram-sha-256"]


class Authority:
    """What signs, and the certificates that it has signed."""

    def __init__(self) -> None:
        self.now = datetime.datetime.now(datetime.UTC)
        self._plan = certificates.plan_authority(values.Existing(), Terms(("authority",), 7300, 1095), self.now)
        self.pem = self._plan.data["tls.crt"].decode()

    def issue(self) -> Mapping[str, bytes]:
        return certificates.plan_certificate(values.Existing(), Terms(NAMES, 1095, 365), self._plan.data, self.now).data


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of its own: the others' neither encrypts nor refuses."""
    yield from running_server()


@pytest.fixture
def certified(server: PostgresServer, authority: Authority) -> Mapping[str, bytes]:
    """The server has a certificate, and demands TLS."""
    files = authority.issue()
    server.certify(files)
    server.configure(encrypting(server), REFUSING)
    return files


def encrypting(server: PostgresServer) -> dict[str, str]:
    return {"ssl": "on", "ssl_cert_file": str(server.directory / "tls.crt"), "ssl_key_file": str(server.directory / "tls.key")}


def troubles(server: PostgresServer, files: Mapping[str, bytes], ca: str, name: str = "postgresql") -> list[str]:
    end = End("it", lambda seconds: socket.create_connection(("127.0.0.1", server.port), timeout=seconds))
    return encryption.troubles([end], Wanted(name, files["tls.crt"].decode(), ca))


def test_a_server_without_it(server: PostgresServer, authority: Authority) -> None:
    server.configure({}, PLAIN)
    assert troubles(server, authority.issue(), authority.pem) == ["it speaks no TLS"]


def test_who_checks_trusts_it(server: PostgresServer, authority: Authority, certified: Mapping[str, bytes], tmp_path: Path) -> None:
    assert troubles(server, certified, authority.pem) == []
    ca = tmp_path / "ca.crt"
    ca.write_bytes(certified["ca.crt"])
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    for host in ("127.0.0.1", "localhost", "postgresql"):
        with server.connect(host=host, hostaddr="127.0.0.1", sslmode="verify-full", sslrootcert=str(ca)) as connection:
            assert connection.execute(encrypted).fetchall() == [(True,)]
    with pytest.raises(psycopg.OperationalError, match='does not match host name "redis"'):
        server.connect(host="redis", hostaddr="127.0.0.1", sslmode="verify-full", sslrootcert=str(ca))


def test_what_a_driver_is_told_nothing_of_is_encrypted_too(server: PostgresServer, certified: Mapping[str, bytes]) -> None:
    """Clients whose URI is from before go on when plain connections are refused: libpq tries TLS first."""
    with server.connect() as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchall() == [(True,)]


def test_who_does_not_encrypt_is_refused(server: PostgresServer, certified: Mapping[str, bytes]) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry .* no encryption"):
        server.connect(sslmode="disable")


def test_another_authority_is_not_trusted(server: PostgresServer, certified: Mapping[str, bytes]) -> None:
    (said,) = troubles(server, certified, Authority().pem)
    assert said.startswith("it has a certificate that clients do not trust:")


def test_another_name_is_not_trusted(server: PostgresServer, authority: Authority, certified: Mapping[str, bytes]) -> None:
    (said,) = troubles(server, certified, authority.pem, "redis")
    assert said.startswith("it has a certificate that clients do not trust:") and "redis" in said


def test_a_renewed_certificate_is_there_after_a_reload(
    server: PostgresServer, authority: Authority, certified: Mapping[str, bytes]
) -> None:
    """Sessions that are open go on, nobody restarts."""
    with server.connect() as before:
        started = before.execute("SELECT pg_postmaster_start_time()").fetchall()
        renewed = authority.issue()
        server.certify(renewed)
        assert troubles(server, renewed, authority.pem) == ["it still has another certificate than the one in the Secret"]
        server.reload()
        assert troubles(server, renewed, authority.pem) == []
        assert before.execute("SELECT pg_postmaster_start_time()").fetchall() == started


def test_a_key_that_is_of_another_certificate_changes_nothing(
    server: PostgresServer, authority: Authority, certified: Mapping[str, bytes]
) -> None:
    server.certify({"tls.key": authority.issue()["tls.key"]})
    server.reload()
    assert troubles(server, certified, authority.pem) == []
    assert "SSL configuration was not reloaded" in server.log()


@pytest.mark.parametrize("refuses", [True, False])
def test_the_role_s_rules_are_rules(server: PostgresServer, certified: Mapping[str, bytes], refuses: bool) -> None:
    """Every line that the role writes is one that the server reads, and lets a port-forward's end in."""
    text = (Path(__file__).parents[3] / "roles/postgresql/vars/main.yml").read_text(encoding="utf-8")
    template = Environment(autoescape=False).from_string(yaml.safe_load(text)["__postgresql_hba"])
    rules = yaml.safe_load(template.render(__postgresql_refuses=refuses))
    server.configure(encrypting(server), rules)
    with server.connect(sslmode="disable") as connection:
        assert connection.execute("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL").fetchall() == []
        assert connection.execute("SELECT count(*) FROM pg_hba_file_rules").fetchall() == [(len(rules),)]
