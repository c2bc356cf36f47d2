# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that makes a base system."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.images import apt, bootstrap
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Image


def test_available_memory() -> None:
    assert bootstrap.available_memory("MemTotal: 9 kB\nMemAvailable:    2048 kB\n") == 2 * 1024**2
    assert bootstrap.available_memory("") == 0


def test_bootstrap_takes_sources_from_a_file_and_names_no_mirror(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "setup").touch()
    arguments = {"suite": "trixie", "packages": "ca-certificates, tzdata"}
    base = Image("debian", tmp_path, "mmdebstrap", None, arguments, "0" * 16)
    sources = [apt.Source(("http://mirror.example/debian",), ("trixie",), ("main",))]
    command = bootstrap.command(base, context, tmp_path, sources, ['Acquire::Retries "3";'])
    assert command[-3:] == ["trixie", str(context / "rootfs.tar"), str(tmp_path / "bootstrap.sources")]
    assert "--variant=minbase" in command
    assert "--include=ca-certificates,tzdata" in command
    assert '--aptopt=Acquire::Retries "3";' in command
    assert f'--customize-hook="{context / "setup"}" "$1"' in command
    assert not any("mirror.example" in word for word in command)
    assert "mirror.example" in (tmp_path / "bootstrap.sources").read_text()
