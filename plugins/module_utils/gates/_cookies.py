# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cookie jar that does what a browser would do, as far as one site is concerned."""

from __future__ import annotations

import http.cookies
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cookie:
    """One cookie of a host."""

    value: str
    path: str
    secure: bool


@dataclass
class Jar:
    """The cookies of one visitor. Expiry by date is not looked at: a conversation is over before."""

    _kept: dict[tuple[str, str], Cookie] = field(default_factory=dict)

    def store(self, host: str, headers: Iterable[str]) -> None:
        """Take what Set-Cookie headers say."""
        for header in headers:
            parsed = http.cookies.SimpleCookie()
            try:
                parsed.load(header)
            except http.cookies.CookieError:
                continue
            for name, morsel in parsed.items():
                if morsel["max-age"] in ("0", 0) or (not morsel.value and morsel["expires"]):
                    self._kept.pop((host, name), None)
                else:
                    self._kept[host, name] = Cookie(morsel.value, morsel["path"] or "/", bool(morsel["secure"]))

    def header(self, host: str, path: str, secure: bool) -> str:
        """The Cookie header for a request; empty when there is nothing to send. A Secure cookie goes over https only."""
        sent = [
            f"{name}={cookie.value}"
            for (owner, name), cookie in self._kept.items()
            if owner == host and path.startswith(cookie.path) and (secure or not cookie.secure)
        ]
        return "; ".join(sent)

    def value(self, host: str, name: str) -> str | None:
        """A cookie's value."""
        cookie = self._kept.get((host, name))
        return cookie.value if cookie else None

    def withheld(self, host: str) -> list[str]:
        """The Secure cookies of a host: over plain http they are not sent."""
        return [name for (owner, name), cookie in self._kept.items() if owner == host and cookie.secure]
