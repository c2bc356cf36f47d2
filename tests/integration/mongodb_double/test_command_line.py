# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The double is started, refused and ended as mongod is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mongodb_double import command_line
from mongodb_servers import DOUBLE, LISTENING, real_mongod
from ports import free_ports
from replay import recording
from waiting import PATIENCE, until

ADDRESS = "127.0.1.9"


def program() -> list[str]:
    real = real_mongod()
    return [real] if real else [sys.executable, "-m", "mongodb_double"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(DOUBLE)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A start that ends by itself."""
    return subprocess.run([*program(), *arguments], capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def options(directory: Path, port: int) -> list[str]:
    return ["--bind_ip", ADDRESS, "--port", str(port), "--dbpath", str(directory), "--replSet", "rs0"]


KEY_FILES = {
    # As recorded: what is in the file, its mode.
    "open": ("a" * 32, 0o644),
    "short": ("abc", 0o400),
    "badchars": ("not!base64!at!all", 0o400),
    "missing": (None, 0),
}


@pytest.mark.parametrize("step", [entry.step for entry in recording.load("08d-keyfile-startup").steps])
def test_key_files(step: int, tmp_path: Path) -> None:
    recorded = next(entry for entry in recording.load("08d-keyfile-startup").steps if entry.step == step)
    assert isinstance(recorded, recording.Command)
    assert recorded.reply is not None
    content, mode = KEY_FILES[recorded.command["mongod --keyFile"]]
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_text(content, encoding="utf-8")
        key_file.chmod(mode)
    (tmp_path / "db").mkdir()

    ended = run(*options(tmp_path / "db", free_ports(1, ADDRESS)[0]), "--auth", "--keyFile", str(key_file))

    assert ended.returncode == recorded.reply["exit"]
    seen = [facts(line) for line in lines(ended.stdout)]
    for line in recorded.reply["log"]:
        assert facts(json.loads(line)) in seen


def facts(line: dict[str, Any]) -> tuple[Any, ...]:
    """A log line without date, thread and file names."""
    attributes = {key: value for key, value in line.get("attr", {}).items() if key != "filename"}
    return line["s"], line["c"], line["id"], line["msg"], attributes


@pytest.mark.parametrize("content", ["  c3RhZ2VnYXRl\nc3RhZ2VnYXRl\n", "- c3RhZ2VnYXRl\n- b3RoZXJrZXk+\n", "123456"])
def test_a_key_file_that_does(content: str, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(content, encoding="utf-8")
    key_file.chmod(0o400)
    (tmp_path / "db").mkdir()
    with Started(tmp_path, "--keyFile", str(key_file)):
        pass


def test_an_unknown_option() -> None:
    ended = run("--replset", "rs0")
    assert ended.returncode == 2
    assert "unrecognised option '--replset'" in ended.stderr


def test_no_data_directory(tmp_path: Path) -> None:
    ended = run(*options(tmp_path / "none", free_ports(1, ADDRESS)[0]))
    assert ended.returncode == 100
    assert "NonExistentPath" in ended.stdout


def test_a_data_directory_in_use(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with Started(tmp_path):
        ended = run(*options(tmp_path / "db", free_ports(1, ADDRESS)[0]))
    assert ended.returncode == 100
    assert "DBPathInUse" in ended.stdout


def test_an_address_in_use(tmp_path: Path) -> None:
    port = free_ports(1, ADDRESS)[0]
    (tmp_path / "db").mkdir()
    with socket.create_server((ADDRESS, port)):
        ended = run(*options(tmp_path / "db", port))
    assert ended.returncode == 48


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with Started(tmp_path) as started:
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE) == 0
    assert [line["id"] for line in lines(started.log()) if line["id"] in (23377, 23138)] == [23377, 23138]


def test_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "mongod.conf"
    file.write_text(
        """
net: {port: 27018, bindIpAll: true}
replication: {replSetName: rs0}
storage:
  dbPath: /data
  wiredTiger: {engineConfig: {cacheSizeGB: 0.25}}
security: {keyFile: /run/key}
setParameter: {diagnosticDataCollectionEnabled: false}
""",
        encoding="utf-8",
    )
    line = command_line.parse(["mongod", "--config", str(file), "--port", "27019"])
    assert line.get("net.port") == 27019
    assert line.get("replication.replSet") == "rs0"
    assert line.get("setParameter.diagnosticDataCollectionEnabled") is False
    assert line.addresses == ["0.0.0.0"]
    assert line.auth


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x"], "the argument ('x') for option '--port' is invalid"),
        (["--port"], "the required argument for option '--port' is missing"),
        (["rs0"], "too many positional options"),
        (["--config", "/nowhere/mongod.conf"], "Error opening config file"),
    ],
)
def test_a_bad_command_line(arguments: list[str], message: str) -> None:
    with pytest.raises(command_line.UsageError, match=None) as refused:
        command_line.parse(["mongod", *arguments])
    assert message in str(refused.value)


class Started:
    """A server of its own in a directory."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._directory, self._arguments = directory, arguments

    def __enter__(self) -> Started:
        command = [*program(), *options(self._directory / "db", free_ports(1, ADDRESS)[0]), *self._arguments]
        with (self._directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, env=environment())
        until("it listens or ends", lambda: LISTENING in self.log() or self.process.poll() is not None, details=self.log)
        assert self.process.poll() is None, self.log()
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return (self._directory / "log").read_text(encoding="utf-8")
