# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a directory, packed for ConfigMaps."""

from __future__ import annotations

import base64
import re

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.content import File, content, digest, read, shards

PLENTY = 10**9


@pytest.fixture
def site(tmp_path):
    (tmp_path / "css").mkdir()
    (tmp_path / "index.html").write_bytes(b"<h1>Hello</h1>")
    (tmp_path / "css" / "site.css").write_bytes(b"\xff\x00binary")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "index.html~").write_bytes(b"x")
    return tmp_path


def test_all_files_are_read_in_order(site):
    assert [file.path for file in read(site, PLENTY)] == ["css/site.css", "index.html"]


def test_keys_are_valid_and_values_survive(site):
    packed = content(site, PLENTY)
    assert len(packed["shards"]) == 1
    shard = packed["shards"][0]
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key) for key in shard["data"])
    by_path = {shard["paths"][key]: base64.b64decode(value) for key, value in shard["data"].items()}
    assert by_path == {"css/site.css": b"\xff\x00binary", "index.html": b"<h1>Hello</h1>"}


def test_the_name_follows_content_and_path(site):
    before = digest(read(site, PLENTY))
    assert digest(read(site, PLENTY)) == before
    (site / "index.html").rename(site / "home.html")
    renamed = digest(read(site, PLENTY))
    (site / "home.html").write_bytes(b"<h1>Bye</h1>")
    assert len({before, renamed, digest(read(site, PLENTY))}) == 3


def test_no_shard_is_too_large():
    files = [File(f"{number}.bin", bytes([number]) * 400) for number in range(20)]
    packed = shards(files, 1000)
    assert [file for shard in packed for file in shard] == files
    assert all(sum(len(file.content) + len(file.key) for file in shard) <= 1000 for shard in packed)
    assert len(packed) == 10


def test_a_file_that_fits_nowhere_is_named():
    with pytest.raises(StackgateError, match=r"huge\.bin has 1000"):
        shards([File("small.txt", b"x"), File("huge.bin", bytes(1000))], 1000)


def test_too_much_names_the_largest(site):
    with pytest.raises(StackgateError, match=r"22 bytes in 2 files, the largest index\.html with 14"):
        read(site, 20)


def test_no_directory_and_no_files(tmp_path):
    with pytest.raises(StackgateError, match="no such directory"):
        read(tmp_path / "none", PLENTY)
    with pytest.raises(StackgateError, match="empty"):
        read(tmp_path, PLENTY)
