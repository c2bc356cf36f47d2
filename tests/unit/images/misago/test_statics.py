# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

from forum.statics import Copied, copy_static


def content(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_files_are_copied_once_and_mended_when_they_differ(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "css").mkdir(parents=True)
    (source / "css/a.1.css").write_text("one")
    (source / "manifest.json").write_text("{}")
    assert copy_static(source, target) == Copied(written=2, present=0)
    assert content(target) == content(source)
    assert copy_static(source, target) == Copied(written=0, present=2)
    (target / "css/a.1.css").write_text("cut")
    for file in (source, target):
        os.utime(file / "css/a.1.css", (0, 0))  # as in an image, where every file has the same time
    assert copy_static(source, target) == Copied(written=1, present=1)
    assert content(target) == content(source)


def test_files_of_the_previous_release_stay(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "b.2.js").write_text("new")
    (target / "b.1.js").write_text("old")
    copy_static(source, target)
    assert content(target) == {"b.1.js": "old", "b.2.js": "new"}


def test_what_is_written_can_be_read_by_another_user(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "css").mkdir(parents=True)
    (source / "css/a").write_text("x")
    umask = os.umask(0o077)
    try:
        copy_static(source, tmp_path / "target")
    finally:
        os.umask(umask)
    assert (tmp_path / "target/css/a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "target/css").stat().st_mode & 0o777 == 0o755
