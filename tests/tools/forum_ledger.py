# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""People who use the forum while something breaks: one posts every second, and everybody looks whether the pages are the right ones.

What they were told is kept in a ledger, to be compared with the forum afterwards: every accepted post is there, and its recipient was
notified, which is a task of Celery.
"""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from visitor import Answer, Visitor

# Seconds that somebody looks at a page that does not come, before he presses the button again.
IMPATIENCE = 12.0
EVERY = 1.0
# Seconds: a task that a lost worker had taken is given back after two minutes.
TASKS_DONE = 240.0


@dataclass(frozen=True)
class Attempt:
    """One request: when it was sent, how long it took (seconds since the ledger was begun), and what came back."""

    what: str
    sent: float
    took: float
    outcome: str
    accepted: bool


@dataclass
class Ledger:
    """Everything that was tried.

    posts:    by title, the address of each accepted one.
    wrong:    pages that came with status 200 and were not what was asked for, or that refused what a member may do.
    """

    began: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    posts: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def failures(self, what: str) -> list[Attempt]:
        return [one for one in self.attempts if one.what == what and not one.accepted]

    def error_seconds(self, what: str = "post") -> float:
        """Seconds in which it failed: one request was sent in each."""
        return len(self.failures(what)) * EVERY

    def slowest(self, what: str = "post") -> float:
        """Seconds that the slowest successful request took."""
        return max((one.took for one in self.attempts if one.what == what and one.accepted), default=0.0)

    def summary(self) -> str:
        failed = [f"{one.sent:.0f} s: {one.what} {one.outcome} after {one.took:.1f} s" for one in self.attempts if not one.accepted]
        return (
            f"{len(self.posts)} posts accepted, posting failed in {self.error_seconds():.0f} s, "
            f"slowest post {self.slowest():.1f} s, {len(self.wrong)} wrong pages; {'; '.join(failed) or 'nothing failed'}"
        )


@dataclass
class People:
    """A poster, his recipient and a stranger, each with a session of his own.

    known: address and text of a public thread that was there before.
    """

    poster: Visitor
    poster_name: str
    recipient: Visitor
    recipient_name: str
    stranger: Visitor
    known: tuple[str, str]
    ledger: Ledger = field(default_factory=Ledger)
    tag: str = field(default_factory=lambda: secrets.token_hex(4))

    @contextmanager
    def at_work(self) -> Iterator[Ledger]:
        """They post, read and look who they are, once a second each, until the block ends; then what was sent is waited for."""
        ended = threading.Event()
        rounds = threading.Thread(target=self._rounds, args=(ended,))
        rounds.start()
        try:
            yield self.ledger
        finally:
            ended.set()
            rounds.join(timeout=3 * IMPATIENCE)

    def _rounds(self, ended: threading.Event) -> None:
        """Each request in a thread of its own: one that hangs keeps nobody from the next second's."""
        asked: list[threading.Thread] = []
        number = 0
        while not ended.wait(max(0.0, self.ledger.began + number * EVERY - time.monotonic())):
            number += 1
            for call in (self._post, self._who_am_i, self._read):
                asked.append(threading.Thread(target=call, args=(number,), daemon=True))
                asked[-1].start()
        for thread in asked:
            thread.join(timeout=2 * IMPATIENCE)

    def _post(self, number: int) -> None:
        title = f"Ledger {self.tag} {number}"
        body = {"to": [self.recipient_name], "title": title, "post": f"Entry {title}"}

        def accepted(answer: Answer) -> bool:
            if answer.json().get("title") != title:
                return False
            self.ledger.posts[title] = str(answer.json()["url"])
            return True

        self._ask("post", lambda: self.poster.post("/api/private-threads/", body), accepted)

    def _who_am_i(self, number: int) -> None:
        """Nobody gets anybody else's session, and nobody loses his. They ask in turn."""
        everybody = ((self.poster_name, self.poster), (self.recipient_name, self.recipient), (None, self.stranger))
        name, visitor = everybody[number % len(everybody)]
        self._ask("session", lambda: visitor.get("/api/auth/"), lambda answer: answer.json().get("username") == name)

    def _read(self, _number: int) -> None:
        url, text = self.known
        self._ask("read", lambda: self.stranger.get(url), lambda answer: text in answer.text)

    def _ask(self, what: str, call: Callable[[], Answer], right: Callable[[Answer], bool]) -> None:
        """One request into the ledger. Errors of the server and the network are failures; anything else that is not right is wrong."""
        sent = time.monotonic()
        accepted = False
        try:
            answer = call()
            outcome = str(answer.status)
            if answer.status == 200:
                accepted = right(answer)
            if not accepted and answer.status < 500:
                self.ledger.wrong.append(f"{what} at {sent - self.ledger.began:.1f} s: {answer.status} {answer.text[:200]}")
        except (OSError, http.client.HTTPException) as error:
            outcome = type(error).__name__
        self.ledger.attempts.append(Attempt(what, sent - self.ledger.began, time.monotonic() - sent, outcome, accepted))

    # -- afterwards -------------------------------------------------------------------------------------------------------

    def missing_posts(self) -> list[str]:
        """Titles of accepted posts that the recipient does not find."""
        return [title for title, url in self.ledger.posts.items() if f"Entry {title}" not in self.recipient.get(url).text]

    def not_notified(self) -> list[str]:
        """Titles of accepted posts of which the recipient has no notification."""
        told, path = "", "/api/v2/notifications/"
        while True:
            page = self.recipient.get(path).json()
            told += " ".join(one["message"] for one in page["results"]) + " "
            if not page["hasNext"]:
                break
            path = f"/api/v2/notifications/?after={page['lastCursor']}"
        return [title for title in self.ledger.posts if f"{title}<" not in told]
