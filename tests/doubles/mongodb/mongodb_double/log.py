# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines as mongod writes them to its standard output: one JSON document a line (recorded: 08d)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def write(severity: str, component: str, identity: int, context: str, message: str, **attributes: Any) -> None:
    """Print a line. severity: F, E, W, I or D1-D5; identity: the server's own number of the message."""
    date = datetime.now(UTC).isoformat(timespec="milliseconds")
    attr = f',"attr":{json.dumps(attributes, separators=(",", ":"))}' if attributes else ""
    columns = f'"s":{_column(severity, 6)}"c":{_column(component, 12)}"id":{f"{identity},":<9}"ctx":{json.dumps(context)}'
    print(f'{{"t":{{"$date":"{date}"}},{columns},"msg":{json.dumps(message)}{attr}}}', flush=True)


def _column(text: str, width: int) -> str:
    """A value with its comma, filled up with blanks."""
    return f'"{text}",'.ljust(width)
