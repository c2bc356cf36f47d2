# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control groups of the cluster: what holds a node's processes together, on cgroup v1 and v2 alike.

Every process of the cluster is in NAME/switch or NAME/nodeN of every hierarchy. So the kernel itself knows what belongs
to the cluster, no pid file can be wrong, and nothing can be left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine

V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")


class Cgroups:
    """The machine's cgroup hierarchies.

    version:     1 or 2. A hybrid machine is version 1 when the memory controller is on version 1.
    hierarchies: the mounts that count; one on version 2.
    """

    def __init__(self, table: list[machine.Mount] | None = None) -> None:
        table = machine.mounts() if table is None else table
        first = [mount for mount in table if mount.kind == "cgroup"]
        second = [mount for mount in table if mount.kind == "cgroup2"]
        if any("memory" in mount.options for mount in first):
            self.version, self.hierarchies = 1, first
        elif second:
            self.version, self.hierarchies = 2, second[:1]
        else:
            raise StackgateError(
                "control groups are mounted with the memory controller",
                f"{len(first)} cgroup and {len(second)} cgroup2 mounts, none with it",
                "mount cgroup2 at /sys/fs/cgroup",
            )

    def create(self, path: str) -> None:
        """Make the group in every hierarchy, with every controller its children may need."""
        for mount in self.hierarchies:
            here = mount.point
            for part in Path(path).parts:
                if self.version == 2:
                    _enable_controllers(here)
                here = here / part
                here.mkdir(exist_ok=True)
                if self.version == 1 and "cpuset" in mount.options:
                    # A new cpuset is empty, and an empty one takes no process.
                    for what in ("cpuset.cpus", "cpuset.mems"):
                        if not (here / what).read_text().strip():
                            (here / what).write_text((here.parent / what).read_text())

    def entrances(self, path: str) -> list[Path]:
        """The files into which a process writes its id to join the group."""
        return [mount.point / path / "cgroup.procs" for mount in self.hierarchies]

    def processes(self, path: str) -> list[int]:
        """Every process in the group or below it."""
        found: set[int] = set()
        for mount in self.hierarchies:
            for directory, _children, _files in os.walk(mount.point / path):
                with contextlib.suppress(OSError):
                    found.update(int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split())
        return sorted(found - {0})

    def kill(self, path: str, timeout: float = 15.0) -> bool:
        """Kill -9 everything in the group and wait until it is gone; whether there was anything."""
        start = time.monotonic()
        alive = self.processes(path)
        had = bool(alive)
        while alive:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() - start > timeout:
                names = ", ".join(f"{pid} ({_command(pid)})" for pid in alive[:5])
                raise StackgateError(
                    f"the processes of {path} end when killed", f"still there: {names}", "look at their state with ps", waited=timeout
                )
            time.sleep(0.05)
            alive = self.processes(path)
        return had

    def remove_children(self, path: str) -> None:
        """Remove the groups below one. A node that boots with those of its former life takes seconds for each."""
        for mount in self.hierarchies:
            for directory, _children, _files in os.walk(mount.point / path, topdown=False):
                if Path(directory) != mount.point / path:
                    _remove_group(Path(directory))

    def remove(self, path: str) -> bool:
        """Remove the group; whether it was there."""
        there = [mount.point / path for mount in self.hierarchies if (mount.point / path).is_dir()]
        self.remove_children(path)
        for directory in there:
            _remove_group(directory)
        return bool(there)


def init_process(processes: list[int]) -> int | None:
    """The one that is process 1 of a node: it has one id inside, 1, and one outside. Pods are a level deeper."""
    for pid in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                    return pid
    return None


def _enable_controllers(directory: Path) -> None:
    """cgroup v2: let the children of the directory have what the directory itself has."""
    available = (directory / "cgroup.controllers").read_text().split()
    for controller in V2_CONTROLLERS:
        if controller in available:
            with contextlib.suppress(OSError):  # already on, or not to be had: the kubelet says what it lacks
                (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_group(directory: Path, timeout: float = 5.0) -> None:
    """rmdir; the kernel says busy for a moment after the last process has ended."""
    start = time.monotonic()
    while True:
        try:
            directory.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() - start > timeout:
                raise StackgateError(
                    f"the control group {directory} can be removed", str(error), "look at its cgroup.procs", waited=timeout
                ) from error
            time.sleep(0.02)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80].strip()
    return "?"
