# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance of one store, and drills on it by the playbook."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from instance import Instance, Run, run_playbook


@dataclass(frozen=True)
class Drilled:
    """store: redis or postgresql."""

    store: str
    instance: Instance

    @property
    def given(self) -> list[str]:
        words = [word for path in self.instance.inventories for word in ("-i", str(path))]
        return [*words, "--limit", f"{self.instance.name},localhost"]

    def drill(self, *arguments: str) -> Run:
        return run_playbook(["playbooks/drill.yml", *self.given, "--tags", self.store, *arguments])

    def pods(self) -> dict[str, str]:
        """The uids of the members' pods."""
        found = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.instance.pods()}
        return {name: uid for name, uid in found.items() if re.fullmatch(rf"{self.store}-\d+", name)}


def result(run: Run) -> dict[str, Any]:
    """What the task failover_drill gave."""
    start = re.search(r"^\{$", run.output, re.MULTILINE)
    assert start is not None, run.output
    report, _end = json.JSONDecoder().raw_decode(run.output[start.start() :])
    results = [found for play in report["plays"] for task in play["tasks"] for found in task["hosts"].values()]
    return next(found for found in results if "plan" in found or "runs" in found)
