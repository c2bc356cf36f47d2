# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings take from the environment. Standard library only, so that it is tested without Django.

Every secret can be given as a file: `FORUM_X_FILE` names it, and wins over `FORUM_X`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class EnvironmentProblem(Exception):
    """A setting that is missing or cannot be read: what was expected, what was seen. Never holds a secret's value."""


class Environment:
    """Typed reads of one mapping (os.environ, or a dict in tests)."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def text(self, name: str, default: str | None = None) -> str:
        """The value of `name`, from the file `name`_FILE when that is set; EnvironmentProblem when both lack and no default."""
        file = self.values.get(f"{name}_FILE", "")
        if file:
            try:
                return Path(file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise EnvironmentProblem(f"expected: {name}_FILE names a readable file\nseen: {file}: {error.strerror}") from error
        value = self.values.get(name, "")
        if value:
            return value
        if default is None:
            raise EnvironmentProblem(f"expected: {name} or {name}_FILE is set\nseen: neither is in the environment")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """A switch; EnvironmentProblem for a word that is neither yes nor no."""
        word = self.text(name, str(default)).lower()
        if word not in TRUE | FALSE:
            raise EnvironmentProblem(f"expected: {name} is one of {', '.join(sorted(TRUE | FALSE))}\nseen: {word!r}")
        return word in TRUE

    def number(self, name: str, default: int, minimum: int = 0) -> int:
        """A whole number of at least `minimum`; EnvironmentProblem otherwise."""
        text = self.text(name, str(default))
        if not text.isdecimal() or int(text) < minimum:
            raise EnvironmentProblem(f"expected: {name} is a whole number of at least {minimum}\nseen: {text!r}")
        return int(text)

    def words(self, name: str, default: str | None = None) -> list[str]:
        """A list separated by commas, blanks dropped."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]


def database_parts(environment: Environment) -> dict[str, Any]:
    """Host, port, name, user, password and connection options, from FORUM_DATABASE_URI or from FORUM_DATABASE_HOST and so on."""
    if environment.values.get("FORUM_DATABASE_URI_FILE") or environment.values.get("FORUM_DATABASE_URI"):
        uri = urlsplit(environment.text("FORUM_DATABASE_URI"))
        if uri.scheme not in ("postgresql", "postgres") or not uri.hostname or not uri.username or not uri.path.strip("/"):
            raise EnvironmentProblem(
                "expected: FORUM_DATABASE_URI is postgresql://user:password@host:port/name\n"
                f"seen: scheme {uri.scheme!r}, host {uri.hostname!r}, user {uri.username!r}, path {uri.path!r}"
            )
        return {
            "host": uri.hostname,
            "port": uri.port or 5432,
            "name": unquote(uri.path.strip("/")),
            "user": unquote(uri.username),
            "password": unquote(uri.password or ""),
            "options": dict(parse_qsl(uri.query)),
        }
    return {
        "host": environment.text("FORUM_DATABASE_HOST"),
        "port": environment.number("FORUM_DATABASE_PORT", 5432, minimum=1),
        "name": environment.text("FORUM_DATABASE_NAME", "misago"),
        "user": environment.text("FORUM_DATABASE_USER", "misago"),
        "password": environment.text("FORUM_DATABASE_PASSWORD"),
        "options": {},
    }


def redis_uri(environment: Environment, database: int) -> str:
    """The URI of one numbered Redis database: FORUM_REDIS_URI with its path replaced, or built from FORUM_REDIS_HOST and so on."""
    if environment.values.get("FORUM_REDIS_URI_FILE") or environment.values.get("FORUM_REDIS_URI"):
        uri = urlsplit(environment.text("FORUM_REDIS_URI"))
        if uri.scheme not in ("redis", "rediss") or not uri.hostname:
            raise EnvironmentProblem(
                f"expected: FORUM_REDIS_URI is redis://:password@host:port\nseen: scheme {uri.scheme!r}, host {uri.hostname!r}"
            )
        return urlunsplit((uri.scheme, uri.netloc, f"/{database}", uri.query, ""))
    host, port = environment.text("FORUM_REDIS_HOST"), environment.number("FORUM_REDIS_PORT", 6379, minimum=1)
    password = environment.text("FORUM_REDIS_PASSWORD", "")
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}{host}:{port}/{database}"
