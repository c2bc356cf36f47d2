# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the builder asks of the machine, and the commands it gives. Real builds: tests/acceptance/images."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.images import builder
from ansible_collections.stackgate.k3s.plugins.module_utils.images.builder import Builder, BuildError, Work
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import External, Image
from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry, parse_address

Usage = namedtuple("Usage", "total used free")


def image(name: str = "app", **fields: Any) -> Image:
    given = {"directory": Path("/images") / name, "builder": "containerfile", "base": None, "arguments": {}, "tag": "0" * 16, **fields}
    return Image(name, **given)


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Builder:
    """A builder on a machine that can build."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(builder.shutil, "which", lambda tool: f"/bin/{tool}")
    monkeypatch.setattr(builder.shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    return Builder(tmp_path / "cache", Registry(parse_address("127.0.0.1:1")))


def test_a_machine_that_can_build_passes(capable: Builder) -> None:
    capable.check([image()])


def test_other_users_are_refused(capable: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="user id 1000"):
        capable.check([image()])


def test_missing_programs_are_named(capable: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.shutil, "which", lambda tool: None if tool in ("buildah", "mmdebstrap") else f"/bin/{tool}")
    assert capable.missing_tools([image()]) == ["buildah"]
    with pytest.raises(BuildError, match="buildah, mmdebstrap") as caught:
        capable.check([image(builder="mmdebstrap")])
    assert "image_build" in caught.value.hint


def test_go_is_asked_for_where_an_image_wants_it(capable: Builder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builder.shutil, "which", lambda tool: None if tool == "go" else f"/bin/{tool}")
    capable.check([image()])
    with pytest.raises(BuildError, match="the programs go are on the PATH") as caught:
        capable.check([image(), image("tool", builder="go")])
    assert caught.value.hint == "install Go, or use images from elsewhere for tool: stackgate_image_bases: {<image>: <reference>}"


def test_disk_space_is_asked_for_before_the_build(capable: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.shutil, "disk_usage", lambda path: Usage(10**9, 0, 299))
    capable.check([image(space=100), image("other", space=199)])
    with pytest.raises(BuildError) as caught:
        capable.check([image(space=100), image("other", space=200)])
    assert "300 bytes are free" in caught.value.expected
    assert caught.value.seen == "299 bytes are free"


def test_credentials_go_through_a_private_file(tmp_path: Path) -> None:
    registry = Registry(parse_address("example.org/team"), username="user", password="secret")
    options = Builder(tmp_path, registry)._access(tmp_path)
    assert options == ["--authfile", str(tmp_path / "auth.json")]
    assert (tmp_path / "auth.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "auth.json").read_text()) == {"auths": {"example.org": {"auth": "dXNlcjpzZWNyZXQ="}}}


def test_plain_registries_and_own_certificates(tmp_path: Path) -> None:
    assert Builder(tmp_path, Registry(parse_address("registry.k3s:5000")))._access(tmp_path) == ["--tls-verify=false"]
    assert Builder(tmp_path, Registry(parse_address("example.org"), validate_certs=False))._access(tmp_path) == ["--tls-verify=false"]
    assert Builder(tmp_path, Registry(parse_address("example.org")))._access(tmp_path) == []


def test_a_private_registry_is_pushed_to_without_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "a.example")
    assert Builder(tmp_path, Registry(parse_address("registry.k3s:5000")))._environment()["NO_PROXY"] == "a.example,registry.k3s"
    assert "NO_PROXY" not in Builder(tmp_path, Registry(parse_address("example.org")))._environment()


def test_the_last_pushed_tag_is_remembered(tmp_path: Path) -> None:
    known = Builder(tmp_path, Registry(parse_address("registry.k3s:5000")))
    assert known.previous("app") == ""
    for number, tag in enumerate(("b", "a")):
        known._pushed("app").mkdir(parents=True, exist_ok=True)
        path = known._pushed("app") / tag
        path.touch()
        os.utime(path, (number, number))
    assert known.previous("app") == "a"


def test_superseded_are_ours_neither_wanted_nor_last() -> None:
    listed = [
        "localhost/stackgate/app:1",
        "localhost/stackgate/app:2",
        "localhost/stackgate/app:3",
        "localhost/stackgate/base:1",
        "docker.io/library/debian:bookworm",
        "<none>:<none>",
    ]
    assert builder.superseded(listed, {"app:2"}, {"app": "3", "base": "1"}) == ["localhost/stackgate/app:1"]


def test_the_storage_driver_follows_the_file_system() -> None:
    mounts = "/dev/vda / ext4 rw 0 0\noverlay /srv/box overlay rw 0 0\ntmpfs /srv/box/fast tmpfs rw 0 0\n"
    assert builder.storage_driver(Path("/home/me"), mounts) == "overlay"
    assert builder.storage_driver(Path("/srv/box/cache"), mounts) == "vfs"
    assert builder.storage_driver(Path("/srv/box/fast/cache"), mounts) == "overlay"


def test_our_registry_is_the_only_one_that_gets_its_settings(app: Image, tmp_path: Path) -> None:
    for number, (reference, given) in enumerate((("registry.k3s:5000/os/debian:12", True), ("docker.io/library/debian:12", False))):
        known = Recorded(tmp_path / f"cache{number}", Registry(parse_address("registry.k3s:5000")))
        known.script({"inspect": 1}, [None, "sha256:1"])
        based = replace(app, base=External(reference))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builder, "stage", lambda image, target: target.mkdir())
            known.build(based, Work("app"))
        build = next(command for command in known.commands if "build" in command)
        assert f"BASE={reference}" in build
        assert ("--tls-verify=false" in build) is given


def test_locks_exclude(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with builder.locked(lock, exclusive=True) as held:
        assert held
        with builder.locked(lock, exclusive=True, wait=False) as second:
            assert second is None
        with builder.locked(lock, exclusive=False, wait=False) as third:
            assert third is None
    with builder.locked(lock, exclusive=False) as first, builder.locked(lock, exclusive=False, wait=False) as second:
        assert first
        assert second


class Recorded(Builder):
    """A builder whose programs are answered from a table: {word of the command: exit status}; others succeed."""

    def script(self, answers: dict[str, int], digests: list[str | None]) -> Recorded:
        self.commands: list[list[str]] = []
        self.options: list[dict[str, Any]] = []

        def stream(command: list[str], on_line: Any, **options: Any) -> int:
            self.commands.append(list(command))
            self.options.append(options)
            on_line("STEP 1/1: RUN it")
            on_line("it says no")
            return next((status for word, status in answers.items() if word in command), 0)

        self.processes.stream = stream  # type: ignore[method-assign, assignment]
        self.registry.digest = lambda repository, tag: digests.pop(0)  # type: ignore[method-assign]
        (self.directory / "tmp").mkdir(parents=True)
        return self


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue

    (tmp_path / "app").mkdir()
    (tmp_path / "app/Containerfile").write_text("FROM scratch\n")
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.example/simple")
    found = Catalogue([tmp_path]).get("app")
    assert isinstance(found, Image)
    return found


def test_build_and_push(app: Image, tmp_path: Path) -> None:
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({"inspect": 1}, [None, "sha256:1"])
    outcome = known.build(app, Work("app"))
    assert (outcome.built, outcome.digest) == (True, "sha256:1")
    assert [next(word for word in command if word in ("inspect", "build", "push")) for command in known.commands] == [
        "inspect",
        "build",
        "push",
    ]
    assert known.commands[2][-1] == f"docker://registry.k3s:5000/stackgate/app:{app.tag}"
    assert not any("mirror.example" in word for command in known.commands for word in command)
    assert known.previous("app") == app.tag
    assert list((tmp_path / "cache/tmp").iterdir()) == [], "what a build was lent is removed with it"


def test_go_builds_into_the_context_before_the_containerfile(app: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.golang, "machine_proxies", lambda: "https://proxy.example,direct")
    monkeypatch.setattr(builder, "stage", lambda image, target: (target / "bin").mkdir(mode=0o700, parents=True))
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({"inspect": 1}, [None, "sha256:1"])
    known.build(replace(app, builder="go"), Work("app"))
    assert [command[0] for command in known.commands] == ["buildah", "go", "buildah", "buildah"]
    assert "build" in known.commands[2]
    assert known.options[1]["environment"]["GOMODCACHE"] == str(tmp_path / "cache/go/mod")
    assert str(known.options[1]["directory"]).endswith("/context")


def test_what_another_process_built_meanwhile_is_taken(app: Image, tmp_path: Path) -> None:
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({}, ["sha256:1"])
    outcome = known.build(app, Work("app"))
    assert (outcome.built, outcome.digest, known.commands) == (False, "sha256:1", [])


def test_a_failed_build_says_step_output_and_log(app: Image, tmp_path: Path) -> None:
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({"inspect": 1, "build": 2}, [None])
    with pytest.raises(BuildError) as caught:
        known.build(app, Work("app"))
    assert caught.value.seen == "it failed at step 1/1 RUN it:\n  it says no"
    assert str(known.log_path(app)) in caught.value.hint
    assert not any("push" in command for command in known.commands)


@pytest.mark.parametrize(("dangling", "pruned"), [(40, False), (41, True)])
def test_cleaning_keeps_the_steps_of_the_last_failures(tmp_path: Path, dangling: int, pruned: bool) -> None:
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({}, [])
    (tmp_path / "cache/root").mkdir()
    (tmp_path / "cache/tmp/left").mkdir()
    answers = known.processes.stream

    def stream(command: list[str], on_line: Any, **options: Any) -> int:
        listing = ["localhost/stackgate/app:1", *["<none>:<none>"] * dangling] if "images" in command else []
        for line in listing:
            on_line(line)
        return answers(command, lambda text: None, **options)

    known.processes.stream = stream  # type: ignore[method-assign, assignment]
    with known.storage([]):
        pass
    verbs = [" ".join(command[command.index("overlay") + 1 :][:3]) for command in known.commands]
    assert verbs[0] == "rm --all"
    assert "rmi localhost/stackgate/app:1" in verbs
    assert ("rmi --prune" in verbs) is pruned
    assert not (tmp_path / "cache/tmp/left").exists()


def test_a_push_that_the_registry_forgot_is_an_error(app: Image, tmp_path: Path) -> None:
    known = Recorded(tmp_path / "cache", Registry(parse_address("registry.k3s:5000"))).script({}, [None, None])
    with pytest.raises(BuildError, match="after the push"):
        known.build(app, Work("app"))
    assert known.previous("app") == ""
