# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the image does before Patroni starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[4] / "images" / "postgresql" / "postgresql-member"
USERS = {"superuser": "postgres", "replication": "replication", "rewind": "rewind", "rest": "patroni"}


class Started(Exception):
    """Instead of becoming another program."""


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, in a directory of its own."""
    for directory in ("data", "etc", "secrets", "run"):
        (tmp_path / directory).mkdir()
    (tmp_path / "etc/10-patroni.yml").write_text("scope: postgresql\n")
    for who, name in USERS.items():
        (tmp_path / f"secrets/{who}-username").write_text(name)
        (tmp_path / f"secrets/{who}-password").write_text(f"secret of {who}\n")
    monkeypatch.setenv("PGDATA", str(tmp_path / "data/pgdata"))
    monkeypatch.setenv("PATRONICTL_CONFIG_FILE", str(tmp_path / "run/patroni"))
    monkeypatch.setenv("POSTGRESQL_VERSION", "17")
    monkeypatch.delenv("POSTGRESQL_WAL", raising=False)
    monkeypatch.setattr("sys.argv", ["postgresql-member"])
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader = SourceFileLoader("postgresql_member", str(PROGRAM))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    program = module_from_spec(spec)
    loader.exec_module(program)
    monkeypatch.setattr(program, "CONFIGURATION", tmp_path / "etc")
    monkeypatch.setattr(program, "SECRETS", tmp_path / "secrets")

    def become(name: str, arguments: list[str]) -> None:
        raise Started(name, arguments)

    monkeypatch.setattr(os, "execvp", become)
    # Patroni is in the image alone.
    patroni, ha, postgresql, entry = (ModuleType(name) for name in ("patroni", "patroni.ha", "patroni.postgresql", "patroni.__main__"))
    patroni.__dict__.update(ha=ha, postgresql=postgresql)
    entry.__dict__["main"] = lambda: become("patroni", list(sys.argv))
    for module in (patroni, ha, postgresql, entry):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    before = os.umask(0o022)
    os.umask(before)
    monkeypatch.setattr(os, "umask", lambda _mask: before)
    return program


def start(member: ModuleType) -> list[str]:
    with pytest.raises(Started) as started:
        member.main()
    arguments: list[str] = started.value.args[1]
    return arguments


def data(tmp_path: Path, version: str = "17", control: bool = True) -> Path:
    directory = tmp_path / "data/pgdata"
    (directory / "global").mkdir(parents=True)
    (directory / "PG_VERSION").write_text(version + "\n")
    if control:
        (directory / "global/pg_control").write_text("")
    return directory


def test_patroni_reads_the_mounted_files_and_then_the_passwords(member: ModuleType, tmp_path: Path) -> None:
    assert start(member) == ["patroni", str(tmp_path / "run/patroni")]
    read = sorted((tmp_path / "run/patroni").iterdir())
    assert [path.name for path in read] == ["10-patroni.yml", "90-passwords.yml"]
    assert read[0].read_text() == "scope: postgresql\n"
    given: dict[str, Any] = json.loads(read[1].read_text())
    assert given["postgresql"]["authentication"]["superuser"] == {"username": "postgres", "password": "secret of superuser"}
    assert set(given["postgresql"]["authentication"]) == {"superuser", "replication", "rewind"}
    assert given["restapi"]["authentication"] == {"username": "patroni", "password": "secret of rest"}


def test_a_second_start_takes_the_passwords_of_now(member: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(member)
    monkeypatch.setattr("sys.argv", ["postgresql-member"])
    (tmp_path / "secrets/rest-password").write_text("another")
    start(member)
    assert json.loads((tmp_path / "run/patroni/90-passwords.yml").read_text())["restapi"]["authentication"]["password"] == "another"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_missing_password_is_named(member: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    path = tmp_path / "secrets/replication-password"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SystemExit) as ended:
        member.main()
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert str(path) in said
    assert "postgresql-members" in said
    assert "secret of" not in said


def test_data_of_another_major_version_are_refused_and_left_alone(
    member: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = data(tmp_path, version="15")
    with pytest.raises(SystemExit) as ended:
        member.main()
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert all(words in said for words in ("PostgreSQL 17", "PostgreSQL 15", "dump", "nothing was changed"))
    assert (directory / "global/pg_control").exists()


def test_data_are_kept_and_closed_to_the_group(member: ModuleType, tmp_path: Path) -> None:
    directory = data(tmp_path)
    directory.chmod(0o2770)
    start(member)
    assert (directory / "global/pg_control").exists()
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_copy_that_was_cut_off_is_removed(member: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = data(tmp_path, control=False)
    start(member)
    assert not directory.exists()
    assert "no control file" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [True, False])
def test_a_log_goes_only_where_its_data_are_gone(member: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    log = tmp_path / "wal/pg_wal"
    log.mkdir(parents=True)
    monkeypatch.setenv("POSTGRESQL_WAL", str(log))
    data(tmp_path, control=whole)
    start(member)
    assert log.exists() is whole


def test_another_program_is_run_instead(member: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["postgresql-member", "psql", "--version"])
    assert start(member) == ["psql", "--version"]


FOLLOWS = """
import os, signal, sys, time
from importlib.machinery import SourceFileLoader
from pathlib import Path

sys.dont_write_bytecode = True
member = SourceFileLoader("postgresql_member", sys.argv[1]).load_module()
member.CERTIFICATE, member.LOOK_EVERY = Path(sys.argv[2]), 0.02
told = []
signal.signal(signal.SIGHUP, lambda *_given: told.append(1))
member.follow_certificate()
time.sleep(0.2)
print(len(told))
other = member.CERTIFICATE.with_name("other")
other.write_text("renewed")
other.replace(member.CERTIFICATE)
for _look in range(200):
    if told:
        break
    time.sleep(0.02)
time.sleep(0.2)
print(len(told))
"""


def test_a_certificate_that_is_replaced_is_told_once(tmp_path: Path, member: ModuleType) -> None:
    """In a process of its own, as Patroni is one: SIGHUP is what it takes for a word to read everything again."""
    certificate = tmp_path / "tls.crt"
    certificate.write_text("first")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FOLLOWS, str(PROGRAM), str(certificate)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["0", "1"]
    assert "another certificate" in done.stderr


def test_without_a_certificate_there_is_nothing_to_follow(tmp_path: Path, member: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "CERTIFICATE", tmp_path / "none")
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process for nothing"))
    start(member)
