# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made of, and the tag that follows from it.

An image is a directory `<name>/` with a `Containerfile`, the files it copies and an `image.yml`. Its tag is a hash of
those files, of its arguments and of its base (recursively): a pure function of files, the same on every machine.
Of a file's mode only the executable bit counts, as git keeps it: umask and checkout must not change a tag.
The build sees exactly what was hashed: stage() copies it with modes 0644 or 0755.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

try:
    import yaml
except ImportError:  # ansible itself needs PyYAML: this guards the import alone
    yaml = None

# The namespace of our images in a registry: <registry>/stackgate/<name>:<hash>.
PREFIX = "stackgate"
# A change of what the hash covers, or of how the builder treats it, is a new format: every tag changes.
FORMAT = "stackgate-image-1"
HASH_LENGTH = 16
CONTAINERFILE = "Containerfile"
DEFINITION = "image.yml"
BUILDERS = ("containerfile", "mmdebstrap", "go")
KEYS = ("base", "builder", "arguments", "ignore", "inputs", "space")
# Where a build finds the files that its inputs name.
INPUTS = "inputs"
# Bytes that a build may need in the builder's storage when image.yml gives no `space`.
DEFAULT_SPACE = 600 * 1024**2
# What editors, Python and git leave in a directory is no part of an image.
IGNORED = ("__pycache__", "*.pyc", ".git", ".gitignore", "*~", ".*.swp", ".DS_Store", DEFINITION)

NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
ARGUMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
COLLECTION_IMAGES = Path(__file__).resolve().parents[3] / "images"


class ImageError(StackgateError):
    """An image's directory, image.yml or arguments are not usable."""


@dataclass(frozen=True)
class External:
    """A base from somewhere else, by its full reference.

    suite: the Debian suite it is known to have; "" when unknown (then the machine's apt sources are not lent to builds).
    """

    reference: str
    suite: str = ""


@dataclass(frozen=True)
class Image:
    """One image: its directory and everything that decides its tag. space is in bytes.

    inputs: arguments that name a file of this machine, with its path; in `arguments` stands the digest of its content.
    """

    name: str
    directory: Path
    builder: str
    base: Image | External | None
    arguments: Mapping[str, str]
    tag: str
    space: int = DEFAULT_SPACE
    ignore: tuple[str, ...] = field(default=(), compare=False)
    inputs: Mapping[str, Path] = field(default_factory=dict, compare=False)

    @property
    def repository(self) -> str:
        """The repository's path in a registry."""
        return f"{PREFIX}/{self.name}"

    @property
    def suite(self) -> str:
        """The Debian suite that packages are installed from, "" when unknown."""
        own = self.arguments.get("suite", "")
        return own or (self.base.suite if self.base else "")

    def reference(self, registry: str) -> str:
        """The image's full name in a registry."""
        return f"{registry.rstrip('/')}/{self.repository}:{self.tag}"

    def bases(self) -> list[Image]:
        """The images of ours that this one is built on, nearest first."""
        if not isinstance(self.base, Image):
            return []
        return [self.base, *self.base.bases()]


def context_files(directory: Path, ignore: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """The files and links of a build context as (relative path, path), in the order of their names."""
    patterns = (*IGNORED, *ignore)

    def ignored(relative: str) -> bool:
        leaf = relative.rsplit("/", 1)[-1]
        return any(fnmatch.fnmatchcase(leaf, pattern) or fnmatch.fnmatchcase(relative, pattern) for pattern in patterns)

    found = []
    for root, directories, files in os.walk(directory):
        inside = Path(root)
        # A link to a directory is a link: it is kept as one and not followed.
        links = [name for name in directories if (inside / name).is_symlink()]
        relative_root = inside.relative_to(directory)
        directories[:] = [name for name in directories if name not in links and not ignored((relative_root / name).as_posix())]
        for name in [*files, *links]:
            relative = (relative_root / name).as_posix()
            if not ignored(relative):
                found.append((relative, inside / name))
    return iter(sorted(found))


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def context_hash(directory: Path, *, builder: str, base: str, arguments: Mapping[str, str], ignore: Iterable[str] = ()) -> str:
    """The tag of a build context: 16 hexadecimal digits. Raises ImageError for a file that cannot be read."""
    digest = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            # The length first: no two different lists of parts give the same bytes.
            digest.update(b"%d:" % len(data) + data)

    add(FORMAT, builder, base, json.dumps(dict(arguments), sort_keys=True))
    for relative, path in context_files(directory, ignore):
        try:
            if path.is_symlink():
                add("link", relative, os.readlink(path))
            elif path.is_file():
                add("program" if _executable(path) else "file", relative, path.read_bytes())
            else:
                raise ImageError(
                    f"{directory} holds only files, links and directories", f"{relative} is neither", "remove it, or name it under `ignore`"
                )
        except OSError as error:
            raise ImageError(f"every file of {directory} can be read", f"{relative}: {error.strerror}", "check owner and mode") from error
    return digest.hexdigest()[:HASH_LENGTH]


def stage(image: Image, target: Path) -> None:
    """Copy an image's context to an empty directory, with modes 0644 and 0755. Raises ImageError when it changed meanwhile."""
    target.mkdir(parents=True, exist_ok=True)
    for relative, path in context_files(image.directory, image.ignore):
        copy = target / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            os.symlink(os.readlink(path), copy)
        else:
            shutil.copyfile(path, copy)
            copy.chmod(0o755 if _executable(path) else 0o644)
    for root, _directories, _files in os.walk(target):
        os.chmod(root, 0o755)  # noqa: S103 - as in the image: readable by whoever runs it
    base = base_identity(image.base)
    if context_hash(target, builder=image.builder, base=base, arguments=image.arguments, ignore=image.ignore) != image.tag:
        raise ImageError(f"{image.directory} stays as it is while it is copied", "a file changed meanwhile", "run again")
    for name, path in image.inputs.items():
        copy = target / INPUTS / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o644)
        if file_digest(copy) != image.arguments[name]:
            raise ImageError(f"{path} stays as it is while it is copied", "it changed meanwhile", "run again")


def file_digest(path: Path) -> str:
    """The digest of a file's content, sha256:... Raises OSError."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def base_identity(base: Image | External | None) -> str:
    """What a base adds to the tag of an image on it: without the registry, so that moving it changes no tag."""
    if isinstance(base, Image):
        return f"{base.repository}:{base.tag}"
    return base.reference if base else ""


class Catalogue:
    """The images that can be built, from one or more directories.

    directories: searched in their order; the collection's own images come last, so a user's image of the same name wins.
    arguments:   {image: {argument: value}}, over those of image.yml.
    bases:       {image: reference}: images replaced by one from elsewhere, by its full reference.
    """

    def __init__(
        self,
        directories: Iterable[str | Path] = (),
        arguments: Mapping[str, Mapping[str, Any]] | None = None,
        bases: Mapping[str, str] | None = None,
    ) -> None:
        self.directories = [*(Path(directory).expanduser() for directory in directories), COLLECTION_IMAGES]
        self.arguments = {name: dict(values or {}) for name, values in (arguments or {}).items()}
        self.bases = dict(bases or {})

    def names(self) -> list[str]:
        """The names of all images."""
        found: set[str] = set()
        for directory in self.directories:
            if directory.is_dir():
                found.update(entry.name for entry in directory.iterdir() if (entry / CONTAINERFILE).is_file())
        return sorted(found)

    def get(self, name: str, arguments: Mapping[str, Any] | None = None) -> Image | External:
        """An image by name. Raises ImageError when there is none, or its image.yml is not usable."""
        return self._get(name, arguments or {}, ())

    def _get(self, name: str, arguments: Mapping[str, Any], above: tuple[str, ...]) -> Image | External:
        if name in above:
            raise ImageError("no image is its own base", " -> ".join((*above, name)), "change `base` in one of their image.yml")
        if self.bases.get(name):
            return External(self.bases[name], suite=self._suite_of_replaced(name, arguments))
        directory = self._directory(name)
        definition = read_definition(directory)
        merged = _arguments(directory, definition.get("arguments"), self.arguments.get(name), arguments)
        inputs = _inputs(name, directory, definition.get("inputs", ()), merged)
        merged.update((argument, file_digest(path)) for argument, path in inputs.items())
        builder = definition.get("builder", "containerfile")
        base = self._base(directory, definition.get("base"), (*above, name))
        ignore = tuple(definition.get("ignore", ()))
        tag = context_hash(directory, builder=builder, base=base_identity(base), arguments=merged, ignore=ignore)
        space = definition["space"] * 1024**2 if "space" in definition else DEFAULT_SPACE
        return Image(name, directory, builder, base, merged, tag, space, ignore, inputs)

    def _base(self, directory: Path, value: Any, above: tuple[str, ...]) -> Image | External | None:
        if value is None:
            return None
        name, arguments = (value, {}) if isinstance(value, str) else (value["name"], value.get("arguments") or {})
        # An image's name has neither slash, colon nor dot: everything else is a reference to elsewhere.
        return self._get(name, arguments, above) if NAME.match(name) else External(name)

    def _suite_of_replaced(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The suite of an image that is replaced by an external one: what it would have been built from."""
        suite = arguments.get("suite") or self.arguments.get(name, {}).get("suite")
        if not suite and any((directory / name / DEFINITION).is_file() for directory in self.directories):
            suite = (read_definition(self._directory(name)).get("arguments") or {}).get("suite")
        return str(suite or "")

    def _directory(self, name: str) -> Path:
        for directory in self.directories:
            if NAME.match(name) and (directory / name / CONTAINERFILE).is_file():
                return directory / name
        close = difflib.get_close_matches(name, self.names(), 1)
        raise ImageError(
            f"an image {name!r}: a directory of this name with a {CONTAINERFILE} in {' or '.join(map(str, self.directories))}",
            f"the images {', '.join(self.names()) or 'none'}",
            f"did you mean {close[0]!r}?" if close else "name one of them, or add your own directory to stackgate_images_dirs",
        )


def read_definition(directory: Path) -> dict[str, Any]:
    """The checked content of an image.yml; {} when there is none. Raises ImageError."""
    path = directory / DEFINITION
    try:
        content = yaml.safe_load(path.read_text()) if path.is_file() else None
    except (OSError, yaml.YAMLError) as error:
        raise ImageError(f"{path} is readable YAML", str(error)) from error
    definition = {} if content is None else content
    if not isinstance(definition, dict):
        raise ImageError(f"{path} is a mapping", type(definition).__name__)
    for problem in _problems(definition):
        raise ImageError(f"{path}: {problem[0]}", problem[1], "see docs/images.md")
    return definition


def _problems(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with an image.yml, as (expected, seen)."""
    for key in definition:
        if key not in KEYS:
            yield f"only the keys {', '.join(KEYS)}", f"the key {key!r}"
    if definition.get("builder", BUILDERS[0]) not in BUILDERS:
        yield f"builder is one of {', '.join(BUILDERS)}", repr(definition["builder"])
    if not isinstance(definition.get("arguments") or {}, dict):
        yield "arguments is a mapping", repr(definition["arguments"])
    base = definition.get("base")
    as_mapping = isinstance(base, dict) and isinstance(base.get("name"), str) and not set(base) - {"name", "arguments"}
    if base is not None and not isinstance(base, str) and not as_mapping:
        yield "base is an image's name, a reference, or {name, arguments}", repr(base)
    for key, what in (("ignore", "patterns"), ("inputs", "names of arguments")):
        value = definition.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            yield f"{key} is a list of {what}", repr(value)
    space = definition.get("space", 1)
    if not isinstance(space, int) or isinstance(space, bool) or space < 1:
        yield "space is a number of MiB", repr(space)


def _arguments(directory: Path, *layers: Any) -> dict[str, str]:
    """Merge layers of arguments, later ones win, every value as text. Raises ImageError."""
    merged: dict[str, str] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            if not ARGUMENT.match(str(key)) or key == "BASE":
                raise ImageError(
                    f"{directory}: an argument's name is a word of letters, digits and _, and not BASE", repr(key), "rename the argument"
                )
            if value is None or isinstance(value, (dict, list)):
                raise ImageError(f"{directory}: the argument {key} is text or a number", repr(value), "quote it")
            merged[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    return merged


def _inputs(name: str, directory: Path, wanted: Iterable[str], arguments: Mapping[str, str]) -> dict[str, Path]:
    """The files that arguments name. Raises ImageError."""
    found = {}
    for argument in wanted:
        given = arguments.get(argument, "")
        path = Path(given).expanduser()
        if not given or not path.is_file() or not os.access(path, os.R_OK):
            raise ImageError(
                f"the argument {argument} of the image {name} names a file of this machine, which is put into the image",
                f"{given}, which is no file that can be read" if given else "no file is named",
                f"set stackgate_image_arguments: {{{name}: {{{argument}: /path}}}}; {directory / CONTAINERFILE} says what it is",
            )
        found[argument] = path
    return found
