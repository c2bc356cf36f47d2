# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key of a Secret becomes."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import values


def request(generate=None, values_=None, fields=None, rotate=None):
    return values.request(generate, values_, fields, rotate)


def existing(generated=(), derived=(), **data):
    return values.Existing({key: value.encode() for key, value in data.items()}, frozenset(generated), frozenset(derived))


URI = "postgresql://${user}:${password}@db:5432/app"


def full():
    return request({"password": None}, {"user": "app"}, {"uri": URI})


def test_a_new_secret_gets_all_keys():
    plan = values.plan(full(), existing())
    password = plan.data["password"].decode()
    assert len(password) == 32
    assert password.isalnum()
    assert plan.data["uri"].decode() == f"postgresql://app:{password}@db:5432/app"
    assert plan.actions == {"password": "generated", "user": "set", "uri": "set"}
    assert (plan.generated, plan.derived) == ({"password"}, {"user", "uri"})


def test_two_values_differ():
    plan = values.plan(request({"a": None, "b": None}), existing())
    assert plan.data["a"] != plan.data["b"]


def test_a_value_is_kept_whatever_its_recipe_says_now():
    plan = values.plan(request({"password": {"length": 64, "alphabet": "hex"}}), existing(password="hunter2"))
    assert plan.data["password"] == b"hunter2"
    assert plan.actions == {"password": "unchanged"}


def test_an_empty_value_is_none():
    assert values.plan(request({"password": None}), existing(password="")).actions == {"password": "generated"}


def test_rotation_replaces_what_is_named_and_what_follows_from_it():
    before = existing(
        ("password", "other"), ("uri", "user"), password="old", other="stays", user="app", uri="postgresql://app:old@db:5432/app"
    )
    plan = values.plan(request({"password": None, "other": None}, {"user": "app"}, {"uri": URI}, ["password"]), before)
    assert plan.actions == {"password": "rotated", "other": "unchanged", "user": "unchanged", "uri": "updated"}
    assert plan.data["password"] != b"old"
    assert plan.data["password"] in plan.data["uri"]


def test_rotating_what_is_not_there_yet_generates_it():
    assert values.plan(request({"password": None}, rotate=["password"]), existing()).actions == {"password": "generated"}


def test_a_changed_template_is_followed():
    first = values.plan(full(), existing())
    live = values.Existing(first.data, first.generated, first.derived)
    again = values.plan(full(), live)
    assert set(again.actions.values()) == {"unchanged"}
    changed = values.plan(request({"password": None}, {"user": "app"}, {"uri": URI + "?sslmode=require"}), live)
    assert changed.actions == {"password": "unchanged", "user": "unchanged", "uri": "updated"}


def test_derived_keys_go_and_all_others_stay():
    before = existing(("password",), ("uri",), password="precious", uri="x", by_hand="y")
    plan = values.plan(request({"cookie": None}), before)
    assert plan.actions == {"cookie": "generated", "password": "kept", "uri": "removed", "by_hand": "kept"}
    assert set(plan.data) == {"cookie", "password", "by_hand"}
    assert plan.generated == {"cookie", "password"}


@pytest.mark.parametrize("option", ["values_", "fields"])
def test_a_generated_value_is_not_overwritten_by_a_given_one(option):
    with pytest.raises(StackgateError, match="password was generated") as caught:
        values.plan(request(**{option: {"password": "mine"}}), existing(("password",), password="precious"))
    assert "precious" not in str(caught.value)


def test_a_given_value_made_by_hand_is_taken_over():
    assert values.plan(request(values_={"user": "app"}), existing(user="old")).actions == {"user": "updated"}


def test_fields_may_refer_to_fields_and_in_every_form():
    plan = values.plan(
        request(
            None,
            {"pw": "p@ss/w$rd"},
            {"auth": "app:${pw:url}", "uri": "amqp://${auth}@mq", "acl": "#${pw:sha256}", "price": "5$$", "raw": "${pw}"},
        ),
        existing(),
    )
    text = {key: value.decode() for key, value in plan.data.items()}
    assert text["uri"] == "amqp://app:p%40ss%2Fw%24rd@mq"
    assert text["acl"] == "#" + hashlib.sha256(b"p@ss/w$rd").hexdigest()
    assert text["price"] == "5$"
    assert text["raw"] == "p@ss/w$rd"


@pytest.mark.parametrize("key", ["redis-password", "tls.key", "A_b", "0"])
def test_any_key_of_a_secret_can_be_referred_to(key):
    assert values.plan(request(None, {key: "x"}, {"f": f"<${{{key}}}>"}), existing()).data["f"] == b"<x>"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"a": "${b}", "b": "${c}", "c": "${a}"}, "a -> b -> c -> a"),
        ({"a": "${nosuch}"}, "refers to nosuch"),
        ({"a": "$pw"}, r"write \$\$"),
        ({"a": "cost: 5$"}, r"write \$\$"),
        ({"a": "${pw:rot13}"}, "asks for rot13"),
    ],
)
def test_templates_that_cannot_be_filled(fields, words):
    with pytest.raises(StackgateError, match=words) as caught:
        values.plan(request(None, {"pw": "hunter2"}, fields), existing())
    assert "hunter2" not in str(caught.value)


def test_a_binary_value_cannot_be_part_of_a_text():
    with pytest.raises(StackgateError, match="binary"):
        values.plan(request({"key": None}, None, {"f": "${key}"}), values.Existing({"key": b"\xff\xfe"}))


@pytest.mark.parametrize(("alphabet", "allowed"), list(values.ALPHABETS.items()))
def test_alphabets(alphabet, allowed):
    value = values.Recipe(512, alphabet).make()
    assert len(value) == 512
    assert set(value) <= set(allowed)
    assert len(set(value)) > len(set(allowed)) // 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"generate": {"a": {"length": 7}}}, "generate.a: length 7"),
        ({"generate": {"a": {"length": "long"}}}, "generate.a: length 'long'"),
        ({"generate": {"a": {"alphabet": "emoji"}}}, "alphabet 'emoji': expected one of alphanumeric"),
        ({"generate": {"a": {"lenght": 9}}}, "unknown option lenght"),
        ({"generate": {"a": "hunter2"}}, "generate.a: expected a mapping"),
        ({"generate": {"a b": None}}, "'a b' is no key"),
        ({"generate": {"a": None}, "fields": {"a": "x"}}, "a is named by more than one"),
        ({"generate": {"a": None}, "rotate": ["b"]}, "rotate: b is not among generate"),
        ({"values_": {"a": True}}, "values.a is of type bool"),
        ({"values_": {"a": ["hunter2"]}}, "values.a is of type list"),
        ({}, "no key is asked for"),
    ],
)
def test_wrong_options(arguments, words):
    with pytest.raises(StackgateError) as caught:
        request(**arguments)
    assert words in caught.value.seen
    assert "hunter2" not in str(caught.value)


def test_a_plan_does_not_print_its_values():
    assert "hunter2" not in repr(values.plan(request(values_={"a": "hunter2"}), existing()))
