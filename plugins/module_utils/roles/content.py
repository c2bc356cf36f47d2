# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory's files as ConfigMaps: read, named, and packed below the size that the API server takes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# The API server takes 1 MiB of keys and values in one ConfigMap; the rest is room for names and metadata.
SHARD_BYTES = 1_000_000
# Left behind by editors and file managers; never meant to be published.
IGNORED = frozenset({".DS_Store", "Thumbs.db", ".gitkeep"})


@dataclass(frozen=True)
class File:
    """One file: its path below the directory, with forward slashes, and its content."""

    path: str
    content: bytes

    @property
    def key(self) -> str:
        """Its key in a ConfigMap, where a slash is not allowed: a digest of path and content."""
        return hashlib.sha256(self.path.encode() + b"\0" + self.content).hexdigest()[:32]


def read(directory: str | Path, limit: int) -> list[File]:
    """All files below a directory, sorted by path. StackgateError when there are none, or more than `limit` bytes of them."""
    root = Path(directory)
    if not root.is_dir():
        raise StackgateError(f"{root} is a directory with the content to serve", "there is no such directory", "check website_content_dir")
    files = [
        File(path.relative_to(root).as_posix(), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in IGNORED and not path.name.endswith("~")
    ]
    if not files:
        raise StackgateError(f"{root} holds files to serve", "it is empty")
    total = sum(len(file.content) for file in files)
    if total > limit:
        largest = max(files, key=lambda file: len(file.content))
        raise StackgateError(
            f"the files below {root} are at most {limit} bytes together",
            f"{total} bytes in {len(files)} files, the largest {largest.path} with {len(largest.content)}",
            "serve large files from a volume (role nginx), or raise website_content_limit: all of it is kept in the cluster's store",
        )
    return files


def digest(files: Sequence[File]) -> str:
    """A name for exactly this content: 10 hexadecimal digits."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.key.encode())
    return whole.hexdigest()[:10]


def shards(files: Sequence[File], size: int = SHARD_BYTES) -> list[list[File]]:
    """Files packed in order into groups of at most `size` bytes. StackgateError for a file that fits into none."""
    packed: list[list[File]] = []
    room = 0
    for file in files:
        need = len(file.key) + len(file.content)
        if need > size:
            raise StackgateError(
                f"each file fits into one ConfigMap, that is, into {size} bytes",
                f"{file.path} has {len(file.content)}",
                "make it smaller, or serve it from a volume (role nginx)",
            )
        if need > room:
            packed.append([])
            room = size
        packed[-1].append(file)
        room -= need
    return packed


def content(directory: str | Path, limit: int, size: int = SHARD_BYTES) -> dict[str, Any]:
    """What a template needs: {digest, shards: [{data: {key: base64}, paths: {key: path}}]}."""
    files = read(directory, limit)
    return {
        "digest": digest(files),
        "shards": [
            {
                "data": {file.key: base64.b64encode(file.content).decode() for file in shard},
                "paths": {file.key: file.path for file in shard},
            }
            for shard in shards(files, size)
        ],
    }
