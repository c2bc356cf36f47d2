# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second, smaller embedded cluster beside the one in use, and a look at what the kernel knows of it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("STACKGATE_CACHE", "~/.cache/stackgate")).expanduser()
KUBECTL = CACHE / "bin" / "kubectl"


@dataclasses.dataclass(frozen=True)
class Embedded:
    """A cluster called `name` whose nodes are in `network`, with its data in a directory that nobody else uses."""

    directory: Path
    name: str = "sgtest"
    network: str = "10.233.0.0/24"
    nodes: int = 2

    @property
    def variables(self) -> dict[str, Any]:
        return {
            "local_cluster_name": self.name,
            "local_cluster_network": self.network,
            "local_cluster_nodes": self.nodes,
            "local_cluster_namespaces": ["mine"],
            "local_cluster_run_dir": str(self.directory / "run"),
            "local_cluster_admin_kubeconfig": str(self.admin),
            "local_cluster_kubeconfig": str(self.stack),
        }

    @property
    def admin(self) -> Path:
        return self.directory / "admin.kubeconfig"

    @property
    def stack(self) -> Path:
        return self.directory / "kubeconfig"

    def ip(self, last: int) -> str:
        return f"{self.network.rsplit('.', 1)[0]}.{last}"

    def node_ip(self, number: int) -> str:
        return self.ip(10 + number)

    def start(self, **variables: Any) -> subprocess.Popen[str]:
        """Begin a run of the playbook; variables without their prefix."""
        given = {**self.variables, **{f"local_cluster_{name}": value for name, value in variables.items()}}
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/local_cluster.yml", "-e", json.dumps(given)]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def play(self, **variables: Any) -> str:
        """Run the playbook to its end; its output. Fails the test when the run failed."""
        run = self.start(**variables)
        output, _nothing = run.communicate(timeout=900)
        assert run.returncode == 0, output
        return output

    def kubectl(self, *words: str, kubeconfig: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), "--kubeconfig", str(kubeconfig or self.admin), *words]
        return subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=180, check=False)

    def ask(self, *words: str, stdin: str | None = None) -> str:
        """kubectl's output as the administrator; fails the test when it failed."""
        done = self.kubectl(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def changed(output: str) -> int:
    """The recap's count of changed tasks."""
    found = re.search(r"^localhost .*\bchanged=(\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


def kernel() -> dict[str, set[str]]:
    """Everything a cluster can leave on a machine, by kind, without what is different at each look."""

    def lines(*command: str) -> set[str]:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        return {line.strip() for line in done.stdout.splitlines() if line.strip()}

    processes = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            groups = (directory / "cgroup").read_text()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if "sgtest" in groups or "sgtest" in command.split("pytest")[0]:
            processes.add(f"{directory.name} {command}")
    places = ("run/*", "etc/cni/net.d/*", "opt/*", "var/lib/kubelet*")
    cgroups = {str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir() and path.name == "sgtest"}
    return {
        "processes": processes,
        "mounts": {line.split(" - ")[0].split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "network namespaces": {line.split()[0] for line in lines("ip", "netns", "list")},
        "links": {re.sub(r"@.*", "", line.split()[1].rstrip(":")) for line in lines("ip", "-o", "link")},
        "addresses": {" ".join(line.split()[1:4]) for line in lines("ip", "-o", "-4", "addr")},
        "routes": lines("ip", "-4", "route", "show", "table", "all"),
        "firewall": {line for line in lines("nft", "-s", "list", "ruleset") if "counter" not in line},
        "control groups": cgroups,
        "hosts": set(Path("/etc/hosts").read_text().splitlines()),
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()},
        "files": {str(path) for place in places for path in Path("/").glob(place)},
    }


def differences(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, dict[str, list[str]]]:
    """By kind, what has come and what has gone."""
    found = {}
    for kind, old in before.items():
        came, gone = sorted(after[kind] - old), sorted(old - after[kind])
        if came or gone:
            found[kind] = {"came": came, "gone": gone}
    return found
