# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in a template an error is. Ansible tells the file, not the line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# What Jinja calls a template that was given as text.
UNNAMED = ("<template>", "<unknown>")
QUOTED = re.compile(r"'(?:\w+\.)*([A-Za-z_]\w*)'")
# How many lines are named when a name stands on many.
MOST = 3


def template_error(error: BaseException, source: str, text: str) -> StackgateError:
    """A template's error with file and line. source: the file; text: what is in it."""
    lines = text.splitlines()
    places = [f"{source}:{number}: {lines[number - 1].strip()}" for number in error_lines(error, text)]
    return StackgateError(
        f"the template {source} renders",
        "\n  ".join([str(error), *places]),
        "check the spelling of variables against the role's defaults/main.yml",
    )


def error_lines(error: BaseException, text: str) -> list[int]:
    """The lines (from 1) that an error is about; empty when nothing tells."""
    last = len(text.splitlines())
    for cause in _chain(error):
        frames = [frame.lineno or 0 for frame in traceback.extract_tb(cause.__traceback__) if frame.filename in UNNAMED]
        if frames and 1 <= frames[-1] <= last:
            return [frames[-1]]
    # An undefined value is noticed when all is rendered, far from its line: look for its name.
    for name in QUOTED.findall(str(error)):
        word = re.compile(rf"\b{re.escape(name)}\b")
        numbers = [number for number, line in enumerate(text.splitlines(), 1) if word.search(line)]
        if numbers:
            return numbers[:MOST]
    return []


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
