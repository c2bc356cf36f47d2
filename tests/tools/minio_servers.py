# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MinIO servers as processes of this machine: one erasure set whose members can be killed, started again and robbed of their drives.

The program: $STACKGATE_MINIO, else the one that images/minio is made of, built once into the cache directory (STACKGATE_CACHE,
~/.cache/stackgate; minutes), else minio of the PATH.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from ports import free_ports
from waiting import until

SOURCE = Path(__file__).parents[2] / "images" / "minio"


def binary() -> str:
    """The server's program; empty when there is none and none can be built."""
    given = os.environ.get("STACKGATE_MINIO", "")
    if given:
        return given
    cache = Path(os.environ.get("STACKGATE_CACHE") or "~/.cache/stackgate").expanduser()
    kept = cache / "minio" / f"minio-{hashlib.sha256((SOURCE / 'go.sum').read_bytes()).hexdigest()[:16]}"
    if not kept.exists() and shutil.which("go"):
        _build(kept)
    return str(kept) if kept.exists() else shutil.which("minio") or ""


def _build(target: Path) -> None:
    """Build the program from the module of images/minio. Raises CalledProcessError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        for name in ("go.mod", "go.sum"):
            shutil.copy(SOURCE / name, directory)
        caches = {"GOCACHE": target.parents[1] / "go" / "build", "GOMODCACHE": target.parents[1] / "go" / "mod"}
        flags = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        environment = {**os.environ, **flags, **{name: str(path) for name, path in caches.items()}}
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{target}.new", "github.com/minio/minio"]
        subprocess.run(command, cwd=directory, env=environment, check=True)
    os.replace(f"{target}.new", target)


def own_address() -> str:
    """An address of this machine that is not loopback: the server refuses 127.* as a member's address inside a container."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect(("192.0.2.1", 9))  # sends nothing: the kernel only chooses the way
        return str(sock.getsockname()[0])
    return "127.0.0.1"


class MinioServers:
    """So many servers with so many drives each. Addresses are `host:port`."""

    def __init__(self, directory: Path, servers: int = 4, drives: int = 1) -> None:
        self.directory = directory
        self.host = own_address()
        self.access_key, self.secret_key = "root-" + secrets.token_hex(4), secrets.token_hex(16)
        self.ports = free_ports(servers, "")
        self.drives_of = {port: [directory / f"{port}-{drive}" for drive in range(drives)] for port in self.ports}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for paths in self.drives_of.values():
            for path in paths:
                path.mkdir(parents=True)

    def address(self, member: int) -> str:
        """host:port of a member by its number."""
        return f"{self.host}:{self.ports[member]}"

    def start(self, *members: int) -> None:
        """Start members by number; all without one. Does not wait."""
        all_drives = [f"http://{self.host}:{port}{path}" for port, paths in self.drives_of.items() for path in paths]
        for port in [self.ports[member] for member in members] or self.ports:
            drives = all_drives if len(self.ports) > 1 else [str(path) for path in self.drives_of[port]]
            environment = {
                **os.environ,
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_CI_CD": "1",  # drives that are no mounts of their own
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
            }
            with (self.directory / f"{port}.log").open("ab") as log:
                self.processes[port] = subprocess.Popen(
                    [binary(), "server", "--quiet", "--address", f"{self.host}:{port}", *drives],
                    env=environment,
                    stdout=log,
                    stderr=log,
                )

    def kill(self, *members: int) -> None:
        """As if the node lost its power."""
        for port in [self.ports[member] for member in members]:
            process = self.processes.pop(port, None)
            if process:
                process.kill()
                process.wait()

    def wipe(self, member: int) -> None:
        """Take away all that a member's drives hold, as a new volume would."""
        for path in self.drives_of[self.ports[member]]:
            shutil.rmtree(path)
            path.mkdir()

    def stop(self) -> None:
        """All of them, for good."""
        self.kill(*range(len(self.ports)))

    def status(self, member: int, path: str = "/minio/health/cluster") -> int:
        """HTTP status of a health endpoint; 0 when nobody answers."""
        connection = http.client.HTTPConnection(self.address(member), timeout=15)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def wait(self, status: int = 200, path: str = "/minio/health/cluster", members: tuple[int, ...] = ()) -> None:
        """Until a health endpoint says so on every running member. Raises AssertionError with the logs."""
        waiting = list(members) or list(self.running)
        until(
            f"{path} of members {waiting} is {status}",
            lambda: [self.status(member, path) for member in waiting],
            holds=lambda seen: set(seen) == {status},
            details=lambda: "\n".join(self.log(member) for member in waiting),
            pause=0.2,
        )

    @property
    def running(self) -> tuple[int, ...]:
        """The members that were started and not killed."""
        return tuple(self.ports.index(port) for port in self.processes)

    def log(self, member: int) -> str:
        """The end of what a member said."""
        return (self.directory / f"{self.ports[member]}.log").read_text(errors="replace")[-2000:]
