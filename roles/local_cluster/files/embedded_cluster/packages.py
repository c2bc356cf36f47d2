# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the distribution that the nodes run: found, or installed with apt-get where there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine
from .settings import Settings

# program -> Debian package
PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "socat": "socat",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
BUILD_PROGRAMS = {"gcc": "gcc"}
C_LIBRARY = ("libc6-dev", "/usr/include/stdio.h")
CNI_PACKAGE = "containernetworking-plugins"
CNI_PLUGINS = ("bridge", "host-local", "portmap", "loopback")
CNI_DIRECTORIES = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_NO_STARTS = Path("/usr/sbin/policy-rc.d")


def cni_directory() -> Path | None:
    """The directory that has every CNI plugin a node needs."""
    for directory in map(Path, CNI_DIRECTORIES):
        if all(os.access(directory / plugin, os.X_OK) for plugin in CNI_PLUGINS):
            return directory
    return None


def missing(building: bool) -> dict[str, str]:
    """What is not there, as program -> package; with what a build needs when `building`."""
    wanted = {**PROGRAMS, **(BUILD_PROGRAMS if building else {})}
    absent = {program: package for program, package in wanted.items() if not machine.find_program(program)}
    if cni_directory() is None:
        absent["CNI plugins"] = CNI_PACKAGE
    if building and not Path(C_LIBRARY[1]).exists():
        absent["C library headers"] = C_LIBRARY[0]
    return absent


def ensure(settings: Settings, building: bool) -> bool:
    """Install what is missing; whether anything was. StackgateError where that is not possible."""
    absent = missing(building)
    if not absent:
        return False
    names = sorted(set(absent.values()))
    if not settings.install_packages or not machine.find_program("apt-get"):
        why = "there is no apt-get" if settings.install_packages else "local_cluster_install_packages is off"
        raise StackgateError(
            "the programs that a node runs are installed",
            f"missing: {', '.join(sorted(absent))}, and {why}",
            f"install them; on Debian the packages are called {' '.join(names)}",
        )
    machine.say(f"installing {' '.join(names)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_stay_off():
        machine.run("apt-get", "update", "-q", env=environment, timeout=600.0)
        machine.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *names, env=environment, timeout=1200.0)
    left = missing(building)
    if left:
        raise StackgateError(f"the packages {' '.join(names)} bring every program", f"still missing: {', '.join(sorted(left))}")
    return True


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Keep Debian from starting containerd and docker-registry on the machine itself: the nodes run their own."""
    if _NO_STARTS.exists():
        yield
        return
    _NO_STARTS.write_text("#!/bin/sh\nexit 101\n")
    _NO_STARTS.chmod(0o755)
    try:
        yield
    finally:
        _NO_STARTS.unlink()
