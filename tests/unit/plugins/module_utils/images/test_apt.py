# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""apt's sources in both formats, and what of them serves a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images import apt
from ansible_collections.stackgate.k3s.plugins.module_utils.images.apt import Source

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib  # with a comment
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64,arm64 signed-by=/etc/apt/keyrings/corp.gpg] http://mirror.example/debian-security bookworm-security main
deb http://flat.example ./
"""
DEB822 = f"""\
Types: deb
# where it comes from
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://inline.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ==
 -----END PGP PUBLIC KEY BLOCK-----
"""
MAIN = Source(("http://mirror.example/debian",), ("bookworm", "bookworm-updates"), ("main",), {"signed-by": KEYRING})
SECURITY = Source(("http://mirror.example/debian-security",), ("bookworm-security",), ("main",), {"signed-by": KEYRING})
THIRD = [
    Source(("https://deb.example/node_20.x",), ("nodistro",), ("main",)),
    Source(("https://download.example/linux/debian",), ("bookworm",), ("stable",)),
    Source(("https://packages.example/apt",), ("cloud-sdk-bookworm",), ("main",)),
    Source(("https://php.example/php",), ("bookworm",), ("main",), {"signed-by": "/usr/share/keyrings/php.gpg"}),
]


def test_one_line() -> None:
    assert apt.parse(ONE_LINE) == [
        Source(("http://mirror.example/debian",), ("bookworm",), ("main", "contrib")),
        Source(
            ("http://mirror.example/debian-security",),
            ("bookworm-security",),
            ("main",),
            {"architectures": "amd64 arm64", "signed-by": "/etc/apt/keyrings/corp.gpg"},
        ),
        Source(("http://flat.example",), ("./",), ()),
    ]


def test_deb822() -> None:
    found = apt.parse(DEB822)
    assert found[:2] == [MAIN, SECURITY]
    assert [source.uris for source in found[2:]] == [("https://inline.example/debian",)]
    assert "BEGIN PGP" in found[2].options["signed-by"]


def test_what_is_written_is_read_again() -> None:
    for source in apt.parse(DEB822):
        assert apt.parse_deb822(source.deb822()) == [source]


def test_files_of_a_machine(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/b.list").write_text("deb http://b.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/c.sources").write_text("Types: deb\nURIs: http://c.example/debian\nSuites: bookworm\nComponents: main\n")
    (tmp_path / "sources.list.d/d.list.disabled").write_text("deb http://d.example/debian bookworm main\n")
    assert [source.uris[0] for source in apt.read_sources(tmp_path)] == [f"http://{name}.example/debian" for name in "abc"]


def test_the_own_suite_is_taken_as_it_is(tmp_path: Path) -> None:
    assert apt.sources_for("bookworm", [*THIRD, MAIN, SECURITY], tmp_path) == [MAIN, SECURITY]


def test_another_suite_is_read_from_the_same_mirror(tmp_path: Path) -> None:
    found = apt.sources_for("trixie", [MAIN, SECURITY, *THIRD], tmp_path)
    assert [(source.uris, source.suites) for source in found] == [
        (MAIN.uris, ("trixie", "trixie-updates")),
        (SECURITY.uris, ("trixie-security",)),
    ]


def test_a_suite_that_is_listed_is_not_translated(tmp_path: Path) -> None:
    other = Source(("http://other.example/debian",), ("trixie",), ("main",))
    assert apt.sources_for("trixie", [MAIN, SECURITY, other], tmp_path) == [other]


def test_sid_has_no_pockets(tmp_path: Path) -> None:
    assert [source.suites for source in apt.sources_for("sid", [MAIN, SECURITY], tmp_path)] == [("sid",)]


def test_the_old_name_of_the_security_pocket(tmp_path: Path) -> None:
    old = Source(("http://mirror.example/debian-security",), ("buster/updates",), ("main",))
    assert [source.suites for source in apt.sources_for("bookworm", [old], tmp_path)] == [("bookworm-security",)]


def test_only_main_is_taken(tmp_path: Path) -> None:
    source = Source(MAIN.uris, ("bookworm",), ("main", "contrib", "non-free"), {"signed-by": KEYRING, "languages": "de"})
    assert apt.sources_for("bookworm", [source], tmp_path) == [Source(MAIN.uris, ("bookworm",), ("main",), {"signed-by": KEYRING})]


def test_no_archive_is_an_error_that_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(StackgateError) as caught:
        apt.sources_for("bookworm", THIRD, tmp_path)
    assert "nodistro" in caught.value.seen
    assert "image_build_apt_sources" in caught.value.hint
    with pytest.raises(StackgateError, match="no sources at all"):
        apt.sources_for("bookworm", [], tmp_path)


@pytest.mark.parametrize(("origin", "taken"), [("Debian", True), ("Ubuntu", False), ("WineHQ", False)])
def test_the_fetched_release_file_decides(tmp_path: Path, origin: str, taken: bool) -> None:
    source = Source(("https://user:pass@m_x.example/a/repository/",), ("bookworm",), ("main",))
    (tmp_path / "m%5fx.example_a_repository_dists_bookworm_InRelease").write_text(f"Hash: SHA256\n\nOrigin: {origin}\nLabel: x\n")
    assert apt.is_debian(source, tmp_path) is taken


def test_transport_is_how_and_not_what() -> None:
    dump = """\
Acquire "";
Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::mirror.example::CaInfo "/etc/ssl/corp.pem";
Acquire::IndexTargets::deb::Packages::Description "$(RELEASE)";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
APT::Architecture "amd64";
DPkg::Post-Invoke:: "rm -f x";
"""
    assert apt.transport(dump) == [
        'Acquire::Check-Valid-Until "false";',
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::mirror.example::CaInfo "/etc/ssl/corp.pem";',
    ]


def test_files_of_the_transport_move_into_the_build(tmp_path: Path) -> None:
    certificates = tmp_path / "corp.pem"
    certificates.write_text("x")
    lines = [
        f'Acquire::https::CaInfo "{certificates}";',
        'Acquire::http::Proxy-Auto-Detect "/usr/bin/auto-apt-proxy";',
        'Acquire::https::SslCert "/no/such";',
        'Acquire::Retries "3";',
    ]
    kept, files = apt.transport_for_build(lines, "/run/build")
    assert kept == ['Acquire::https::CaInfo "/run/build/apt-0";', 'Acquire::https::SslCert "/no/such";', 'Acquire::Retries "3";']
    assert files == {"/run/build/apt-0": certificates}


def test_key_files_are_paths_only() -> None:
    assert apt.key_files(apt.parse(DEB822)) == [KEYRING]
    assert apt.key_files([Source(("u",), ("s",), (), {"signed-by": "0123ABCD"})]) == []
