# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine is and has: commands, rights, memory, disk, mounts. Detected, never assumed."""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

_STARTED = time.monotonic()

CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24


def say(text: str) -> None:
    """One line of progress, with the seconds since the program started."""
    sys.stdout.write(f"{time.monotonic() - _STARTED:6.1f} s  {text}\n")
    sys.stdout.flush()


def run(
    *argv: str | Path, stdin: str | None = None, timeout: float = 60.0, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """The standard output of a command. StackgateError when it fails or takes longer than `timeout` seconds."""
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=dict(env) if env else None, cwd=cwd
        )
    except FileNotFoundError as error:
        hint = "install it, or let the role do it (local_cluster_install_packages)"
        raise StackgateError(f"the program {command[0]} is installed", str(error), hint) from error
    except subprocess.TimeoutExpired as error:
        raise StackgateError(f"`{' '.join(command)}` ends", "it still runs", waited=timeout) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise StackgateError(f"`{' '.join(command)}` succeeds", f"exit status {done.returncode}: {said}")
    return done.stdout


def find_program(name: str) -> str | None:
    """A program by name, also in the directories of root that an ordinary PATH may lack."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path)


def has_capability(bit: int) -> bool:
    """Whether this process holds a capability, by its number."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> bit & 1)
    return False


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def file_limit() -> int:
    """The most open files a process may have here; more needs CAP_SYS_RESOURCE."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_000_000
    if hard == resource.RLIM_INFINITY or has_capability(CAP_SYS_RESOURCE):
        return wanted
    return min(hard, wanted)


def free_bytes(path: Path) -> int:
    """Free space of the file system that holds the path, or will hold it."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@dataclasses.dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    point: Path
    kind: str
    options: tuple[str, ...]  # of the file system itself: for cgroup v1 its controllers


def mounts() -> list[Mount]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _separator, after = line.partition(" - ")
        kind, _source, options = [*after.split(" ", 2), ""][:3]
        point = before.split()[4].encode().decode("unicode_escape")
        found.append(Mount(Path(point), kind, tuple(options.split(","))))
    return found


def load_kernel_modules(names: Sequence[str]) -> None:
    """Ask for kernel modules; a kernel that has them built in, or no modprobe, is fine: what is missing shows later."""
    modprobe = find_program("modprobe")
    if modprobe and Path("/lib/modules").is_dir():
        subprocess.run([modprobe, "-a", "-q", *names], capture_output=True, check=False, timeout=30)
