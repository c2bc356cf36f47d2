# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double's own SCRAM, and its table of privileges, without a server."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mongodb_double import scram
from mongodb_double.roles import Role, may_run, may_see

NAMES = st.text(st.characters(codec="ascii", exclude_categories=["C"], exclude_characters=",="), min_size=1, max_size=20)


def converse(mechanism: scram.Mechanism, user: str, password: str, *known: str) -> None:
    """A login with a password at a server that knows other ones. Raises ScramError."""
    salt = b"s" * mechanism.salt_bytes
    credentials = [scram.Credential.make(mechanism, user, one, salt) for one in known]
    client = scram.ClientConversation(mechanism, user, password)
    server = scram.ServerConversation(mechanism, credentials, client.first)
    client.check(server.finish(client.final(server.reply)))


@pytest.mark.parametrize("mechanism", scram.MECHANISMS.values(), ids=lambda mechanism: mechanism.name)
@settings(max_examples=10, deadline=None)
@given(user=NAMES, password=NAMES, other=NAMES)
def test_only_the_password_logs_in(mechanism: scram.Mechanism, user: str, password: str, other: str) -> None:
    converse(mechanism, user, password, password)  # pylint: disable=arguments-out-of-order
    if other != password:
        with pytest.raises(scram.ScramError):
            converse(mechanism, user, other, password)


def test_any_of_several_keys_logs_in() -> None:
    converse(scram.SHA256, "__system", "new-key", "old-key", "new-key")
    converse(scram.SHA256, "__system", "old-key", "old-key", "new-key")
    with pytest.raises(scram.ScramError):
        converse(scram.SHA256, "__system", "third-key", "old-key", "new-key")


def test_the_example_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    salted = scram._salted("sha256", "pencil", salt, 4096)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    transcript = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    client_key = scram.SHA256.hmac(salted, b"Client Key")
    proof = scram._xor(client_key, scram.SHA256.hmac(scram.SHA256.hash(client_key), transcript))
    assert base64.b64encode(proof) == b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


@pytest.mark.parametrize("rubbish", [b"", b"n,,", b"n,,r=x", b"\xff\xfe", b"y,,n=root"])
def test_rubbish_is_refused(rubbish: bytes) -> None:
    with pytest.raises(scram.ScramError):
        scram.user_of(rubbish)


@pytest.mark.parametrize(
    ("role", "db", "command", "allowed"),
    [
        ("root", "admin", "replSetReconfig", True),
        ("root", "app", "insert", True),
        ("root", "admin", "replSetHeartbeat", False),
        ("clusterAdmin", "admin", "replSetStepDown", True),
        ("clusterAdmin", "app", "insert", False),
        ("clusterMonitor", "admin", "replSetGetStatus", True),
        ("clusterMonitor", "local", "find", True),
        ("clusterMonitor", "app", "find", False),
        ("clusterMonitor", "admin", "usersInfo", False),
        ("userAdminAnyDatabase", "app", "createUser", True),
        ("userAdminAnyDatabase", "app", "find", False),
        ("backup", "app", "find", True),
        ("backup", "local", "find", True),
        ("backup", "app", "insert", False),
        ("restore", "app", "insert", True),
        ("readWriteAnyDatabase", "local", "find", False),
        ("readAnyDatabase", "app", "find", True),
        ("readAnyDatabase", "app", "insert", False),
    ],
)
def test_roles_of_the_cluster(role: str, db: str, command: str, allowed: bool) -> None:
    assert may_run([Role(role, "admin")], command, db) is allowed
    # They are made in the database admin alone.
    assert not Role(role, "app").exists


@pytest.mark.parametrize(
    ("role", "command", "allowed"),
    [
        ("read", "find", True),
        ("read", "insert", False),
        ("readWrite", "insert", True),
        ("readWrite", "createUser", False),
        ("dbOwner", "createUser", True),
    ],
)
def test_roles_of_a_database(role: str, command: str, allowed: bool) -> None:
    assert may_run([Role(role, "app")], command, "app") is allowed
    assert not may_run([Role(role, "app")], command, "other")


def test_whom_databases_are_shown() -> None:
    assert may_see([Role("read", "app")], "app")
    assert not may_see([Role("read", "app")], "admin")
    assert may_see([Role("clusterMonitor", "admin")], "app")
    assert not may_see([], "app")
