# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tag follows from everything that makes the image, and from nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.images import context
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Catalogue, External, Image, ImageError


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images: base, and app on it."""
    monkeypatch.setattr(context, "COLLECTION_IMAGES", tmp_path / "none")
    root = tmp_path / "images"
    for name, definition in (("base", "arguments: {suite: bookworm}\n"), ("app", "base: base\narguments: {VERSION: 1}\n")):
        (root / name / "files").mkdir(parents=True)
        (root / name / "Containerfile").write_text("ARG BASE\nFROM ${BASE}\n")
        (root / name / "image.yml").write_text(definition)
        (root / name / "files" / "run.sh").write_text("#!/bin/sh\n")
        (root / name / "files" / "link").symlink_to("run.sh")
    return root


def tag(root: Path, name: str = "app", **options: object) -> str:
    image = Catalogue([root], **options).get(name)  # type: ignore[arg-type]
    assert isinstance(image, Image)
    return image.tag


def edit(relative: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / relative).write_text(text) and None


def _link(root: Path) -> None:
    (root / "app/files/link").unlink()
    (root / "app/files/link").symlink_to("other")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content of a file": edit("app/files/run.sh", "#!/bin/sh\n#\n"),
    "the Containerfile": edit("app/Containerfile", "ARG BASE\nFROM ${BASE}\nUSER 1\n"),
    "a new file": edit("app/new", "x"),
    "a removed file": lambda root: (root / "app/files/run.sh").unlink(),
    "a renamed file": lambda root: (root / "app/files/run.sh").rename(root / "app/files/ran.sh"),
    "a file moved to another directory": lambda root: (root / "app/files/run.sh").rename(root / "app/run.sh"),
    "a file made executable": lambda root: (root / "app/files/run.sh").chmod(0o755),
    "the target of a link": _link,
    "an argument": edit("app/image.yml", "base: base\narguments: {VERSION: 2}\n"),
    "an argument's name": edit("app/image.yml", "base: base\narguments: {RELEASE: 1}\n"),
    "another base": edit("app/image.yml", "base: docker.io/library/debian:bookworm\narguments: {VERSION: 1}\n"),
    "an argument of the base": edit("app/image.yml", "base: {name: base, arguments: {suite: trixie}}\narguments: {VERSION: 1}\n"),
    "the builder": edit("app/image.yml", "base: base\nbuilder: mmdebstrap\narguments: {VERSION: 1}\n"),
    "a file of the base": edit("base/files/run.sh", "changed"),
    "the base's own arguments": edit("base/image.yml", "arguments: {suite: trixie}\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_makes_the_image_changes_the_tag(images: Path, change: Callable[[Path], object]) -> None:
    before = tag(images)
    change(images)
    assert tag(images) != before


def _later(root: Path) -> None:
    os.utime(root / "app/files/run.sh", (0, time.time() + 1000))


NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "times": _later,
    "the umask of a checkout": lambda root: (root / "app/files/run.sh").chmod(0o664),
    "what Python leaves": lambda root: ((root / "app/__pycache__").mkdir(), (root / "app/__pycache__/x.pyc").write_text("x")),
    "an editor's copy": edit("app/Containerfile~", "x"),
    "a comment in image.yml": edit("app/image.yml", "# why\narguments: {VERSION: '1'}\nbase: base\n"),
    "the build's need of space": edit("app/image.yml", "base: base\narguments: {VERSION: 1}\nspace: 5\n"),
    "an empty directory": lambda root: (root / "app/empty").mkdir(),
    "an ignored file": lambda root: (
        (root / "app/image.yml").write_text("base: base\narguments: {VERSION: 1}\nignore: ['*.md']\n"),
        (root / "app/README.md").write_text("x"),
    ),
}


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_what_does_not_make_the_image_keeps_the_tag(images: Path, change: Callable[[Path], object]) -> None:
    before = tag(images)
    change(images)
    assert tag(images) == before


def test_the_order_in_which_a_directory_is_read_does_not_matter(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tag(images)
    walk = os.walk

    def backwards(top: object) -> object:
        for root, directories, files in walk(top):  # type: ignore[call-overload]
            directories.reverse()
            yield root, directories, files[::-1]

    monkeypatch.setattr(context.os, "walk", backwards)
    assert tag(images) == before


def test_names_and_contents_cannot_be_shifted_into_each_other(tmp_path: Path) -> None:
    tags = set()
    for name, content in (("ab", "c"), ("a", "bc"), ("a", "b:c")):
        directory = tmp_path / f"{name}-{len(content)}-{content[:2].replace(':', '_')}"
        directory.mkdir()
        (directory / name).write_text(content)
        tags.add(context.context_hash(directory, builder="containerfile", base="", arguments={}))
    assert len(tags) == 3


def test_the_reference_names_registry_image_and_tag(images: Path) -> None:
    image = Catalogue([images]).get("app")
    assert isinstance(image, Image)
    assert image.reference("registry.k3s:5000") == f"registry.k3s:5000/stackgate/app:{image.tag}"
    assert image.reference("example.org/team/") == f"example.org/team/stackgate/app:{image.tag}"
    assert len(image.tag) == 16
    assert [base.name for base in image.bases()] == ["base"]


def test_the_registry_is_no_part_of_the_tag(images: Path) -> None:
    image = Catalogue([images]).get("app")
    assert isinstance(image, Image)
    assert isinstance(image.base, Image)
    assert context.base_identity(image.base) == f"stackgate/base:{image.base.tag}"


def test_arguments_from_outside_win_and_change_the_tag(images: Path) -> None:
    image = Catalogue([images], arguments={"app": {"VERSION": 3, "DEBUG": True}}).get("app")
    assert isinstance(image, Image)
    assert image.arguments == {"VERSION": "3", "DEBUG": "true"}
    assert image.tag != tag(images)
    assert tag(images, arguments={"base": {"suite": "trixie"}}) != tag(images)


def test_suite_is_that_of_the_base(images: Path) -> None:
    assert Catalogue([images]).get("app").suite == "bookworm"
    assert Catalogue([images], arguments={"base": {"suite": "trixie"}}).get("app").suite == "trixie"


def test_a_replaced_base_is_external_and_keeps_its_suite(images: Path) -> None:
    catalogue = Catalogue([images], bases={"base": "docker.io/library/debian@sha256:0"})
    image = catalogue.get("app")
    assert isinstance(image, Image)
    assert image.base == External("docker.io/library/debian@sha256:0", "bookworm")
    assert image.tag != tag(images)
    assert catalogue.get("base") == image.base


def test_own_directories_come_before_the_collection(images: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "app"
    own.mkdir(parents=True)
    (own / "Containerfile").write_text("FROM scratch\n")
    catalogue = Catalogue([own.parent, images])
    assert catalogue.names() == ["app", "base"]
    found = catalogue.get("app")
    assert isinstance(found, Image)
    assert found.directory == own


def test_stage_copies_what_was_hashed(images: Path, tmp_path: Path) -> None:
    (images / "app/files/run.sh").chmod(0o764)
    (images / "app/__pycache__").mkdir()
    (images / "app/__pycache__/x.pyc").write_text("x")
    image = Catalogue([images]).get("app")
    assert isinstance(image, Image)
    target = tmp_path / "staged"
    context.stage(image, target)
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == [
        "Containerfile",
        "files",
        "files/link",
        "files/run.sh",
    ]
    assert (target / "files/run.sh").stat().st_mode & 0o777 == 0o755
    assert (target / "Containerfile").stat().st_mode & 0o777 == 0o644
    assert os.readlink(target / "files/link") == "run.sh"


def test_stage_refuses_what_changed_meanwhile(images: Path, tmp_path: Path) -> None:
    image = Catalogue([images]).get("app")
    assert isinstance(image, Image)
    (images / "app/files/run.sh").write_text("changed")
    with pytest.raises(ImageError, match="a file changed meanwhile"):
        context.stage(image, tmp_path / "staged")


def test_an_unknown_image_names_the_known_and_the_nearest(images: Path) -> None:
    with pytest.raises(ImageError) as caught:
        Catalogue([images]).get("bsae")
    assert "app, base" in caught.value.seen
    assert "'base'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("bsae: base\n", "bsae"),
        ("builder: docker\n", "docker"),
        ("arguments: [a]\n", r"\['a'\]"),
        ("arguments: {A: }\n", "None"),
        ("arguments: {A: [1]}\n", r"\[1\]"),
        ("arguments: {BASE: x}\n", "BASE"),
        ("arguments: {'a b': x}\n", "a b"),
        ("base: {name: base, args: {}}\n", "args"),
        ("ignore: '*.md'\n", "md"),
        ("space: 1G\n", "1G"),
        ("- a\n", "list"),
        ("a: [\n", "line"),
        ("base: app\n", "app -> app"),
    ],
)
def test_a_bad_definition_is_named(images: Path, text: str, seen: str) -> None:
    (images / "app/image.yml").write_text(text)
    with pytest.raises(ImageError, match=seen):
        Catalogue([images]).get("app")


def test_bases_that_go_round_are_named(images: Path) -> None:
    (images / "base/image.yml").write_text("base: app\n")
    with pytest.raises(ImageError, match="app -> base -> app"):
        Catalogue([images]).get("app")


def test_a_file_that_is_no_file_is_named(images: Path) -> None:
    os.mkfifo(images / "app/pipe")
    with pytest.raises(ImageError, match="pipe"):
        Catalogue([images]).get("app")


def test_the_images_of_the_collection_are_well_formed() -> None:
    catalogue = Catalogue(arguments={"mongodb": {"SERVER": __file__}})  # what a user must bring
    assert {"debian", "nginx", "postgresql", "redis"} <= set(catalogue.names())
    for name in catalogue.names():
        image = catalogue.get(name)
        assert isinstance(image, Image)
        containerfile = (image.directory / "Containerfile").read_text()
        assert (image.base is None) == ("FROM ${BASE}" not in containerfile), name
        if image.base:
            user = [line for line in containerfile.splitlines() if line.startswith("USER ")]
            assert user, f"{name} runs as root"
            assert int(user[-1].split()[1].split(":")[0]) >= 10000, name


def test_a_reference_is_computed_in_milliseconds() -> None:
    began = time.monotonic()
    for name in ("nginx", "postgresql", "redis"):
        Catalogue().get(name)
    assert time.monotonic() - began < 0.5


@pytest.fixture
def with_input(images: Path, tmp_path: Path) -> Path:
    """An image that is built from a file of this machine: its path."""
    (images / "app/image.yml").write_text("base: base\ninputs: [SERVER]\n")
    server = tmp_path / "server.tgz"
    server.write_bytes(b"one")
    return server


def test_an_inputs_content_is_part_of_the_tag_and_its_path_is_not(images: Path, with_input: Path) -> None:
    first = tag(images, arguments={"app": {"SERVER": str(with_input)}})
    moved = with_input.rename(with_input.with_name("elsewhere"))
    assert tag(images, arguments={"app": {"SERVER": str(moved)}}) == first
    moved.write_bytes(b"two")
    assert tag(images, arguments={"app": {"SERVER": str(moved)}}) != first


def test_the_build_finds_an_input_in_its_context(images: Path, with_input: Path, tmp_path: Path) -> None:
    image = Catalogue([images], {"app": {"SERVER": str(with_input)}}).get("app")
    assert isinstance(image, Image)
    context.stage(image, tmp_path / "staged")
    assert (tmp_path / "staged/inputs/SERVER").read_bytes() == b"one"
    assert str(with_input) not in str(image.arguments)
    with_input.write_bytes(b"two")
    with pytest.raises(ImageError, match="changed meanwhile"):
        context.stage(image, tmp_path / "again")


@pytest.mark.parametrize("given", ["", "/no/such/file", "/"])
def test_an_input_that_is_not_there_is_told(images: Path, with_input: Path, given: str) -> None:
    with pytest.raises(ImageError, match="the argument SERVER of the image app") as error:
        tag(images, arguments={"app": {"SERVER": given}})
    assert "stackgate_image_arguments: {app: {SERVER: /path}}" in str(error.value)
