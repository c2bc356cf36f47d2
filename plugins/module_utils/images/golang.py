# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder `go`: static programs from a Go module, compiled by this machine's Go, that the Containerfile gets in `bin/`.

The image's directory is the module: its go.mod and go.sum pin every dependency, and the build may change neither.
Nothing of the machine or of the day gets into a program (paths, version control, times): the same files give the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Image, ImageError

# Bytes that compiled packages and downloaded modules may keep once nothing builds any more; the next change needs them again.
CACHE_LIMIT = 512 * 1024**2
# No debug information is compiled at all (the linker would drop it anyway): a tenth less work, a quarter less cache.
COMPILE = ("go", "build", "-v", "-trimpath", "-gcflags=all=-dwarf=false")
# With -v, Go says the path of each package that it begins to compile.
PACKAGE = re.compile(r"[A-Za-z0-9_.~/\-]+")
# Seconds for a question to Go; it may have to fetch a toolchain first (GOTOOLCHAIN=auto).
PATIENCE = 300.0


@dataclass
class Progress:
    """Go's output line by line: how far it is goes to `reach`, everything a person may have to read to `line`."""

    reach: Callable[[str], None]
    line: Callable[[str], None]
    modules: int = 0
    packages: int = 0

    def __call__(self, text: str) -> None:
        """Take one line of output."""
        if text.startswith("go: downloading "):
            self.modules += 1
            self.reach(f"go: {self.modules} modules downloaded")
        elif PACKAGE.fullmatch(text):
            self.packages += 1
            self.reach(f"go: {self.packages} packages compiled")
        else:
            self.line(text)


def check(image: Image) -> None:
    """Raise StackgateError unless the image's directory is a pinned module and this machine's Go, which is there, can build it."""
    module = image.directory / "go.mod"
    needed = re.search(r"^go (\S+)", module.read_text(), re.MULTILINE) if module.is_file() else None
    if not needed:
        raise ImageError(
            f"{image.directory} holds a go.mod with a line `go <version>`",
            "no such line" if module.is_file() else "no go.mod",
            "see docs/images.md, programs in Go",
        )
    environment = {**os.environ, "GOWORK": "off"}
    answer = subprocess.run(
        ["go", "env", "GOVERSION", "GOTOOLCHAIN"],
        cwd=image.directory, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    version, toolchain = (*answer.stdout.split("\n"), "", "")[:2]
    if answer.returncode != 0 or (toolchain == "local" and numbers(version) < numbers(needed[1])):
        raise StackgateError(
            f"Go is {needed[1]} or newer, to build the image {image.name}",
            version or answer.stderr.strip(),
            f"install a newer Go, or let it fetch one itself (GOTOOLCHAIN=auto), or use an image from elsewhere: "
            f"stackgate_image_bases: {{{image.name}: <reference>}}",
        )


def numbers(version: str) -> list[int]:
    """A version's numbers, for comparing: go1.26.8 -> [1, 26, 8]."""
    return [int(number) for number in re.findall(r"\d+", version)]


def command(image: Image, context: Path) -> list[str]:
    """The command that builds the image's packages into bin/ of its context, where it has to be run.

    The image's arguments: `packages` (".": the module itself), `tags`, `ldflags` (after -s -w, which drop the symbols).
    """
    link = " ".join(("-s -w", image.arguments.get("ldflags", ""))).strip()
    packages = image.arguments.get("packages", ".").split()
    tags = ["-tags", image.arguments["tags"]] if image.arguments.get("tags") else []
    return [*COMPILE, *tags, "-ldflags", link, "-o", f"{context / 'bin'}/", *packages]


def environment(cache: Path, proxies: str) -> dict[str, str]:
    """What Go is told besides what this machine tells it. proxies: the machine's GOPROXY."""
    return {
        "GOCACHE": str(cache / "build"),
        "GOMODCACHE": str(cache / "mod"),
        "GOPROXY": without_direct(proxies),
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOWORK": "off",
        "GOOS": "linux",
        "CGO_ENABLED": "0",
    }


def machine_proxies() -> str:
    """The module proxies that this machine's Go asks (its GOPROXY)."""
    return subprocess.run(["go", "env", "GOPROXY"], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout.strip()


def without_direct(proxies: str) -> str:
    """A GOPROXY without `direct` at its end, which turns a proxy's clear refusal into a misleading error of git."""
    return re.sub(r"(?<=.)[,|]direct$", "", proxies)


def trim(cache: Path) -> None:
    """Remove Go's caches when they are larger than CACHE_LIMIT. Only while nothing builds."""
    if size(cache) > CACHE_LIMIT:
        shutil.rmtree(cache, ignore_errors=True)


def size(directory: Path) -> int:
    """The bytes of the files below a directory; 0 when there is none."""
    return sum(os.lstat(os.path.join(root, name)).st_size for root, _directories, files in os.walk(directory) for name in files)
