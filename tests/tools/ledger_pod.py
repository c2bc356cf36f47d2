# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of a store in a pod, which keeps a ledger of what was acknowledged."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instance import CACHE, PROJECT, Instance

MONGODB = PROJECT / "tests/acceptance/mongodb/ledger.py"


@dataclass
class Client:
    """The pod that runs a program, ledger.py of a store: each of its commands prints JSON."""

    instance: Instance
    program: Path = MONGODB

    def _command(self, *words: str) -> list[str]:
        kubectl = [str(CACHE / "bin/kubectl"), f"--kubeconfig={self.instance.kubeconfig}", "-n", self.instance.namespace]
        return [*kubectl, "exec", "-i", "ledger", "--", "python3", "-", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command of ledger.py; finish() gives its result."""
        with self.program.open() as program:
            return subprocess.Popen(self._command(*words), stdin=program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process: subprocess.Popen[str], timeout: float = 120.0) -> Any:
        said, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, errors
        return json.loads(said)

    def __call__(self, *words: str) -> Any:
        return self.finish(self.start(*words))

    def states(self) -> dict[str, str]:
        found: dict[str, str] = self("status")["members"]
        return found

    def primary(self) -> str:
        return next(name for name, state in self.states().items() if state == "PRIMARY")


def until(what: str, holds: Callable[[], bool], timeout: float) -> float:
    """Wait until something holds, and say how long it took (seconds)."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout, f"not true after {timeout:.0f} s: {what}"
        time.sleep(0.5)
    return time.monotonic() - began
