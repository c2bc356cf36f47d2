# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login, against the example of RFC 7677."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.scram import Conversation, ScramError

NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def test_the_example_of_the_rfc() -> None:
    talk = Conversation("user", "pencil", NONCE)
    assert talk.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    proof = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert talk.final(CHALLENGE) == proof
    talk.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    talk = Conversation("user", "pencil", NONCE)
    talk.final(CHALLENGE)
    for outcome in (b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", b"e=other-error", b"v="):
        with pytest.raises(ScramError):
            talk.verify(outcome)


@pytest.mark.parametrize(
    "challenge",
    [CHALLENGE.replace(b"r=rOpr", b"r=xxxx"), CHALLENGE.replace(b"i=4096", b"i=1"), b"nonsense"],
    ids=["nonce", "rounds", "text"],
)
def test_a_challenge_that_is_none(challenge: bytes) -> None:
    with pytest.raises(ScramError):
        Conversation("user", "pencil", NONCE).final(challenge)


def test_every_conversation_has_a_nonce_of_its_own() -> None:
    assert Conversation("user", "pencil").first() != Conversation("user", "pencil").first()


def test_signs_that_separate_fields_are_quoted_in_a_name() -> None:
    assert Conversation("a=b,c", "x", "n").first() == b"n,,n=a=3Db=2Cc,r=n"


def test_a_password_outside_ascii_is_prepared() -> None:
    pytest.importorskip("pymongo")
    first, second = Conversation("u", "I\u00adX", NONCE), Conversation("u", "IX", NONCE)  # RFC 4013: a soft hyphen is nothing
    assert first.final(CHALLENGE) == second.final(CHALLENGE)
