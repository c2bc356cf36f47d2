# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files and manifests from the role's templates/."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).absolute().parent.parent.parent / "templates"


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the results are shell, TOML and YAML, not HTML
    )


def template(name: str, values: Mapping[str, Any]) -> str:
    """One template as text."""
    return _environment().get_template(name).render(values)


def tree(name: str, target: Path, values: Mapping[str, Any], leave_out: frozenset[str] = frozenset()) -> dict[Path, str]:
    """Every template below a directory as {path below target: text}, without those named in `leave_out`."""
    source = TEMPLATES / name
    files = {}
    for path in sorted(source.rglob("*.j2")):
        if path.name.split(".")[0] not in leave_out:
            relative = path.relative_to(source)
            files[target / relative.with_name(relative.name.removesuffix(".j2"))] = template(f"{name}/{relative}", values)
    return files


def write(files: Mapping[Path, str]) -> bool:
    """Write the files whose text differs; whether any did."""
    changed = False
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed = True
    return changed
