# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from forum.environment import Environment, EnvironmentProblem, database_parts, redis_uri


def test_a_file_wins_over_the_value_and_loses_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file\n")
    environment = Environment({"FORUM_KEY": "from the value", "FORUM_KEY_FILE": str(tmp_path / "key")})
    assert environment.text("FORUM_KEY") == "from the file"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"FORUM_KEY_FILE names a readable file\nseen: .*gone: No such file"):
        Environment({"FORUM_KEY_FILE": str(tmp_path / "gone")}).text("FORUM_KEY")


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="FORUM_KEY or FORUM_KEY_FILE is set"):
        Environment({"FORUM_KEY": ""}).text("FORUM_KEY")


@pytest.mark.parametrize(("word", "value"), [("True", True), ("on", True), ("0", False), ("No", False)])
def test_switches(word: str, value: bool) -> None:
    assert Environment({"FORUM_X": word}).flag("FORUM_X", not value) is value


def test_a_word_that_is_no_switch() -> None:
    with pytest.raises(EnvironmentProblem, match="seen: 'maybe'"):
        Environment({"FORUM_X": "maybe"}).flag("FORUM_X", True)


@pytest.mark.parametrize("text", ["two", "-1", "0", "1.5"])
def test_a_number_that_is_none_or_too_small(text: str) -> None:
    with pytest.raises(EnvironmentProblem, match="whole number of at least 1"):
        Environment({"FORUM_X": text}).number("FORUM_X", 2, minimum=1)


def test_words_drop_blanks() -> None:
    assert Environment({"FORUM_HOSTS": "a.test, b.test ,,"}).words("FORUM_HOSTS") == ["a.test", "b.test"]


def test_database_uri_is_unquoted() -> None:
    environment = Environment({"FORUM_DATABASE_URI": "postgresql://mis%40go:p%2Fw%3A@db:6432/for%20um?sslmode=require"})
    assert database_parts(environment) == {
        "host": "db",
        "port": 6432,
        "name": "for um",
        "user": "mis@go",
        "password": "p/w:",
        "options": {"sslmode": "require"},
    }


def test_database_parts() -> None:
    parts = database_parts(Environment({"FORUM_DATABASE_HOST": "db", "FORUM_DATABASE_PASSWORD": "p"}))
    assert (parts["host"], parts["port"], parts["name"], parts["user"], parts["password"]) == ("db", 5432, "misago", "misago", "p")


@pytest.mark.parametrize("uri", ["mysql://a:secret@b/c", "postgresql://a:secret@b/", "postgresql://b/c", "secret"])
def test_a_wrong_database_uri_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        database_parts(Environment({"FORUM_DATABASE_URI": uri}))
    assert "postgresql://user:password@host:port/name" in str(caught.value)
    assert ":secret" not in str(caught.value)


def test_redis_uri_gets_the_number_of_the_database() -> None:
    environment = Environment({"FORUM_REDIS_URI": "redis://:p%2Fw@redis:6379"})
    assert redis_uri(environment, 2) == "redis://:p%2Fw@redis:6379/2"
    assert redis_uri(Environment({"FORUM_REDIS_URI": "rediss://:p@redis:6379/7?x=1"}), 0) == "rediss://:p@redis:6379/0?x=1"


def test_redis_uri_from_parts_is_quoted() -> None:
    assert redis_uri(Environment({"FORUM_REDIS_HOST": "redis", "FORUM_REDIS_PASSWORD": "a/b@c"}), 1) == "redis://:a%2Fb%40c@redis:6379/1"
    assert redis_uri(Environment({"FORUM_REDIS_HOST": "redis"}), 1) == "redis://redis:6379/1"


def test_a_wrong_redis_uri_is_refused_without_its_password() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        redis_uri(Environment({"FORUM_REDIS_URI": "http://:secret@redis"}), 0)
    assert "secret" not in str(caught.value)
