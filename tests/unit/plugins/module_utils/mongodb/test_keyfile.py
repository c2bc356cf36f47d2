# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key is replaced in three phases, and at every moment any two members have a key in common that both would use or accept."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb import keyfile
from ansible_collections.stackgate.k3s.plugins.module_utils.mongodb.keyfile import KeyRing, Phase

OLD, NEW = "b2xkLWtleQ==", "bmV3LWtleQ=="
PODS = frozenset({"uid-0", "uid-1", "uid-2"})


def secret(text: str = OLD, **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "mongodb-key", "resourceVersion": "7", "annotations": annotations},
        "data": {"key": base64.b64encode(text.encode()).decode(), "other": "AAAA"},
    }


def rings() -> list[KeyRing]:
    """A rotation from its begin to its end."""
    found = [keyfile.read(secret(), "key")]
    found.append(keyfile.begin(found[0], NEW, PODS))
    while found[-1].rotating:
        found.append(keyfile.advance(found[-1], PODS))
    return found


def test_the_three_phases() -> None:
    assert [ring.keys for ring in rings()] == [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,), (NEW,)]
    assert [ring.phase for ring in rings()] == [Phase.STEADY, Phase.ANNOUNCED, Phase.SWITCHED, Phase.RETIRED, Phase.STEADY]
    assert [ring.behind for ring in rings()] == [frozenset(), PODS, PODS, PODS, frozenset()]


def test_members_of_neighbouring_phases_understand_each_other() -> None:
    # During a rolling restart some members have the file of one phase, the others that of the phase before. A member logs in with
    # its first key, whatever release it is, and accepts all of its keys.
    for before, after in itertools.pairwise(rings()):
        for caller, called in ((before, after), (after, before)):
            assert caller.keys[0] in called.keys, f"{caller.phase} cannot log in to {called.phase}"


def test_two_phases_would_not_be_enough() -> None:
    old_first, new_only = rings()[1], rings()[3]
    assert old_first.keys[0] not in new_only.keys


def test_a_rotation_under_way_is_not_begun_again() -> None:
    for ring in rings()[1:4]:
        assert keyfile.begin(ring, "YW5vdGhlcg==", ()) is ring


def test_the_state_survives_in_the_secret() -> None:
    live = secret(generated="key")
    for ring in rings():
        live = keyfile.written(live, "key", ring)
        assert keyfile.read(live, "key") == ring
        assert live["metadata"]["resourceVersion"] == "7"
        assert live["metadata"]["annotations"]["generated"] == "key"
        assert live["data"]["other"] == "AAAA"
    assert keyfile.ANNOTATION not in live["metadata"]["annotations"]
    assert base64.b64decode(live["data"]["key"]).decode() == NEW


def test_writing_leaves_what_was_read_alone() -> None:
    live = secret()
    keyfile.written(live, "key", rings()[1])
    assert live == secret()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (OLD, (OLD,)),
        (f" {OLD[:5]}\n{OLD[5:]}\n", (OLD,)),
        (f"- {OLD}\n- {NEW}\n", (OLD, NEW)),
        (f"\n-   {OLD}\n-  {NEW}", (OLD, NEW)),
        (f"- {OLD}", (OLD,)),
    ],
)
def test_files(text: str, keys: tuple[str, ...]) -> None:
    assert keyfile.parse(text) == keys
    assert keyfile.parse(keyfile.render(keys)) == keys


@pytest.mark.parametrize("text", ["", "short", "no*base64*letters", "- ", "- abc\n- defghi", "a" * 1025])
def test_a_bad_file_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(StackgateError) as refused:
        keyfile.parse(text)
    assert not text.strip("- ") or text not in str(refused.value)


def test_a_new_key_is_one_the_server_takes() -> None:
    assert keyfile.KEY.fullmatch(keyfile.new_key())
    assert keyfile.new_key() != keyfile.new_key()


def test_keys_and_phase_must_agree() -> None:
    tampered = secret(OLD, **{keyfile.ANNOTATION: '{"phase": "switched", "behind": []}'})
    with pytest.raises(StackgateError, match="2 keys in Secret mongodb-key") as refused:
        keyfile.read(tampered, "key")
    assert OLD not in str(refused.value)
    with pytest.raises(StackgateError, match="1 key in Secret mongodb-key"):
        keyfile.read(secret(f"- {OLD}\n- {NEW}\n"), "key")


def test_a_missing_value_is_named() -> None:
    with pytest.raises(StackgateError, match=r"key nothing[\s\S]*it has key, other"):
        keyfile.read(secret(), "nothing")


def test_no_key_is_in_a_text_of_a_ring() -> None:
    assert all(OLD not in repr(ring) + ring.sentence and NEW not in repr(ring) for ring in rings())
