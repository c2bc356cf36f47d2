# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pip's configuration, as a build is lent it."""

from __future__ import annotations

import configparser
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.images import pip


def read(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return dict(parser["global"])


def test_later_files_and_the_environment_win(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("[global]\nindex-url = http://a.example/simple\ntimeout = 5\n[list]\nformat = json\n")
    second.write_text("[global]\nindex_url = http://b.example/simple\n[install]\nno-index = false\nuser = true\n")
    found = pip.settings([first, tmp_path / "missing", second], {"PIP_TIMEOUT": "9", "PIP_USER": "1", "HOME": "/x", "PIP_PROXY": ""})
    assert found == {"index-url": "http://b.example/simple", "timeout": "9", "no-index": "false"}


def test_a_broken_file_is_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "pip.conf"
    broken.write_text("index-url = http://a.example\n")
    assert pip.settings([broken], {}) == {}


def test_files_in_the_order_of_pip(tmp_path: Path) -> None:
    own = tmp_path / "own.conf"
    files = pip.configuration_files({"PIP_CONFIG_FILE": str(own)}, tmp_path)
    assert files == [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        tmp_path / ".pip/pip.conf",
        tmp_path / ".config/pip/pip.conf",
        own,
    ]
    assert pip.configuration_files({"PIP_CONFIG_FILE": "/dev/null"}, tmp_path) == []


def test_paths_move_into_the_build(tmp_path: Path) -> None:
    certificates, wheels = tmp_path / "ca.pem", tmp_path / "wheels"
    certificates.write_text("x")
    wheels.mkdir()
    found = {
        "cert": str(certificates),
        "find-links": f"file://{wheels} https://wheels.example/list /no/such",
        "index-url": "http://a.example",
    }
    result = pip.for_build(found, "/run/build")
    assert result.paths == {"/run/build/pip-cert-0": certificates, "/run/build/pip-find-links-1": wheels}
    written = read(result.text)
    assert written["cert"] == "/run/build/pip-cert-0"
    assert written["find-links"].split() == ["/run/build/pip-find-links-1", "https://wheels.example/list"]
    assert written["index-url"] == "http://a.example"


def test_a_path_that_is_not_there_is_not_named() -> None:
    assert pip.for_build({"cert": "/no/such"}, "/run/build").text == ""


def test_nothing_configured_is_no_file() -> None:
    assert pip.for_build({}, "/run/build") == pip.PipConfiguration()
