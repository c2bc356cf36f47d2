# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that tests of Redis run: redis-server, haproxy, and redis-member of images/redis_member.

redis-server: $STACKGATE_REDIS_SERVER (a valkey-server serves as well), else the one of the PATH, else the distribution's packages,
unpacked once into the cache directory (STACKGATE_CACHE, ~/.cache/stackgate; seconds), which needs no rights. haproxy alike.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "images" / "redis_member"
# What each program is unpacked from, and where it is in there: redis-check-rdb is the server under another name.
SERVER = ("usr/bin/redis-check-rdb", ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1"))
PROXY = ("usr/sbin/haproxy", ("haproxy", "liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0"))


def cache() -> Path:
    """Where what is built or fetched once is kept."""
    directory = Path(os.environ.get("STACKGATE_CACHE") or "~/.cache/stackgate").expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@functools.cache
def redis_server() -> str:
    """The server's program; empty when there is none and none can be fetched."""
    return os.environ.get("STACKGATE_REDIS_SERVER") or shutil.which("redis-server") or _unpacked("redis", "redis-server", *SERVER)


@functools.cache
def haproxy() -> str:
    """The proxy's program; empty when there is none and none can be fetched."""
    return shutil.which("haproxy") or _unpacked("haproxy", "haproxy", *PROXY)


def _unpacked(directory: str, name: str, program: str, packages: Sequence[str]) -> str:
    """A program of the distribution, unpacked when it is not there yet; empty where there is no apt."""
    if not shutil.which("apt-get"):
        return ""
    with (cache() / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sorted((cache() / directory).glob(f"*/{name}"))
        return str(kept[-1] if kept else _unpack(cache() / directory, name, program, packages))


def _unpack(target: Path, name: str, program: str, packages: Sequence[str]) -> Path:
    """Fetch the packages into a directory named by their content; the program. Raises CalledProcessError."""
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as temporary:
        scratch = Path(temporary)
        own = {
            "Dir::State::Lists": scratch / "lists",
            "Dir::Cache": scratch / "cache",
            "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
        }
        options = [argument for key, value in own.items() for argument in ("-o", f"{key}={value}")]
        for directory in ("lists/partial", "cache/archives/partial"):
            (scratch / directory).mkdir(parents=True)
        for command in (["update"], ["download", *packages]):
            subprocess.run(["apt-get", "-q", *options, *command], cwd=scratch, check=True, capture_output=True, timeout=300)
        files = sorted(scratch.glob("*.deb"))
        for package in files:
            subprocess.run(["dpkg-deb", "-x", str(package), str(scratch / "root")], check=True, timeout=60)
        digest = hashlib.sha256(b"".join(package.read_bytes() for package in files)).hexdigest()[:16]
        kept = target / digest
        libraries = {path.parent for path in (scratch / "root").rglob("*.so*")}
        ready = scratch / "ready"
        (ready / "lib").mkdir(parents=True)
        for library in (path for directory in libraries for path in directory.glob("*.so*")):
            shutil.copy(library, ready / "lib")
        (ready / "bin").mkdir()
        shutil.copy(scratch / "root" / program, ready / "bin" / name)
        start = ready / name
        start.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{kept}/lib" exec "{kept}/bin/{name}" "$@"\n', encoding="utf-8")
        start.chmod(0o755)
        ready.rename(kept)
    return kept / name


@functools.cache
def redis_member() -> str:
    """The member program, built from its source as it is now; empty without Go. Raises CalledProcessError."""
    if not shutil.which("go"):
        return ""
    files = sorted(path for path in SOURCE.glob("*") if path.suffix in (".go", ".mod", ".sum"))
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()[:16]
    with (cache() / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = cache() / "redis_member" / digest
        if not kept.exists():
            shutil.rmtree(kept.parent, ignore_errors=True)  # what was built of older sources
            kept.parent.mkdir()
            subprocess.run(
                ["go", "build", "-trimpath", "-o", f"{kept}.new", "."], cwd=SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, check=True
            )
            os.replace(f"{kept}.new", kept)
    return str(kept)
