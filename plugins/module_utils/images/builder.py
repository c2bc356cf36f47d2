# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build one image with buildah and push it.

buildah runs with chroot isolation inside namespaces of our own (process.py): as quick as its OCI isolation, with no
runtime, no cgroup and no network of its own to set up or to leave behind.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.images import bootstrap, golang, lending
from ansible_collections.stackgate.k3s.plugins.module_utils.images.containerfile import Steps
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import CONTAINERFILE, PREFIX, External, Image, stage
from ansible_collections.stackgate.k3s.plugins.module_utils.images.process import Processes
from ansible_collections.stackgate.k3s.plugins.module_utils.images.registry import Registry

# What a build needs on the PATH, and what a builder of image.yml needs besides.
TOOLS = ("buildah", "setpriv", "unshare")
BUILDER_TOOLS = {"mmdebstrap": ("mmdebstrap",), "go": ("go",)}
# Finished steps of failed builds are kept, as the next try begins with them; more than this many are too many.
DANGLING = 40
# Written inside the image, so that two builds of the same files differ in as little as possible.
EPOCH = "0"


class BuildError(StackgateError):
    """An image could not be built or pushed."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image. seconds: of building and pushing; 0 when there was nothing to do."""

    name: str
    image: str
    digest: str
    built: bool
    seconds: float = 0.0


@dataclass
class Work:
    """One image being built, for whoever shows progress: what it does now, since when (monotonic seconds)."""

    name: str
    began: float = field(default_factory=time.monotonic)
    steps: Steps = field(default_factory=Steps)


@contextlib.contextmanager
def locked(path: Path, exclusive: bool, wait: bool = True) -> Iterator[IO[str] | None]:
    """Hold a lock file (None when it is held by another and wait is false). The kernel lets go of it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield handle


@dataclass
class Builder:
    """Builds and pushes images.

    directory:   buildah's storage, logs and temporary files; may be deleted at any time when nothing builds.
    registry:    where images go; its address and credentials.
    apt_sources: apt sources for builds instead of this machine's, "" = this machine's.
    """

    directory: Path
    registry: Registry
    apt_sources: str = ""
    processes: Processes = field(default_factory=Processes)

    @property
    def _temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def _go_cache(self) -> Path:
        return self.directory / "go"

    def log_path(self, image: Image) -> Path:
        """Where the whole output of an image's last build is kept."""
        return self.directory / "log" / f"{image.name}-{image.tag}.log"

    def check(self, images: Sequence[Image]) -> None:
        """Raise BuildError when builds cannot work here: rights, programs, disk space. Changes nothing."""
        if os.geteuid() != 0:
            raise BuildError(
                f"images are built as root ({names(images)} to build)",
                f"user id {os.geteuid()}",
                "run as root, or build on a machine where you are and push to the same registry, or name images from elsewhere",
            )
        missing = self.missing_tools(images)
        if missing:
            raise BuildError(
                f"the programs {', '.join(missing)} are on the PATH ({names(images)} to build)",
                "they are not",
                install_hint(missing, images),
            )
        for image in images:
            if image.builder == "go":
                golang.check(image)
        self.directory.mkdir(parents=True, exist_ok=True)
        needed = sum(image.space for image in images)
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise BuildError(
                f"{needed} bytes are free for builds under {self.directory} ({names(images)} to build)",
                f"{free} bytes are free",
                f"free disk space (everything under {self.directory} may be deleted), or set stackgate_cache_dir to a directory with more",
            )

    @staticmethod
    def missing_tools(images: Sequence[Image]) -> list[str]:
        """The programs that building these images needs and that are not on the PATH."""
        builders = dict.fromkeys(image.builder for image in images)
        wanted = (*TOOLS, *(tool for builder in builders for tool in BUILDER_TOOLS.get(builder, ())))
        return [tool for tool in wanted if not shutil.which(tool)]

    # -- storage

    def _buildah(self, *arguments: str) -> list[str]:
        storage = ["--root", str(self.directory / "root"), "--runroot", str(self.directory / "run")]
        return ["buildah", *storage, "--storage-driver", self._driver, *arguments]

    @functools.cached_property
    def _driver(self) -> str:
        return os.environ.get("STORAGE_DRIVER") or storage_driver(self.directory, Path("/proc/self/mounts").read_text())

    def _output(self, *arguments: str) -> tuple[int, list[str]]:
        """Run buildah for its answer: exit status and lines."""
        lines: list[str] = []
        status = self.processes.stream(self._buildah(*arguments), lines.append, environment=self._environment())
        return status, lines

    def _environment(self) -> dict[str, str]:
        environment = {"TMPDIR": str(self._temporary), "SOURCE_DATE_EPOCH": EPOCH}
        if self.registry.address.private:
            listed = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
            host = self.registry.address.host.rsplit(":", 1)[0]
            environment["NO_PROXY"] = environment["no_proxy"] = ",".join(filter(None, (listed, host)))
        return environment

    @contextlib.contextmanager
    def storage(self, images: Iterable[Image]) -> Iterator[None]:
        """Use the storage, cleaned first of what interrupted builds left in it, unless another process builds at this moment."""
        lock = self.directory / "lock"
        self._temporary.mkdir(parents=True, exist_ok=True)
        with locked(lock, exclusive=True, wait=False) as alone:
            if alone:
                self._clean({f"{image.name}:{image.tag}" for wanted in images for image in (wanted, *wanted.bases())})
        with locked(lock, exclusive=False):
            yield
        with locked(lock, exclusive=True, wait=False) as alone:
            if alone:
                golang.trim(self._go_cache)

    def _clean(self, wanted: set[str]) -> None:
        """Remove half-built containers, temporary files, and older builds of an image (of each the newest stays)."""
        for entry in self._temporary.iterdir():
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
        # Mount counts of processes that are gone; the storage makes the directory anew.
        shutil.rmtree(self.directory / "run", ignore_errors=True)
        if not (self.directory / "root").is_dir():
            return
        status, lines = self._output("rm", "--all")
        if status != 0:
            # The whole storage is a cache: a broken one is cheaper to rebuild than to mend.
            shutil.rmtree(self.directory / "root", ignore_errors=True)
            if (self.directory / "root").exists():
                raise BuildError(f"the build storage {self.directory / 'root'} works", "\n".join(lines[-5:]), "delete it and run again")
            return
        status, lines = self._output("images", "--format", "{{.Name}}:{{.Tag}}")
        old = superseded(lines if status == 0 else [], wanted, {name: self.previous(name) for name in self._pushed_names()})
        if old:
            self._output("rmi", *old)
        if lines.count("<none>:<none>") > DANGLING:
            self._output("rmi", "--prune")

    # Images carry no time (two builds of the same files must not differ by it): an empty file per push says what came last.

    def _pushed(self, name: str) -> Path:
        return self.directory / "pushed" / name

    def _pushed_names(self) -> list[str]:
        directory = self.directory / "pushed"
        return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []

    def previous(self, name: str) -> str:
        """The tag of an image that was last pushed from here, "" when there is none."""
        try:
            tags = sorted((entry.stat().st_mtime, entry.name) for entry in self._pushed(name).iterdir())
        except FileNotFoundError:
            return ""
        return tags[-1][1] if tags else ""

    # -- one image

    def build(self, image: Image, work: Work) -> Outcome:
        """Build and push one image, unless another process did so meanwhile. Its base must be in the registry. Raises BuildError."""
        began = time.monotonic()
        work.steps.begin("waiting for another build of the same image")
        with locked(self.directory / "locks" / f"{image.name}-{image.tag}", exclusive=True):
            reference = image.reference(self.registry.address.host)
            present = self.registry.digest(image.repository, image.tag)
            if present:
                return Outcome(image.name, reference, present, built=False)
            self.log_path(image).parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.TemporaryDirectory(dir=self._temporary, prefix=f"{image.name}-")
            with self.log_path(image).open("w") as log, scratch as directory:
                if not self._is_local(image):
                    self._build(image, work, Path(directory), log)
                digest = self._push(image, work, Path(directory), log)
        return Outcome(image.name, reference, digest, built=True, seconds=time.monotonic() - began)

    def _is_local(self, image: Image) -> bool:
        return self._output("inspect", "--type", "image", "--format", "{{.FromImageID}}", local(image))[0] == 0

    def _build(self, image: Image, work: Work, scratch: Path, log: IO[str]) -> None:
        context = scratch / "context"
        stage(image, context)
        sources = lending.debian_sources(image.suite, self.apt_sources) if image.suite else []
        loan = lending.lend(scratch / "lent", sources)
        options: list[str] = []
        if isinstance(image.base, Image):
            self._fetch(image.base, work, scratch, log)
            options = ["--build-arg", f"BASE={local(image.base)}", "--pull-never"]
        elif isinstance(image.base, External):
            # Our registry's settings are for our registry only: another one is spoken to as buildah is configured.
            ours = image.base.reference.startswith(f"{self.registry.address.host}/")
            options = ["--build-arg", f"BASE={image.base.reference}", *(self._access(scratch) if ours else ())]
        if image.builder == "mmdebstrap":
            work.steps.begin("bootstrap of the base system")
            self._run(image, work, bootstrap.command(image, context, scratch, sources, lending.apt_transport()), log)
        elif image.builder == "go":
            self._compile(image, work, context, log)
        for name, value in sorted(image.arguments.items()):
            options += ["--build-arg", f"{name}={value}"]
        work.steps.begin("start of the build")
        self._run(
            image,
            work,
            self._buildah(
                "build", "--isolation", "chroot", "--network", "host", "--layers", "--timestamp", EPOCH, "--format", "oci",
                "--label", f"org.opencontainers.image.title={image.name}",
                "--label", f"org.opencontainers.image.version={image.tag}",
                *loan.arguments(), *options, "--tag", local(image), "--file", str(context / CONTAINERFILE), str(context),
            ),
            log,
        )  # fmt: skip

    def _compile(self, image: Image, work: Work, context: Path, log: IO[str]) -> None:
        """Have Go build the image's programs into its context."""
        work.steps.begin("go build")
        environment = golang.environment(self._go_cache, golang.machine_proxies())
        progress = golang.Progress(work.steps.reach, work.steps.line)
        command = golang.command(image, context)
        self._run(image, work, command, log, on_line=progress, environment=environment, directory=context)
        for path in (context / "bin", *(context / "bin").iterdir()):
            path.chmod(0o755)  # whatever the umask

    def _fetch(self, base: Image, work: Work, scratch: Path, log: IO[str]) -> None:
        """Bring a base of ours into the storage."""
        if self._is_local(base):
            return
        work.steps.begin(f"fetching the base {base.name}")
        remote = self._remote(base)
        self._run(base, work, self._buildah("pull", *self._access(scratch), remote), log)
        self._run(base, work, self._buildah("tag", remote.removeprefix("docker://"), local(base)), log)

    def _push(self, image: Image, work: Work, scratch: Path, log: IO[str]) -> str:
        """Push, and return the digest that the registry gives for the tag afterwards."""
        work.steps.begin("push")
        self._run(image, work, self._buildah("push", *self._access(scratch), local(image), self._remote(image)), log)
        digest = self.registry.digest(image.repository, image.tag)
        if not digest:
            raise BuildError(
                f"the registry {self.registry.address.url} has {image.repository}:{image.tag} after the push",
                "it answers 404",
                "read the registry's log",
            )
        self._pushed(image.name).mkdir(parents=True, exist_ok=True)
        (self._pushed(image.name) / image.tag).touch()
        return digest

    def _remote(self, image: Image) -> str:
        address = self.registry.address
        return f"docker://{address.host}/{address.repository(image.repository)}:{image.tag}"

    def _access(self, scratch: Path) -> list[str]:
        """Options of buildah for talking to the registry. Credentials go through a file, never through the process list."""
        options = []
        if self.registry.address.plain or not self.registry.validate_certs:
            options.append("--tls-verify=false")
        elif self.registry.ca_cert:
            certificates = scratch / "certificates"
            certificates.mkdir(exist_ok=True)
            shutil.copyfile(self.registry.ca_cert, certificates / "ca.crt")
            options += ["--cert-dir", str(certificates)]
        if self.registry.username:
            authfile = scratch / "auth.json"
            token = base64.b64encode(f"{self.registry.username}:{self.registry.password}".encode()).decode()
            with os.fdopen(os.open(authfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
                json.dump({"auths": {self.registry.address.host: {"auth": token}}}, handle)
            options += ["--authfile", str(authfile)]
        return options

    def _run(
        self,
        image: Image,
        work: Work,
        command: Sequence[str],
        log: IO[str],
        *,
        on_line: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Run a program of a build. Raises BuildError with its last lines when it fails."""
        given = {**self._environment(), **(environment or {})}
        status = self.processes.stream(command, on_line or work.steps.line, log=log, environment=given, directory=directory)
        if status != 0:
            raise BuildError(
                f"the image {image.name} builds from {image.directory}",
                work.steps.failure(),
                f"correct the step; the whole output is in {self.log_path(image)}",
                time.monotonic() - work.began,
                {"image": image.name, "step": work.steps.current},
            )


def names(images: Iterable[Image]) -> str:
    """The names of images, for a sentence."""
    return ", ".join(image.name for image in images)


def local(image: Image) -> str:
    """An image's name in buildah's own storage."""
    return f"localhost/{image.repository}:{image.tag}"


def storage_driver(directory: Path, mounts: str) -> str:
    """buildah's storage driver for a directory, from the text of /proc/self/mounts.

    An overlay cannot lie on another one (the root of a container): there, whole copies (vfs), slower and larger.
    """
    kinds = {}
    for line in mounts.splitlines():
        _device, point, kind, *_rest = line.split()
        kinds[point] = kind
    directory = directory.resolve()
    nearest = next((str(path) for path in (directory, *directory.parents) if str(path) in kinds), "/")
    return "vfs" if kinds.get(nearest) == "overlay" else "overlay"


def superseded(listed: Iterable[str], wanted: set[str], last: Mapping[str, str]) -> list[str]:
    """Of the images in the storage, those to remove: ours that are neither wanted (`<name>:<tag>`) nor the last pushed of their name."""
    ours = f"localhost/{PREFIX}/"
    old = []
    for full in listed:
        short = full.removeprefix(ours)
        name, _colon, tag = short.partition(":")
        if full.startswith(ours) and short not in wanted and last.get(name) != tag:
            old.append(full)
    return old


def install_hint(missing: Sequence[str], images: Iterable[Image]) -> str:
    """How a machine gets the programs that it lacks."""
    hints = []
    if any(tool != "go" for tool in missing):
        hints.append("apt-get install buildah mmdebstrap util-linux (the role image_build does)")
    if "go" in missing:
        wanted = names(image for image in images if image.builder == "go")
        hints.append(f"install Go, or use images from elsewhere for {wanted}: stackgate_image_bases: {{<image>: <reference>}}")
    return "; ".join(hints)
