# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server for tests, as a process of this machine, and Patroni's REST API in front of it.

The server's program: $STACKGATE_POSTGRES, the one of the PATH or of the distribution's directory, else the distribution's package,
unpacked once into the cache directory (STACKGATE_CACHE, ~/.cache/stackgate), which needs no rights.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
from ports import free_ports
from waiting import PATIENCE, until

SUPERUSER, PASSWORD = "postgres", "super-s3cret"
# The server refuses to run as root: then it runs as the first of these that there is, from where that user may read.
USERS = ("postgres", "nobody")
OPEN_CACHE = Path("/var/tmp/stackgate")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "shared_buffers": "16MB",
    "wal_level": "replica",
    # Whatever reaches the server's log is looked at by tests.
    "log_statement": "all",
    "log_min_error_statement": "debug5",
    "log_min_duration_statement": "0",
}


@functools.cache
def programs() -> Path | None:
    """The directory with postgres and initdb; None when there is none and none can be fetched."""
    named = os.environ.get("STACKGATE_POSTGRES") or shutil.which("postgres")
    known = [Path(named).resolve()] if named else []
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)
    for program in known:
        if (program.parent / "initdb").exists():
            return program.parent
    if not shutil.which("apt-get"):
        return None
    target = (
        OPEN_CACHE if os.getuid() == 0 else Path(os.environ.get("STACKGATE_CACHE") or "~/.cache/stackgate").expanduser()
    ) / "postgresql"
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sorted(target.glob("*/usr/lib/postgresql/*/bin"))
        return kept[-1] if kept else _unpack(target)


def _unpack(target: Path) -> Path:
    """Fetch the package and what it needs here into a directory named by the content. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(dir=target) as name:
        scratch = Path(name)
        for directory in ("lists/partial", "cache/archives/partial", "root"):
            (scratch / directory).mkdir(parents=True)
        own = {
            "Dir::State::Lists": scratch / "lists",
            "Dir::Cache": scratch / "cache",
            "APT::Sandbox::User": pwd.getpwuid(os.getuid()).pw_name,
        }
        options = [argument for key, value in own.items() for argument in ("-o", f"{key}={value}")]

        def run(*command: str) -> str:
            done = subprocess.run(
                [command[0], *options, *command[1:]], cwd=scratch, check=True, capture_output=True, text=True, timeout=300
            )
            return done.stdout

        run("apt-get", "-q", "update")
        server = next(name for name in _needs(run("apt-cache", "depends", "postgresql")) if name.startswith("postgresql-"))
        # The just-in-time compiler is a library that the server loads when it needs it, and 100 MB.
        needed = [name for name in _needs(run("apt-cache", "depends", server)) if not name.startswith(("libllvm", "libc6"))]
        libraries = [name for name in needed if name.startswith("lib") and "-perl" not in name]
        run("apt-get", "-q", "download", server, *libraries)
        packages = sorted(scratch.glob("*.deb"))
        for package in packages:
            subprocess.run(["dpkg-deb", "-x", str(package), str(scratch / "root")], check=True, timeout=60)
        kept = target / hashlib.sha256(b"".join(package.read_bytes() for package in packages)).hexdigest()[:16]
        (scratch / "root").chmod(0o755)
        (scratch / "root").rename(kept)
    return next(kept.glob("usr/lib/postgresql/*/bin"))


def _needs(depends: str) -> list[str]:
    """The packages that another one needs, from what `apt-cache depends` prints."""
    lines = [line.strip() for line in depends.splitlines()]
    return [line.removeprefix("Depends: ") for line in lines if line.startswith("Depends: ") and "<" not in line]


class PostgresServer:
    """One server, on a free port of 127.0.0.1, with passwords (SCRAM). Use it in a `with`."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "no PostgreSQL server"
        self.bin, self.port = found, free_ports(1)[0]
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._log = self.directory / "log"
        self._user = next((name for name in USERS if _there(name)), None) if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        password = self.directory / "password"
        password.write_text(PASSWORD)
        if self._user:
            shutil.chown(self.directory, self._user)
            shutil.chown(password, self._user)
        options = ["--username", SUPERUSER, "--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"]
        self._run("initdb", "--pgdata", str(self.data), "--no-sync", *options)
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        """Start the process, and wait until it takes logins."""
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.directory)}
        arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, *arguments],
                cwd="/",
                stdout=log,
                stderr=log,
                env=self._environment(),
                **self._as_user(),
            )
        until("the server takes logins, or ends", self._takes_logins, details=lambda: self.log()[-2000:], pause=0.05)
        if self._process.poll() is not None:
            raise RuntimeError(f"the server does not start:\n{self.log()[-2000:]}")

    def _takes_logins(self) -> bool:
        """True, too, when it has ended."""
        with contextlib.suppress(psycopg.Error), self.connect():
            return True
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """kill -9 of the postmaster; its children end themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Stop all its processes from answering, as a node without power does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def connect(self, database: str = "postgres", user: str = SUPERUSER, password: str = PASSWORD, **more: Any) -> psycopg.Connection[Any]:
        """A connection of its own, without the code under test. more: libpq's words, such as sslmode."""
        where = {"host": "127.0.0.1", "port": self.port, **more}
        return psycopg.connect(user=user, password=password, dbname=database, autocommit=True, **where)

    def certify(self, files: Mapping[str, bytes]) -> None:
        """Put these files beside the data, as the kubelet does with a Secret's: the server is not told."""
        for name, content in files.items():
            path = self.directory / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self._user:
                shutil.chown(path, self._user)

    def configure(self, settings: Mapping[str, str], rules: Sequence[str]) -> None:
        """Settings that need no restart, and pg_hba.conf; then reload()."""
        (self.data / "postgresql.auto.conf").write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        (self.data / "pg_hba.conf").write_text("".join(f"{rule}\n" for rule in rules))
        self.reload()

    def reload(self) -> None:
        """SIGHUP, as Patroni sends it; connections that are made a moment later see what it changed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    def log(self) -> str:
        """All that the server has written."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _signal(self, number: int) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd="/",
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
            env=self._environment(),
            **self._as_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}\n{done.stderr}")

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        entry = pwd.getpwnam(self._user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _environment(self) -> dict[str, str]:
        """With the libraries beside an unpacked program."""
        root = self.bin.parents[4] if len(self.bin.parents) > 4 else Path("/")
        libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu")) if root != Path("/") else ""
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": libraries}


class PatroniApi(ThreadingHTTPServer):
    """Patroni's REST API for one server that leads: what patroni_cluster asks and sends, answered as Patroni 4 does.

    configuration: the dynamic one. asked: what was sent.
    """

    def __init__(self, scope: str = "postgresql", name: str = "postgresql-0") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.configuration: dict[str, Any] = {"ttl": 20, "loop_wait": 1, "postgresql": {"parameters": {"max_connections": 60}}}
        self.asked: list[tuple[str, str, Any]] = []
        self.status = {
            "state": "running",
            "role": "primary",
            "timeline": 1,
            "xlog": {"location": 1},
            "database_system_identifier": "7",
            "patroni": {"version": "4.0.7", "scope": scope, "name": name},
        }
        self.cluster = {"members": [{"name": name, "role": "leader", "state": "running", "timeline": 1}], "scope": scope}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: PatroniApi

    def do_GET(self) -> None:
        api = self.server
        self._answer({"/patroni": api.status, "/cluster": api.cluster, "/config": api.configuration}[self.path])

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(("PATCH", self.path, body))
        _patch(self.server.configuration, body)
        self._answer(self.server.configuration)

    def _answer(self, body: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_given: Any) -> None:
        """Silent."""


def _patch(there: dict[str, Any], patch: dict[str, Any]) -> None:
    """Patroni's patch_config."""
    for name, value in patch.items():
        if value is None:
            there.pop(name, None)
        elif isinstance(value, dict) and isinstance(there.get(name), dict):
            _patch(there[name], value)
        else:
            there[name] = value


def _there(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
