# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build is lent, as files and mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.images import apt, lending


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a certificate bundle, a proxy for apt, credentials, a package index, and a strict umask."""
    root = tmp_path / "machine"
    (root / "apt").mkdir(parents=True)
    (root / "apt/auth.conf").write_text("machine mirror.example login a password b\n")
    (root / "bundle.pem").write_text("x")
    (root / "key.gpg").write_text("x")
    monkeypatch.setattr(apt, "APT_ETC", root / "apt")
    monkeypatch.setattr(lending, "apt_transport", lambda: ['Acquire::http::Proxy "http://proxy.example:3128";'])
    monkeypatch.setattr(lending.pip, "configuration_files", lambda environment, home: [])
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(root / "bundle.pem"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.example/simple")
    before = os.umask(0o077)
    yield root
    os.umask(before)


def test_everything_is_mounted_read_only_where_tools_look(machine: Path, tmp_path: Path) -> None:
    source = apt.Source(("http://mirror.example/debian",), ("bookworm",), ("main",), {"signed-by": str(machine / "key.gpg")})
    loan = lending.lend(tmp_path / "lent", [source])
    mounts = {inside: host for host, inside in loan.mounts}
    assert mounts[f"{lending.INSIDE}/ca-certificates.crt"] == machine / "bundle.pem"
    assert mounts[str(machine / "key.gpg")] == machine / "key.gpg"
    assert mounts["/etc/apt/auth.conf"] == machine / "apt/auth.conf"
    assert "http://mirror.example/debian" in (mounts["/etc/apt/sources.list.d"] / "build.sources").read_text()
    assert "proxy.example" in mounts["/etc/apt/apt.conf.d/99build"].read_text()
    assert f'CaInfo "{lending.INSIDE}/ca-certificates.crt"' in mounts["/etc/apt/apt.conf.d/99build"].read_text()
    assert "http://mirror.example/simple" in mounts["/etc/pip.conf"].read_text()
    assert all(word.endswith(":ro") for word in loan.arguments()[1::2])


def test_mount_points_exist_and_any_user_of_the_build_may_read(machine: Path, tmp_path: Path) -> None:
    loan = lending.lend(tmp_path / "lent", [apt.Source(("http://mirror.example/debian",), ("bookworm",), ("main",))])
    mounts = {inside: host for host, inside in loan.mounts}
    assert (mounts[lending.INSIDE] / "ca-certificates.crt").exists()
    assert mounts[lending.INSIDE].stat().st_mode & 0o777 == 0o755
    assert mounts["/etc/apt/sources.list.d"].stat().st_mode & 0o777 == 0o755
    assert mounts["/etc/pip.conf"].stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "lent").stat().st_mode & 0o777 == 0o700, "on this machine it is private: it may hold credentials"


def test_without_sources_apt_is_left_alone(machine: Path, tmp_path: Path) -> None:
    loan = lending.lend(tmp_path / "lent", [])
    assert not any("/etc/apt" in inside for _host, inside in loan.mounts)


def test_given_sources_win_over_those_of_the_machine() -> None:
    found = lending.debian_sources("bookworm", "deb http://own.example/debian bookworm main\n")
    assert [source.uris for source in found] == [("http://own.example/debian",)]
    assert lending.debian_sources("trixie", "deb http://own.example/any bookworm main\n")[0].suites == ("trixie",)
