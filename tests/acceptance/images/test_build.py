# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""container_image with real builds: check mode, build, nothing to do, failure, interruption, and what an image holds.

Builds small images of its own, on the base debian, in the storage of this user, and pushes them to the embedded cluster's registry.

STACKGATE_REGISTRY      the registry (registry.k3s:5000)
STACKGATE_REGISTRY_URL  where it is reached from here (http:// and the registry)
"""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, Image
from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry, parse_address

REGISTRY = os.environ.get("STACKGATE_REGISTRY", "registry.k3s:5000")
URL = os.environ.get("STACKGATE_REGISTRY_URL", f"http://{REGISTRY}")
CACHE = Path(os.environ.get("STACKGATE_CACHE", "~/.cache/stackgate")).expanduser()
PROJECT = Path(__file__).resolve().parents[3]
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"name": "Build", "stackgate.k3s.container_image": {"images": "{{ wanted }}"}, "register": "result"}],
    }
]


@pytest.fixture(scope="module", autouse=True)
def able() -> None:
    """Skip where nothing can be built or pushed."""
    if os.geteuid() != 0 or not shutil.which("buildah"):
        pytest.skip("needs root and buildah")
    try:
        Registry(parse_address(REGISTRY, URL), timeout=3).ping()
    except StackgateError as error:
        pytest.skip(f"no registry: {error.seen}")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory of images of one's own."""
    return tmp_path / "images"


def define(images: Path, name: str, *steps: str) -> None:
    """An image on debian. Never built before: its tag is new in each test run."""
    (images / name).mkdir(parents=True)
    (images / name / "image.yml").write_text(f"base: debian\narguments: {{RUN: {uuid.uuid4()}}}\n")
    (images / name / "Containerfile").write_text("\n".join(["ARG BASE", "FROM ${BASE}", "ARG RUN", *steps]) + "\n")


def command(images: Path, *names: str) -> list[str]:
    """ansible-playbook with one task that builds the named images."""
    play = images.parent / "play.yml"
    play.write_text(json.dumps(PLAY))
    variables = {
        "wanted": names,
        "stackgate_registry": REGISTRY,
        "stackgate_registry_url": URL,
        "stackgate_images_dirs": [str(images)],
        "stackgate_cache_dir": str(CACHE),
    }
    return [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        str(play),
        "-e",
        json.dumps(variables),
    ]


def run(images: Path, *names: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    full = [*command(images, *names), *arguments]
    return subprocess.run(full, capture_output=True, text=True, env=environment, cwd=PROJECT, timeout=600, check=False)


def digest(images: Path, name: str) -> str | None:
    image = Catalogue([images]).get(name)
    return Registry(parse_address(REGISTRY, URL)).digest(image.repository, image.tag)  # type: ignore[union-attr]


def test_check_then_build_then_nothing_to_do(images: Path) -> None:
    define(images, "tried", "RUN echo it >/it")
    check = run(images, "tried", arguments=("--check", "--diff"))
    assert "changed=1" in check.stdout, check.stdout
    assert f"+{Catalogue([images]).get('tried').reference(REGISTRY)}" in check.stdout  # type: ignore[union-attr]
    assert digest(images, "tried") is None
    built = run(images, "tried")
    assert "changed=1" in built.stdout, built.stdout
    assert "image tried: pushed after" in built.stdout
    assert (digest(images, "tried") or "").startswith("sha256:")
    assert "changed=0" in run(images, "tried").stdout
    (images / "tried/Containerfile").write_text((images / "tried/Containerfile").read_text() + "RUN echo more >/more\n")
    change = run(images, "tried", arguments=("--check", "--diff")).stdout
    assert f"-{REGISTRY}/stackgate/tried:" in change
    assert f"+{REGISTRY}/stackgate/tried:" in change


def go_image(images: Path, name: str, source: str) -> None:
    """An image of one Go program on nothing, with sources of its own."""
    (images / name).mkdir(parents=True)
    (images / name / "image.yml").write_text("builder: go\narguments: {ldflags: -X main.version=7}\n")
    (images / name / "Containerfile").write_text(f'FROM scratch\nCOPY bin/{name} /\nENTRYPOINT ["/{name}"]\n')
    (images / name / "go.mod").write_text(f"module example.org/images/{name}\n\ngo 1.21\n")
    (images / name / "main.go").write_text(f"package main\n\n// {uuid.uuid4()}\nvar version string\n\n{source}\n")


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_go_programs_are_built_and_the_same_sources_give_the_same_image(images: Path, tmp_path: Path) -> None:
    go_image(images, "hello", "func main() { print(version) }")
    first = run(images, "hello")
    assert "changed=1" in first.stdout, first.stdout
    again = tmp_path / "elsewhere" / "images"
    shutil.copytree(images, again)
    (again / "hello/Containerfile").write_text((again / "hello/Containerfile").read_text() + "# another tag\n")
    assert "changed=1" in run(again, "hello").stdout
    assert digest(images, "hello") != digest(again, "hello")  # the tag is in a label
    assert layers(images, "hello") == layers(again, "hello")


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_what_the_go_compiler_says_is_shown(images: Path) -> None:
    go_image(images, "wrong", "func main() { undefined() }")
    failed = run(images, "wrong")
    assert failed.returncode != 0
    assert "main.go:6:15: undefined: undefined" in failed.stdout, failed.stdout
    assert digest(images, "wrong") is None


def layers(images: Path, name: str) -> list[str]:
    """The digests of an image's layers."""
    image = Catalogue([images]).get(name)
    url = f"{URL}/v2/{image.repository}/manifests/{image.tag}"  # type: ignore[union-attr]
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})) as answer:
        return [layer["digest"] for layer in json.load(answer)["layers"]]


def test_a_failing_step_shows_its_last_lines(images: Path) -> None:
    define(images, "failing", "RUN echo before", "RUN for i in $(seq 40); do echo line $i; done; echo the reason >&2; exit 7")
    failed = run(images, "failing")
    assert failed.returncode != 0
    assert "RUN for i in $(seq 40)" in failed.stdout, failed.stdout
    assert "(exit status 7)" in failed.stdout
    assert "the reason" in failed.stdout
    assert "line 22\n" in failed.stdout
    assert "line 20\n" not in failed.stdout
    assert digest(images, "failing") is None


def leftovers(marker: str) -> list[str]:
    """Processes with the marker in their command line, and mounts below the build storage."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line and "pytest" not in line:
            found.append(line)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [line for line in mounts if str(CACHE / "buildah") in line]


@pytest.fixture
def terminal() -> Iterator[Callable[[list[str]], tuple[int, int]]]:
    """Starts a program on a terminal of its own: (process, terminal)."""
    started: list[int] = []

    def start(full: list[str]) -> tuple[int, int]:
        process, descriptor = pty.fork()
        if process == 0:
            os.chdir(PROJECT)
            os.environ["ANSIBLE_CONFIG"] = str(PROJECT / "ansible.cfg")
            os.execv(full[0], full)
        started.append(process)
        return process, descriptor

    yield start
    for process in started:
        try:
            os.kill(process, 9)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9"])
def test_an_interrupted_build_leaves_nothing_and_the_next_run_converges(images: Path, terminal: Any, how: str) -> None:
    # A number that no other process has among its arguments.
    marker = f"4{time.time_ns() % 10**6}"
    define(images, "slow", f"RUN sleep {marker}")
    process, descriptor = terminal(command(images, "slow"))

    said: list[str] = []

    def started() -> bool:
        if select.select([descriptor], [], [], 0)[0]:
            try:
                said.append(os.read(descriptor, 65536).decode(errors="replace"))
            except OSError:  # nobody is at the other end
                pytest.fail("the build ended by itself:\n" + "".join(said))
        return any(line.startswith(f"sleep {marker}") for line in leftovers(marker))

    until("the build has begun", started, 60, details=lambda: "".join(said))
    if how == "Ctrl-C":
        os.write(descriptor, b"\x03")
    else:
        os.kill(process, 9)
    until("nothing of the build is left", lambda: leftovers(marker), 5, holds=lambda left: not left)
    os.waitpid(process, 0)
    assert digest(images, "slow") is None
    text = (images / "slow/Containerfile").read_text()
    (images / "slow/Containerfile").write_text(text.replace(marker, "0"))
    again = run(images, "slow")
    assert "changed=1" in again.stdout, again.stdout
    assert digest(images, "slow")


def test_an_image_names_no_mirror_and_keeps_no_setuid_file(images: Path) -> None:
    """What a build is lent is there while a step runs, and not afterwards."""
    look = (
        # While it is built: sources from this machine.
        "RUN grep -q URIs /etc/apt/sources.list.d/*.sources && apt-get update -qq && rm -rf /var/lib/apt/lists/*",
        "FROM ${BASE}",
        # Without anything lent a later look at the files of the base would still find it: nothing may be there.
        'RUN test -z "$(find / -xdev -type f -perm /6000)"',
    )
    define(images, "looked", *look)
    built = run(images, "looked")
    assert "changed=1" in built.stdout, built.stdout
    image = Catalogue([images]).get("looked")
    assert isinstance(image, Image)
    buildah = f"buildah --root={CACHE}/buildah/root --runroot={CACHE}/buildah/run --storage-driver=overlay"
    script = f"""
        set -e
        container=$({buildah} from --pull-never localhost/{image.repository}:{image.tag})
        cd "$({buildah} mount "$container")"
        cat etc/apt/sources.list etc/apt/sources.list.d/* etc/apt/apt.conf.d/* etc/pip.conf 2>/dev/null || true
        {buildah} rm "$container" >/dev/null
    """
    files = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert "APT::Install-Recommends" in files
    assert "://" not in files
