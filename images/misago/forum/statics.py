# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the image's static files to the volume that the web server reads."""

from __future__ import annotations

import filecmp
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Copied:
    """How many files were written, and how many were there already."""

    written: int
    present: int


def make_readable_directory(directory: Path, top: Path) -> None:
    """Make a directory below `top` that the web server, another user, can enter whatever our umask is."""
    if directory == top or directory.is_dir():
        return
    make_readable_directory(directory.parent, top)
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)


def copy_static(source: Path, target: Path) -> Copied:
    """Make `target` hold every file of `source`, each replaced as a whole, so that a reader or a second copier sees no half file.

    Nothing is deleted: pods of the previous release still answer with pages that name its files. OSError when `target` cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = present = 0
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        goal = target / file.relative_to(source)
        if goal.is_file() and filecmp.cmp(file, goal, shallow=False):
            present += 1
            continue
        make_readable_directory(goal.parent, target)
        part = goal.with_name(f".{goal.name}.{os.uname().nodename}.{os.getpid()}")
        shutil.copyfile(file, part)
        part.chmod(0o644)
        part.replace(goal)
        written += 1
    return Copied(written, present)
