# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns `pip config list` (standard input) into a pip.conf (standard output).

That list is pip's effective configuration, its environment variables included: the way to hand it to a program that
starts pip with another home and without the environment.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict

# "install.find-links='/opt/wheels'", ":env:.index-url='https://...'"
LINE = re.compile(r"^(?P<section>:env:|[\w-]+)\.(?P<key>[\w-]+)=(?P<value>.+)$")
# It names the files that this list was read from.
SKIPPED = {"config-file"}


def to_ini(listing: str) -> str:
    """The ini text of a listing. Environment variables override files, as they do in pip."""
    sections: dict[str, dict[str, str]] = defaultdict(dict)
    from_environment: dict[str, str] = {}
    for line in listing.splitlines():
        if (match := LINE.match(line)) is None or match["key"] in SKIPPED:
            continue
        value = str(ast.literal_eval(match["value"]))
        if match["section"] == ":env:":
            from_environment[match["key"]] = value
        else:
            sections[match["section"]][match["key"]] = value
    for key, value in from_environment.items():
        for options in sections.values():
            options.pop(key, None)
        sections["global"][key] = value
    text = ""
    for section, options in sections.items():
        text += f"[{section}]\n"
        # A value of several lines (extra indexes) goes on in indented lines.
        text += "".join(f"{key} = {value.strip().replace(chr(10), chr(10) + '    ')}\n" for key, value in options.items())
    return text


if __name__ == "__main__":
    sys.stdout.write(to_ini(sys.stdin.read()))
