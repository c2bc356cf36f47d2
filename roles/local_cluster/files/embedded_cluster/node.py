# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One node: a machine made of namespaces, with its own root, network, control groups and process 1.

A node is on when a process is process 1 of it. Everything it runs is in its control group, and everything it keeps over
a power cut is in its directory; the rest (root, mounts, network) is made at each start and ends with process 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine, network, packages, render
from .cgroups import Cgroups, init_process
from .programs import Programs
from .settings import Settings

SERVER_SERVICES = frozenset({"kine", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "servicelb"})
_START_SECONDS = 20.0
# New mount, host name, IPC, process and cgroup namespaces; without the starter there is no node.
_UNSHARE = ("unshare", "-m", "-u", "-i", "-p", "-C", "-f", "--kill-child=KILL", "--propagation", "private")


class Node:
    """Node `number` of the cluster, counted from 1; the first one is the server, too."""

    def __init__(self, settings: Settings, cgroups: Cgroups, number: int) -> None:
        self.settings, self.cgroups, self.number = settings, cgroups, number
        self.name = settings.node_name(number)
        self.directory = settings.node_dir(number)
        self.group = f"{settings.name}/{self.name}"

    # -- state -----------------------------------------------------------------------------------------------

    def is_on(self) -> bool:
        return init_process(self.cgroups.processes(self.group)) is not None

    def booted_at(self) -> float:
        """When the node's services were started, as seconds since the epoch; 0 when they were not."""
        mark = self.directory / "booted"
        return mark.stat().st_mtime if self.is_on() and mark.exists() else 0.0

    def runs(self, wanted: str) -> bool:
        """Whether the node is up with exactly this configuration."""
        mark = self.directory / "runs"
        return self.booted_at() > 0 and mark.exists() and mark.read_text() == wanted

    # -- power -----------------------------------------------------------------------------------------------

    def ensure_on(self, programs: Programs, images: Mapping[str, str]) -> bool:
        """Start the node unless it runs as it should; start it again when its configuration has changed."""
        files = self.files(programs, images)
        wanted = hashlib.sha256("\0".join(f"{path}\0{text}" for path, text in files.items()).encode()).hexdigest()
        wanted += "".join(_fingerprint(path) for path in sorted(self.settings.pki_dir.glob("*.crt")))
        if self.runs(wanted) and network.cable(self.settings, self.number) != "missing":
            return False
        if self.is_on():
            machine.say(f"{self.name}: its configuration changed, it is started again")
        self.off()
        render.write(files)
        self._boot()
        (self.directory / "runs").write_text(wanted)
        return True

    def on(self) -> bool:
        """Start the node as it was; whether it was off."""
        if self.booted_at():
            return False
        if not (self.directory / "runs").exists():
            raise StackgateError(
                f"{self.name} was part of the running cluster", "it was never started", "start the cluster: local_cluster_state=present"
            )
        self.off()
        self._boot()
        return True

    def off(self) -> bool:
        """Cut the power: kill -9 of process 1, and the cable is gone. Whether the node was on."""
        init = init_process(self.cgroups.processes(self.group))
        if init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, 9)  # the kernel ends everything else in the node
        killed = self.cgroups.kill(self.group)
        (self.directory / "booted").unlink(missing_ok=True)
        network.remove_node(self.settings, self.number)
        return killed

    def remove(self) -> bool:
        """Power off and remove what the kernel still knows of the node; whether there was anything."""
        had_network = (network.NAMESPACES / self.settings.node_namespace(self.number)).exists()
        was_on = self.off()
        had_group = self.cgroups.remove(self.group)
        return was_on or had_network or had_group

    def _boot(self) -> None:
        for part in ("root", "log", *(f"data/{kept}" for kept in ("kubelet", "containerd", "cni", "pods", "containers", "local-path"))):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        self.settings.shared_dir.mkdir(exist_ok=True)
        if self.number == 1:
            (self.settings.run_dir / "server").mkdir(mode=0o700, exist_ok=True)
        self.cgroups.create(self.group)
        self.cgroups.remove_children(self.group)
        network.make_node(self.settings, self.number)
        starter = spawn(
            self.cgroups,
            self.group,
            self.settings.node_namespace(self.number),
            [*_UNSHARE, "bash", str(self.directory / "init.sh")],
            self.directory / "log/init.log",
        )
        self._wait_until_booted(starter)

    def _wait_until_booted(self, starter: subprocess.Popen[bytes]) -> None:
        start = time.monotonic()
        while not (self.directory / "booted").exists():
            if self.cgroups.version == 2:
                # The group itself has to be empty before its children can have controllers; see init.sh.j2.
                for entrance in self.cgroups.entrances(f"{self.group}/init"):
                    with contextlib.suppress(OSError):
                        entrance.write_text(str(starter.pid))
            waited = time.monotonic() - start
            if starter.poll() is not None or waited > _START_SECONDS:
                log = (self.directory / "log/init.log").read_text(errors="replace").strip()
                state = f"it ended with status {starter.returncode}" if starter.returncode is not None else "it still prepares"
                raise StackgateError(
                    f"process 1 of {self.name} makes the node and starts its services",
                    f"{state}; its last words: {log[-1500:] or '(none)'}",
                    f"read {self.directory}/log/init.log and {self.directory}/init.sh",
                    waited=waited,
                )
            time.sleep(0.02)

    # -- configuration ---------------------------------------------------------------------------------------

    def files(self, programs: Programs, images: Mapping[str, str]) -> dict[Path, str]:
        """Every configuration file of the node, as {path: text}. images: references by the names in registry.images()."""
        settings = self.settings
        values = {
            "s": settings,
            "number": self.number,
            "node_dir": self.directory,
            "programs": programs,
            "program_dirs": sorted({str(path.parent) for path in programs.all()}),
            "pause_image": images["pause"],
            "extra": lambda program: shlex.join(settings.extra_arguments.get(program, ())),
            "runc": machine.find_program("runc"),
            "cni_dir": packages.cni_directory(),
            "file_limit": machine.file_limit(),
            "may_lower_oom_score": machine.has_capability(machine.CAP_SYS_RESOURCE),
            "reserved_bytes": reserved_bytes(machine.memory_bytes(), settings.nodes, settings.node_memory_bytes),
            "cgroup_version": self.cgroups.version,
            "cgroup_hierarchies": _hierarchies(self.cgroups),
            "extra_mounts": _extra_mounts(machine.mounts()),
        }
        others = frozenset() if self.number == 1 else SERVER_SERVICES
        files = render.tree("node/etc", self.directory / "etc", values)
        files |= render.tree("node/services", self.directory / "etc/services", values, leave_out=others)
        files[self.directory / "init.sh"] = render.template("node/init.sh.j2", values)
        return files


def spawn(cgroups: Cgroups, group: str, namespace: str, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, in a control group and a network namespace; its output goes to the log.

    It joins the control groups before anything else: a cgroup namespace has its root where it is made.
    """
    join = " && ".join(f"echo $$ > {shlex.quote(str(entrance))}" for entrance in cgroups.entrances(group))
    enter = shlex.join(["nsenter", f"--net={network.NAMESPACES / namespace}", *command])
    with log.open("wb") as output:
        return subprocess.Popen(
            ["bash", "-c", f"{join} && exec {enter}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )


def reserved_bytes(memory: int, nodes: int, share: int) -> int:
    """What a node keeps back of the machine's memory so that its own share is left; `share` 0: equal parts and one for
    everything else on the machine."""
    share = share or memory // (nodes + 1)
    return max(0, memory - share)


def _hierarchies(cgroups: Cgroups) -> list[dict[str, Any]]:
    """cgroup v1: how to mount each hierarchy again inside the node."""
    found = []
    for mount in cgroups.hierarchies:
        general = ("rw", "ro", "xattr", "seclabel", "clone_children")
        controllers = [option for option in mount.options if option not in general and not option.startswith("release_agent")]
        named = any(option.startswith("name=") for option in controllers)
        links = [controller for controller in controllers if "," in mount.point.name and controller != mount.point.name]
        found.append({"directory": mount.point.name, "options": ",".join(["none"] * named + controllers), "links": links})
    return found


def _extra_mounts(table: list[machine.Mount]) -> list[str]:
    """File systems of their own that hold programs: an overlay of / does not contain them."""
    places = ("/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64")
    points = [str(mount.point) for mount in table]
    return sorted({point for point in points if any(point == place or point.startswith(place + "/") for place in places)})


def _fingerprint(certificate: Path) -> str:
    return hashlib.sha256(certificate.read_bytes()).hexdigest()[:8]
