# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine gets Python packages from: pip's own configuration and environment, as one pip.conf for a build.

Files that it names (certificates, directories of wheels) are returned apart: a build sees them under another path.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# How to reach packages; what to do with them (user, target, require-virtualenv, ...) is the Containerfile's business.
KEYS = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert"),
    *("proxy", "timeout", "default-timeout", "retries"),
)
# Keys whose words may be paths.
PATHS = ("cert", "client-cert", "find-links")


@dataclass
class PipConfiguration:
    """A pip.conf, and the host's paths that it needs: {path inside the build: path on the host}."""

    text: str = ""
    paths: dict[str, Path] = field(default_factory=dict)


def configuration_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """pip's configuration files, later ones win."""
    if environment.get("PIP_CONFIG_FILE") == "/dev/null":
        return []  # pip's own way of saying: no file at all
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        files.append(Path(environment["PIP_CONFIG_FILE"]))
    return files


def settings(files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that `pip install` would use: [global], then [install], then the PIP_* variables."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text())
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section, values in found.items():
            if parser.has_section(section):
                values.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    merged = {**found["global"], **found["install"]}
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            merged[name[4:].lower().replace("_", "-")] = value
    return {key: value for key, value in merged.items() if key in KEYS}


def for_build(found: Mapping[str, str], inside: str) -> PipConfiguration:
    """A pip.conf whose paths lie under the directory `inside` of the build. Paths that do not exist are dropped."""
    result = PipConfiguration()
    lines = {}
    for key, value in found.items():
        words = []
        for word in value.split() if key in PATHS else [value]:
            path = Path(word.removeprefix("file://")) if key in PATHS else None
            if path is None or not path.is_absolute():
                words.append(word)
            elif path.exists():
                target = f"{inside}/pip-{key}-{len(result.paths)}"
                result.paths[target] = path
                words.append(target)
        if words:
            lines[key] = "\n".join(words)
    if lines:
        parser = configparser.RawConfigParser()
        parser["global"] = lines
        buffer = io.StringIO()
        parser.write(buffer)
        result.text = buffer.getvalue()
    return result
