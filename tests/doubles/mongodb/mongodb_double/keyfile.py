# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key file by which members know each other: one key, or a YAML list of keys during a rotation."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import yaml

from . import log

SHORTEST, LONGEST = 6, 1024


class KeyFileError(Exception):
    """The key file does not do; what is wrong has been logged."""


def read_keys(path: Path) -> tuple[str, ...]:
    """Every key, white space taken out. Logs what is wrong and raises KeyFileError (recorded: 08d)."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _refusal(30, "InvalidPath", f"permissions on {path} are too open")
        # Every scalar is a string: a key of digits only is no number.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except OSError as error:
        raise _refusal(30, "InvalidPath", f"Error reading file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _refusal(20, "UnsupportedFormat", f"{path} is not a key or a YAML list of keys") from error
    keys = tuple(re.sub(r"\s+", "", str(key)) for key in (content if isinstance(content, list) else [content or ""]))
    for key in keys:
        if not SHORTEST <= len(key) <= LONGEST:
            log.write(
                *("E", "ACCESS", 20255, "main", "Security key size is out range"),
                filename=str(path),
                size=len(key),
                minimumLength=SHORTEST,
                maximumLength=LONGEST,
            )
            raise KeyFileError(f"a key of {len(key)} characters")
        if not re.fullmatch(r"[A-Za-z0-9+/=]+", key):
            raise _refusal(20, "UnsupportedFormat", f"invalid char in key file {path}")
    return keys


def _refusal(code: int, name: str, text: str) -> KeyFileError:
    log.write("I", "ACCESS", 20254, "main", "Read security file failed", error={"code": code, "codeName": name, "errmsg": text})
    return KeyFileError(text)
