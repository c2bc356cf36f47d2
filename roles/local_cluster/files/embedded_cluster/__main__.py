# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m embedded_cluster up|stop|remove|node NAME off|on|cut|heal < settings.json

Prints a line for every step, and as the last one `changed` or `unchanged`. Errors go to standard error.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path


def _find_collection() -> None:
    """Make ansible_collections.stackgate.k3s importable, from a clone as from an installed collection."""
    for parent in Path(__file__).absolute().parents:
        if parent.name == "ansible_collections":
            sys.path.insert(0, str(parent.parent))
            return
        if (parent / "collections" / "ansible_collections").is_dir():
            sys.path.insert(0, str(parent / "collections"))
            return


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _find_collection()
    from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

    from . import lifecycle, settings

    try:
        wanted = settings.read(json.load(sys.stdin))
        match arguments:
            case ["up"]:
                lifecycle.check(wanted)
                installed = lifecycle.install(wanted)
                changed = lifecycle.up(wanted) or installed
            case ["stop"]:
                changed = lifecycle.down(wanted, keep_data=True)
            case ["remove"]:
                changed = lifecycle.down(wanted, keep_data=False)
            case ["node", number, ("off" | "on" | "cut" | "heal") as state]:
                changed = lifecycle.set_node(wanted, number, state)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except StackgateError as error:
        print(error, file=sys.stderr)
        return 1
    print("changed" if changed else "unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
