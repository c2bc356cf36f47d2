# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Go is asked and told. A real build of a program: tests/acceptance/images."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images import golang
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Image, ImageError


def image(directory: Path, **arguments: str) -> Image:
    return Image("tool", directory, "go", None, arguments, "0" * 16)


@pytest.fixture
def module(tmp_path: Path) -> Image:
    (tmp_path / "go.mod").write_text("module example/tool\n\ngo 1.26\n")
    return image(tmp_path)


def answers(monkeypatch: pytest.MonkeyPatch, text: str, status: int = 0) -> None:
    """What `go` says to every question."""

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, status, text if status == 0 else "", text if status else "")

    monkeypatch.setattr(golang.subprocess, "run", run)


def test_the_module_itself_is_built_by_default(tmp_path: Path) -> None:
    assert golang.command(image(tmp_path), Path("/context"))[-5:] == ["-ldflags", "-s -w", "-o", "/context/bin/", "."]


def test_packages_tags_and_link_flags_are_arguments(tmp_path: Path) -> None:
    command = golang.command(image(tmp_path, packages="example/a example/b", tags="x,y", ldflags="-X main.v=1"), Path("/context"))
    assert command[-2:] == ["example/a", "example/b"]
    assert command[command.index("-tags") + 1] == "x,y"
    assert command[command.index("-ldflags") + 1] == "-s -w -X main.v=1"
    assert "-trimpath" in command


def test_neither_module_file_may_change_and_nothing_of_the_machine_gets_in() -> None:
    environment = golang.environment(Path("/cache"), "https://proxy.example,direct")
    assert environment["GOFLAGS"].split()[:2] == ["-mod=readonly", "-buildvcs=false"]
    assert (environment["CGO_ENABLED"], environment["GOOS"], environment["GOWORK"]) == ("0", "linux", "off")
    assert environment["GOPROXY"] == "https://proxy.example"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("https://a.example,https://b.example|direct", "https://a.example,https://b.example"),
        ("direct", "direct"),
        ("off", "off"),
        ("", ""),
        ("https://direct.example", "https://direct.example"),
    ],
)
def test_direct_is_dropped_behind_a_proxy_only(given: str, told: str) -> None:
    assert golang.without_direct(given) == told


@pytest.mark.parametrize("answer", ["go1.26.8\nlocal\n", "go1.27\nlocal\n", "go1.20.1\nauto\n"])
def test_a_go_that_can_build_passes(module: Image, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    answers(monkeypatch, answer)
    golang.check(module)


@pytest.mark.parametrize(("answer", "status"), [("go1.25.9\nlocal\n", 0), ("go: no such toolchain", 1)])
def test_a_go_that_is_too_old_is_named_with_the_ways_out(module: Image, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    answers(monkeypatch, answer, status)
    with pytest.raises(StackgateError) as caught:
        golang.check(module)
    assert caught.value.expected == "Go is 1.26 or newer, to build the image tool"
    assert caught.value.seen == answer.split("\n")[0]
    assert "stackgate_image_bases: {tool: <reference>}" in caught.value.hint


@pytest.mark.parametrize("content", [None, "module example/tool\n"])
def test_an_image_without_a_version_of_go_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "go.mod").write_text(content)
    with pytest.raises(ImageError, match=r"holds a go\.mod with a line `go <version>`"):
        golang.check(image(tmp_path))


def test_progress_counts_and_leaves_the_compilers_words_to_people() -> None:
    places: list[str] = []
    words: list[str] = []
    progress = golang.Progress(places.append, words.append)
    for text in (
        "go: downloading example.org/a v1.0.0",
        "internal/abi",
        "example.org/a/v2/b~c",
        "# example.org/a",
        "a.go:1:2: undefined: x",
    ):
        progress(text)
    assert places == ["go: 1 modules downloaded", "go: 1 packages compiled", "go: 2 packages compiled"]
    assert words == ["# example.org/a", "a.go:1:2: undefined: x"]


def test_caches_are_kept_until_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "go"
    golang.trim(cache)
    (cache / "mod/example").mkdir(parents=True)
    (cache / "mod/example/a.go").write_text("x" * 100)
    monkeypatch.setattr(golang, "CACHE_LIMIT", 100)
    golang.trim(cache)
    assert cache.is_dir()
    monkeypatch.setattr(golang, "CACHE_LIMIT", 99)
    golang.trim(cache)
    assert not cache.exists()
