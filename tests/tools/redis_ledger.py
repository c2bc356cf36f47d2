# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of Redis in a pod, and what the members say of themselves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instance import CACHE, PROJECT, Instance
from ledger_pod import Client


@dataclass
class Ledger(Client):
    """The application's pod, and what the members say of themselves to the administrator."""

    program: Path = PROJECT / "tests/acceptance/redis/ledger.py"

    def status(self) -> dict[str, dict[str, str]]:
        pods = [pod["metadata"]["name"] for pod in self.instance.pods("app.kubernetes.io/component=redis")]
        members = sorted(name for name in pods if not name.startswith("redis-proxy"))
        found: dict[str, dict[str, str]] = self("status", *members)
        return found

    def master(self) -> str:
        """The only master, on which all sentinels agree; empty while there is none."""
        found = self.status()
        masters = [name for name, role in found["servers"].items() if role == "master"]
        return masters[0] if len(masters) == 1 and set(found["sentinels"].values()) == set(masters) else ""

    def whole(self, servers: int = 3, sentinels: int = 3) -> bool:
        """Every member is there: one master, the others replicate it."""
        found = self.status()
        roles = sorted(found["servers"].values())
        return roles == ["master", *["slave"] * (servers - 1)] and len(found["sentinels"]) == sentinels and bool(self.master())

    def drill(self, fault: Callable[[], object], seconds: float = 30.0, before: float = 6.0) -> dict[str, Any]:
        """Write, break something after a while, and compare."""
        writing = self.start("drill", str(seconds))
        time.sleep(before)
        fault()
        written: dict[str, Any] = self.finish(writing, seconds + 60)
        return written


def signal_servers(instance: Instance, containers: Mapping[str, str], signal: str) -> None:
    """A signal to the server's process in containers (by pod), at the same moment. Needs an administrator, who may execute in pods."""
    kubectl = [str(CACHE / "bin/kubectl"), "--kubeconfig", str(CACHE / "admin.kubeconfig"), "-n", instance.namespace, "exec"]
    found = "for exe in /proc/[0-9]*/exe; do case $(readlink $exe) in *redis-server|*redis-check*) echo $exe | cut -d/ -f3; esac; done"
    command = f"kill -{signal} $({found})"
    begun = [subprocess.Popen([*kubectl, pod, "-c", container, "--", "sh", "-c", command]) for pod, container in containers.items()]
    assert [process.wait(30) for process in begun] == [0] * len(begun)
