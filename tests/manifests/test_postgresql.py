# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgresql renders of encryption: none (set defaults), for all (everything), or for whom it pleases (single)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment
from rules import Stack

VARS = Path(__file__).parents[2] / "roles/postgresql/vars/main.yml"
PLAIN, REFUSING = ["host all all all scram-sha-256"], ["hostssl all all all scram-sha-256"]

OWN = "database-tls"


def named(stack: Stack, kind: str, name: str) -> dict[str, Any]:
    found = stack.named(kind, name)
    assert found is not None, f"{kind}/{name}"
    return found


def patroni(stack: Stack) -> dict[str, Any]:
    """What Patroni reads of its own file."""
    found: dict[str, Any] = yaml.safe_load(named(stack, "ConfigMap", "postgresql-patroni")["data"]["10-patroni.yml"])["postgresql"]
    return found


def rules(stack: Stack) -> list[str]:
    """Whom the members let in."""
    text = named(stack, "ConfigMap", "postgresql-patroni")["data"]["15-bootstrap.yml"]
    found: list[str] = yaml.safe_load(text)["bootstrap"]["dcs"]["postgresql"]["pg_hba"]
    return found


def pooler(stack: Stack) -> dict[str, str]:
    """The settings of the pooler."""
    lines = named(stack, "ConfigMap", "postgresql-pooler")["data"]["pgbouncer.ini"].partition("[pgbouncer]")[2].splitlines()
    pairs = [line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith(";")]
    return {key.strip(): value.strip() for key, _equals, value in pairs}


def certificates(stack: Stack) -> dict[str, str]:
    """The Secret of the certificate by container that can read it."""
    found = {}
    for kind, name in (("StatefulSet", "postgresql"), ("DaemonSet", "postgresql-proxy")):
        spec = named(stack, kind, name)["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for container in spec["containers"]:
            for mount in container["volumeMounts"]:
                if mount["mountPath"] == "/run/secrets/tls":
                    assert mount["readOnly"] is True
                    found[container["name"]] = volumes[mount["name"]]["secret"]["secretName"]
    return found


def test_without_encryption_nobody_has_a_certificate(stacks: dict[str, Stack]) -> None:
    plain = stacks["defaults"]
    assert certificates(plain) == {}
    assert "ssl" not in patroni(plain)["parameters"] and "authentication" not in patroni(plain)
    assert pooler(plain)["server_tls_sslmode"] == "disable" and "client_tls_sslmode" not in pooler(plain)
    assert not [rule for rule in rules(plain) if "ssl" in rule]
    assert "postgresql-tls" not in plain.secrets and "sslmode" not in plain.secrets["postgresql"]


def test_servers_and_poolers_have_the_certificate_and_nobody_else(stacks: dict[str, Stack]) -> None:
    assert certificates(stacks["everything"]) == {"postgresql": "postgresql-tls", "pgbouncer": "postgresql-tls"}
    assert certificates(stacks["single"]) == {"postgresql": OWN, "pgbouncer": OWN}
    for name in ("everything", "single"):
        given = patroni(stacks[name])["parameters"]
        assert given["ssl"] == "on"
        assert (given["ssl_cert_file"], given["ssl_key_file"]) == ("/run/secrets/tls/tls.crt", "/run/secrets/tls/tls.key")


def test_over_the_network_only_what_is_encrypted_is_let_in(stacks: dict[str, Stack]) -> None:
    """Every rule for TCP that lets somebody in is for TLS, or for what comes from within the pod."""
    found = [rule.split() for rule in rules(stacks["everything"])]
    over_tcp = [rule for rule in found if rule[0] != "local" and rule[-1] != "reject"]
    within = [rule for rule in over_tcp if rule[3] in ("127.0.0.1/32", "::1/128")]
    assert {rule[0] for rule in over_tcp if rule not in within} == {"hostssl"}
    assert ["hostssl", "replication", "replication", "all", "scram-sha-256"] in found
    lets_in = [line.split() for line in named(stacks["everything"], "ConfigMap", "postgresql-pooler")["data"]["hba"].splitlines()]
    assert [rule[0] for rule in lets_in if rule[3] not in ("127.0.0.1/32", "::1/128")] == ["hostssl", "hostssl"]
    assert all(rule[-1] == "scram-sha-256" for rule in lets_in)
    settings = pooler(stacks["everything"])
    assert (settings["auth_type"], settings["auth_hba_file"]) == ("hba", "/etc/pgbouncer/hba")


@pytest.mark.parametrize("name", ["defaults", "everything", "single"])
def test_the_superuser_comes_from_within_the_pod_alone(stacks: dict[str, Stack], name: str) -> None:
    found = [rule.split() for rule in rules(stacks[name])]
    first = next(position for position, rule in enumerate(found) if rule == ["host", "all", "postgres", "all", "reject"])
    before = [rule for rule in found[:first] if rule[0] != "local"]
    assert {(rule[2], rule[3]) for rule in before} == {("postgres", "127.0.0.1/32"), ("postgres", "::1/128")}
    assert all(rule[1] != "all" or rule[2] == "all" for rule in found[first + 1 :])


def test_members_and_poolers_check_whom_they_speak_to(stacks: dict[str, Stack]) -> None:
    checked = {"sslmode": "verify-ca", "sslrootcert": "/run/secrets/tls/ca.crt"}
    assert patroni(stacks["everything"])["authentication"] == {"replication": checked, "rewind": checked}
    settings = pooler(stacks["everything"])
    assert (settings["server_tls_sslmode"], settings["server_tls_ca_file"]) == ("verify-ca", "/run/secrets/tls/ca.crt")


def test_where_it_is_only_offered_everybody_is_let_in(stacks: dict[str, Stack]) -> None:
    offered = stacks["single"]
    assert not [rule for rule in rules(offered) if "ssl" in rule]
    assert "authentication" not in patroni(offered)
    settings = pooler(offered)
    assert (settings["client_tls_sslmode"], settings["server_tls_sslmode"]) == ("allow", "prefer")
    assert settings["auth_type"] == "scram-sha-256"
    assert "hba" not in named(offered, "ConfigMap", "postgresql-pooler")["data"]


def test_the_gate_looks_at_the_certificates(stacks: dict[str, Stack]) -> None:
    def secret(name: str) -> Any:
        return next(one for one in stacks[name].gates["postgresql"] if one["kind"] == "postgresql").get("tls_secret")

    assert [secret(name) for name in ("defaults", "everything", "single")] == [None, "postgresql-tls", OWN]


def test_a_certificate_that_is_renewed_replaces_no_pod(stacks: dict[str, Stack]) -> None:
    """Nothing of a pod's template depends on what is in the Secret: who uses it reads it again."""
    for kind, name in (("StatefulSet", "postgresql"), ("DaemonSet", "postgresql-proxy")):
        noted = named(stacks["everything"], kind, name)["spec"]["template"]["metadata"]["annotations"]
        assert set(noted) == {"stackgate.k3s/checksum-secret", "stackgate.k3s/checksum-config"}


@pytest.mark.parametrize(
    ("wanted", "live", "first", "refuses"),
    [
        # A cluster that is made, and one that stays as it is.
        ("off", None, "off", False),
        ("offered", None, "offered", False),
        ("required", None, "required", True),
        ("off", PLAIN, "off", False),
        ("offered", PLAIN, "offered", False),
        ("required", REFUSING, "required", True),
        # Turned on and off: everybody offers it first, and the rules stay as they are until then.
        ("required", PLAIN, "offered", False),
        ("offered", REFUSING, "offered", True),
        ("off", REFUSING, "offered", True),
        # A cluster of before the rules were in what members share.
        ("off", [], "off", False),
        ("required", [], "offered", False),
    ],
)
def test_a_cluster_that_runs_is_turned_in_two_steps(wanted: str, live: list[str] | None, first: str, refuses: bool) -> None:
    templates = yaml.safe_load(VARS.read_text(encoding="utf-8"))
    environment = NativeEnvironment()
    environment.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
    configuration = {} if live is None else {"ttl": 20, "postgresql": {"pg_hba": live} if live else {"parameters": {}}}
    known: dict[str, Any] = {
        "postgresql_tls": wanted != "off",
        "postgresql_tls_required": wanted != "offered",
        "__postgresql_found": {"configuration": configuration},
    }
    for name in ("tls_wanted", "live", "live_rules", "live_refuses", "tls_turns", "tls", "refuses"):
        known[f"__postgresql_{name}"] = environment.from_string(templates[f"__postgresql_{name}"]).render(**known)
    assert known["__postgresql_tls_wanted"] == wanted
    assert (known["__postgresql_tls"], known["__postgresql_refuses"]) == (first, refuses)
    assert known["__postgresql_tls_turns"] == (live is not None and (live == REFUSING) != (wanted == "required"))
