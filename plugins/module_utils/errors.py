# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error type of the collection: what was expected, what was seen, for how long, what to try."""

from __future__ import annotations

from typing import Any


class StackgateError(Exception):
    """A failure that a person can act on.

    expected: the state that should have held, as one sentence without a full stop.
    seen:     what was found instead, in the words of whoever reported it.
    hint:     what to try next; empty when nothing better than "read `seen`" is known.
    waited:   seconds spent waiting for `expected`; None when nothing was waited for.
    details:  structured data for the task's result (never a secret).
    """

    def __init__(
        self, expected: str, seen: str, hint: str = "", waited: float | None = None, details: dict[str, Any] | None = None
    ) -> None:
        self.expected, self.seen, self.hint, self.waited = expected, seen, hint, waited
        self.details = details or {}
        super().__init__(str(self))

    def __str__(self) -> str:
        after = f" (after {self.waited:.1f} s)" if self.waited is not None else ""
        text = f"expected: {self.expected}\nseen{after}: {self.seen}"
        return f"{text}\ntry: {self.hint}" if self.hint else text
