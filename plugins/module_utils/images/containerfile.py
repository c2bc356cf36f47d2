# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build's output, read line by line: which step is running, and what a failed step said."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

# Lines of a failed step that an error carries.
TAIL = 20
STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP (?P<number>\d+)(?:/(?P<total>\d+))?: (?P<text>.*)$")
# What buildah adds after a failed step: its status, and the step once more.
STATUS = re.compile(r"^(?:subprocess exited with status \d+|(?:Error|error): building at STEP .*: (?P<text>(?:exit status|signal).*))$")
# mmdebstrap names its phases so.
PHASE = re.compile(r"^I: (?P<text>[a-z].*?)(?:\.\.\.)?$")
WIDTH = 100


def _blank() -> deque[str]:
    return deque(maxlen=TAIL)


@dataclass
class Steps:
    """The steps of one build as they go by. current: the step reached; tail: its last lines; status: how it ended."""

    current: str = ""
    tail: deque[str] = field(default_factory=_blank)
    status: str = ""

    def line(self, text: str) -> None:
        """Take one line of output."""
        step = STEP.match(text)
        if step:
            number = f"{step['number']}/{step['total']}" if step["total"] else step["number"]
            self.begin(f"step {number} {step['text']}")
            return
        phase = PHASE.match(text)
        status = STATUS.match(text)
        if phase:
            self.reach(phase["text"])
        if status:
            self.status = status["text"] or self.status
        elif text.strip():
            self.tail.append(text.rstrip())

    def begin(self, step: str) -> None:
        """A new step begins: what the one before said is no longer of interest."""
        self.current, self.tail = step, _blank()

    def reach(self, place: str) -> None:
        """The step goes on; what it said stays of interest."""
        self.current = place

    def short(self) -> str:
        """The step in one line of the terminal."""
        text = " ".join(self.current.split())
        return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."

    def failure(self) -> str:
        """What an error tells: the step, and its last lines."""
        how = f" ({self.status})" if self.status else ""
        return "\n".join([f"it failed at {self.current or 'its start'}{how}:", *(f"  {line}" for line in self.tail)])
