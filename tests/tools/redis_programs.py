# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that tests of Redis run: redis-server, and redis-member of images/redis_member.

redis-server: $STACKGATE_REDIS_SERVER (a valkey-server serves as well), else the one of the PATH, else the distribution's packages,
unpacked once into the cache directory (STACKGATE_CACHE, ~/.cache/stackgate; seconds), which needs no rights.
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
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "images" / "redis_member"
# redis-check-rdb is the server's program under another name.
PACKAGES = ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
PROGRAM = "usr/bin/redis-check-rdb"


def cache() -> Path:
    """Where what is built or fetched once is kept."""
    directory = Path(os.environ.get("STACKGATE_CACHE") or "~/.cache/stackgate").expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@functools.cache
def redis_server() -> str:
    """The server's program; empty when there is none and none can be fetched."""
    found = os.environ.get("STACKGATE_REDIS_SERVER") or shutil.which("redis-server")
    if found or not shutil.which("apt-get"):
        return found or ""
    with (cache() / "redis.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sorted((cache() / "redis").glob("*/redis-server"))
        return str(kept[-1] if kept else _unpack(cache() / "redis"))


def _unpack(target: Path) -> Path:
    """Fetch the packages into a directory named by their content; the server's program. Raises CalledProcessError."""
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as name:
        scratch = Path(name)
        own = {
            "Dir::State::Lists": scratch / "lists",
            "Dir::Cache": scratch / "cache",
            "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
        }
        options = [argument for key, value in own.items() for argument in ("-o", f"{key}={value}")]
        for directory in ("lists/partial", "cache/archives/partial"):
            (scratch / directory).mkdir(parents=True)
        for command in (["update"], ["download", *PACKAGES]):
            subprocess.run(["apt-get", "-q", *options, *command], cwd=scratch, check=True, capture_output=True, timeout=300)
        packages = sorted(scratch.glob("*.deb"))
        for package in packages:
            subprocess.run(["dpkg-deb", "-x", str(package), str(scratch / "root")], check=True, timeout=60)
        digest = hashlib.sha256(b"".join(package.read_bytes() for package in packages)).hexdigest()[:16]
        kept = target / digest
        libraries = {path.parent for path in (scratch / "root").rglob("*.so*")}
        ready = scratch / "ready"
        (ready / "lib").mkdir(parents=True)
        for library in (path for directory in libraries for path in directory.glob("*.so*")):
            shutil.copy(library, ready / "lib")
        (ready / "bin").mkdir()
        shutil.copy(scratch / "root" / PROGRAM, ready / "bin" / "redis-server")
        start = ready / "redis-server"
        start.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{kept}/lib" exec "{kept}/bin/redis-server" "$@"\n', encoding="utf-8")
        start.chmod(0o755)
        ready.rename(kept)
    return kept / "redis-server"


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
