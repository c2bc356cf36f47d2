# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs the cluster is made of: found, or built from Go modules.

kube, traefik and kine are looked for in local_cluster_programs_dir, on the PATH and in the cache, in this order, and
built when they are nowhere. In the cache a program's name ends with the hash of everything it is built from, so a
finished program is never built again and an interrupted build goes on where it was (Go keeps each compiled package).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine
from .settings import Settings

KUBERNETES_MAJOR, KUBERNETES_MINOR = "1", "35"
KUBERNETES_VERSION = f"v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.4"
FILES = Path(__file__).absolute().parent.parent
SOURCES = FILES / "go"
PROGRESS_SECONDS = 15.0
# Two links and the compiler side by side want this much memory; a smaller machine does one thing after the other.
ROOMY_BYTES = 12 << 30
# "auto" drops the compiler's caches when less than this would be left.
SHORT_OF_DISK_BYTES = 20 << 30

# No debug information is compiled at all (the linker would drop it anyway): a tenth less work, a quarter less cache.
_COMPILE = ("-v", "-trimpath", "-gcflags=all=-dwarf=false")
_VERSION = "k8s.io/component-base/version"
_LINK_KUBE = " ".join(
    [
        "-s -w",
        # Without a version the programs call themselves v0.0.0 and refuse to work with each other.
        f"-X {_VERSION}.gitVersion={KUBERNETES_VERSION}",
        f"-X {_VERSION}.gitMajor={KUBERNETES_MAJOR}",
        f"-X {_VERSION}.gitMinor={KUBERNETES_MINOR}",
        f"-X {_VERSION}.gitTreeState=clean",
        f"-X {_VERSION}.buildDate=2026-01-01T00:00:00Z",
        f"-X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}",
    ]
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one program is built.

    package: what Go builds; sources: globs under files/go that go into its hash, beside go.mod, go.sum and trim/.
    """

    package: str
    tags: str
    link: str
    cgo: bool
    sources: tuple[str, ...]


# Programs with the same tags and link flags are built by one call of Go, which compiles what they share once and links
# one while it compiles the other.
RECIPES = {
    "kube": Recipe("./kube", "providerless,osusergo,netgo", _LINK_KUBE, False, ("kube/*.go", "netpol/*.go")),
    "traefik": Recipe("github.com/traefik/traefik/v3/cmd/traefik", "providerless,osusergo,netgo", _LINK_KUBE, False, ()),
    "kine": Recipe("./kine", "osusergo,netgo,sqlite_omit_load_extension,providerless", "-s -w -extldflags -static", True, ("kine/*.go",)),
}


@dataclasses.dataclass(frozen=True)
class Programs:
    """Where everything is that is not a package of the distribution."""

    kube: Path
    traefik: Path
    kine: Path
    pause: Path
    busybox: Path
    traefik_crds: Path

    def all(self) -> list[Path]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


def digest_of(name: str) -> str:
    """The hash of what a program is built from: 16 hexadecimal digits."""
    recipe = RECIPES[name]
    files = [SOURCES / "go.mod", SOURCES / "go.sum", *sorted((SOURCES / "trim").iterdir())]
    for pattern in recipe.sources:
        files += sorted(path for path in SOURCES.glob(pattern) if not path.name.endswith("_test.go"))
    digest = hashlib.sha256(repr((recipe, _COMPILE)).encode())
    for file in files:
        digest.update(f"\0{file.relative_to(SOURCES)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def locate(settings: Settings) -> tuple[Programs, list[str]]:
    """Where the programs are, or will be; and the names of those that have to be built."""
    given = _given(settings)
    cached = {name: settings.bin_dir / f"{name}-{digest_of(name)}" for name in RECIPES}
    places = {name: given.get(name, cached[name]) for name in RECIPES}
    pause_digest = hashlib.sha256((FILES / "pause.c").read_bytes()).hexdigest()[:16]
    programs = Programs(
        **places,
        pause=given.get("pause", settings.bin_dir / f"pause-{pause_digest}"),
        busybox=given.get("busybox", settings.bin_dir / "busybox"),
        traefik_crds=given.get("traefik-crds.json", settings.bin_dir / f"traefik-crds-{digest_of('traefik')}.json"),
    )
    missing = [name for name in RECIPES if not os.access(places[name], os.X_OK)]
    if "traefik" not in missing and not programs.traefik_crds.exists():
        missing.append("traefik")
    return programs, missing


def _given(settings: Settings) -> dict[str, Path]:
    """What local_cluster_programs_dir or the PATH gives. The PATH counts only as a whole set of the right version."""
    if settings.programs_dir:
        directory = Path(settings.programs_dir).expanduser().absolute()
        absent = [name for name in RECIPES if not os.access(directory / name, os.X_OK)]
        if absent:
            raise StackgateError(
                f"local_cluster_programs_dir ({directory}) holds the programs {', '.join(RECIPES)}",
                f"not there, or not executable: {', '.join(absent)}",
                "leave the variable empty to have them built",
            )
        wanted = (*RECIPES, "pause", "busybox", "traefik-crds.json")
        return {name: directory / name for name in wanted if (directory / name).exists()}
    found = {name: machine.find_program(name) for name in RECIPES}
    if not all(found.values()):
        return {}
    # The cache's own short names, when somebody has put its bin directory on the PATH: they follow the cache, not lead it.
    if any(Path(str(path)).parent.resolve() == settings.bin_dir.resolve() for path in found.values()):
        return {}
    with contextlib.suppress(StackgateError, ValueError, KeyError):
        version = json.loads(machine.run(str(found["kube"]), "kubectl", "version", "--client", "-o", "json"))
        if version["clientVersion"]["gitVersion"] == KUBERNETES_VERSION:
            return {name: Path(str(path)) for name, path in found.items()}
    return {}


def ensure(settings: Settings) -> tuple[Programs, bool]:
    """The programs, built where they are not there; whether anything was built."""
    programs, missing = locate(settings)
    settings.bin_dir.mkdir(parents=True, exist_ok=True)
    if missing:
        _build(settings, programs, missing)
    made = bool(missing)
    if not programs.pause.exists():
        _compile_pause(programs.pause)
        made = True
    if not programs.busybox.exists():
        _fetch_busybox(programs.busybox)
        made = True
    for name in ("kube", "kubectl", "traefik", "kine"):  # short names for people, and for CI to keep
        target = programs.kube if name == "kubectl" else getattr(programs, name)
        link = settings.bin_dir / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return programs, made


# -- Go ---------------------------------------------------------------------------------------------------------------


def check_go(settings: Settings) -> None:
    """StackgateError unless a Go is there that can build."""
    needed = re.search(r"^go (\S+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert needed is not None
    if not machine.find_program("go"):
        raise StackgateError(
            f"Go {needed[1]} or newer is on the PATH, to build Kubernetes",
            "no program called go",
            "install Go, or point local_cluster_programs_dir at a directory with the built programs kube, traefik and kine",
        )
    version, toolchain = machine.run("go", "env", "GOVERSION", "GOTOOLCHAIN", env=_go_environment(settings)).split("\n")[:2]
    if _version_key(version.removeprefix("go")) < _version_key(needed[1]) and toolchain == "local":
        raise StackgateError(f"Go is {needed[1]} or newer", version, "install a newer Go, or let it fetch one itself: GOTOOLCHAIN=auto")


def _version_key(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _go_environment(settings: Settings, cgo: bool = False) -> dict[str, str]:
    environment = {
        **os.environ,
        "GOCACHE": str(settings.go_dir / "build"),
        "GOMODCACHE": str(settings.go_dir / "mod"),
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "CGO_ENABLED": "1" if cgo else "0",
    }
    if machine.memory_bytes() >= ROOMY_BYTES:
        environment.setdefault("GOGC", "400")  # the compiler collects garbage less often
    return environment


def _build(settings: Settings, programs: Programs, missing: Sequence[str]) -> None:
    check_go(settings)
    work = settings.go_dir / "work"
    work.mkdir(parents=True, exist_ok=True)
    for entry in SOURCES.iterdir():  # the role may be read-only; gen/ beside the sources stays
        target = work / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        (shutil.copytree if entry.is_dir() else shutil.copy2)(entry, target)
    _trim(settings, work)
    machine.say(f"building {', '.join(missing)}: minutes with empty caches; an interrupted build goes on where it was")
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for name in missing:
        recipe = RECIPES[name]
        groups.setdefault((recipe.tags, recipe.link, recipe.cgo), []).append(name)
    builds = [_GoBuild(settings, work, names, tags, link, cgo) for (tags, link, cgo), names in groups.items()]
    for build in builds:
        build.resolve()
    if machine.memory_bytes() >= ROOMY_BYTES:
        _run_side_by_side(builds)
    else:
        for build in builds:
            _run_side_by_side([build])
    for build in builds:
        for name in build.names:
            target = getattr(programs, name)
            os.replace(build.output / name, target)
            machine.say(f"{name}: {target.stat().st_size / 1e6:.0f} MB")
    if "traefik" in missing:
        _extract_crds(settings, work, programs.traefik_crds)
    _drop_caches(settings)


class _GoBuild:
    """One call of `go build` for the programs that share flags."""

    def __init__(self, settings: Settings, work: Path, names: Sequence[str], tags: str, link: str, cgo: bool) -> None:
        self.names, self.work = names, work
        self.output = settings.go_dir / "out"
        self.output.mkdir(parents=True, exist_ok=True)
        self.environment = _go_environment(settings, cgo)
        self.packages = [RECIPES[name].package for name in names]
        # One package wants a file name, several want a directory and name themselves.
        output = f"{self.output}/" if len(names) > 1 else f"{self.output / names[0]}"
        self.list_command = ["go", "list", "-deps", "-tags", tags, *self.packages]
        self.command = ["go", "build", *_COMPILE, "-tags", tags, "-ldflags", link, "-o", output, *self.packages]
        self.label = " and ".join(names)
        self.total = 0
        self.compiled = 0
        self.other: list[str] = []  # what Go said besides package names: the error, when it fails
        self.process: subprocess.Popen[str] | None = None

    def resolve(self) -> None:
        """Download what is not in the module cache, and count the packages."""
        downloads = 0
        shown = time.monotonic()
        problems: list[str] = []
        with subprocess.Popen(
            self.list_command, cwd=self.work, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as listing:
            assert listing.stdout is not None and listing.stderr is not None
            with selectors.DefaultSelector() as ready:
                ready.register(listing.stdout, selectors.EVENT_READ)
                ready.register(listing.stderr, selectors.EVENT_READ)
                while ready.get_map():
                    for key, _events in ready.select(timeout=1.0):
                        line = key.fileobj.readline()  # type: ignore[union-attr]
                        if not line:
                            ready.unregister(key.fileobj)
                        elif key.fileobj is listing.stdout:
                            self.total += 1
                        elif "downloading" in line:
                            downloads += 1
                        else:
                            problems.append(line)
                    if time.monotonic() - shown >= PROGRESS_SECONDS:
                        shown = time.monotonic()
                        machine.say(f"{self.label}: {downloads} modules downloaded")
        if listing.returncode:
            raise StackgateError(
                f"Go finds every module of {self.label}",
                "".join(problems)[-2000:].strip() or f"exit status {listing.returncode}",
                "check that the Go module proxy can be reached (go env GOPROXY)",
            )
        fetched = f", {downloads} modules downloaded" if downloads else ""
        machine.say(f"{self.label}: {self.total} packages{fetched}")

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, cwd=self.work, env=self.environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def take(self, line: str) -> None:
        """One line of Go's output: the name of a package it has begun, or something a person should see."""
        if re.fullmatch(r"[A-Za-z0-9_.~/\-]+\n?", line):
            self.compiled += 1
        else:
            self.other.append(line)

    def finish(self) -> None:
        assert self.process is not None
        if self.process.wait():
            said = "".join(self.other)[-3000:].strip()
            raise StackgateError(
                f"Go builds {self.label}", said, "those are the compiler's words; what was compiled is kept for the next try"
            )
        machine.say(f"{self.label}: built, {self.compiled} packages compiled")


def _run_side_by_side(builds: Sequence[_GoBuild]) -> None:
    """Run the builds at the same time, with a line of progress at least every PROGRESS_SECONDS."""
    with selectors.DefaultSelector() as ready:
        for build in builds:
            build.start()
            assert build.process is not None and build.process.stderr is not None
            ready.register(build.process.stderr, selectors.EVENT_READ, build)
        shown = time.monotonic()
        try:
            while ready.get_map():
                for key, _events in ready.select(timeout=1.0):
                    line = key.fileobj.readline()  # type: ignore[union-attr]
                    if line:
                        key.data.take(line)
                    else:
                        ready.unregister(key.fileobj)
                        key.data.finish()
                if time.monotonic() - shown >= PROGRESS_SECONDS:
                    shown = time.monotonic()
                    running = [build for build in builds if build.process and build.process.poll() is None]
                    state = "; ".join(f"{build.label}: {build.compiled} of {build.total} packages" for build in running)
                    machine.say(f"{state}, then the link" if state else "the last steps")
        finally:
            for build in builds:
                if build.process is not None and build.process.poll() is None:
                    build.process.terminate()


def _trim(settings: Settings, work: Path) -> None:
    """Make gen/: three modules, cut or bent so that all fit into one build. What for is told in files/go/README.md."""
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in sorted((work / "trim").iterdir()))).hexdigest()
    gen = work / "gen"
    if (gen / ".stamp").exists() and (gen / ".stamp").read_text() == stamp:
        return
    shutil.rmtree(gen, ignore_errors=True)
    lego, provisioner, metrics = (
        _module_directory(settings, work, module)
        for module in ("github.com/go-acme/lego/v4", "github.com/rancher/local-path-provisioner", "sigs.k8s.io/metrics-server")
    )
    _copy_module(lego, gen / "lego", without=("providers", "cmd", "e2e", "docs"))
    (gen / "lego/providers/dns").mkdir(parents=True)
    shutil.copy2(work / "trim/lego_dns.go.txt", gen / "lego/providers/dns/dns.go")
    _copy_module(metrics, gen / "metrics-server", only=("cmd", "pkg", "go.mod", "LICENSE"))
    openapi = gen / "metrics-server/pkg/api/generated/openapi"
    for file in openapi.glob("*.go"):
        file.unlink()
    shutil.copy2(work / "trim/metrics_server_openapi.go.txt", openapi / "openapi.go")
    (gen / "localpath").mkdir()
    for file in provisioner.glob("*.go"):
        if not file.name.endswith("_test.go"):
            text = file.read_text()
            text = re.sub(r"^package main$", "package localpath", text, flags=re.MULTILINE)
            text = re.sub(r"^func main\(\) \{", "func Main() {", text, flags=re.MULTILINE)
            # One letter's case: Go refuses two modules that differ in it only.
            text = text.replace("github.com/Sirupsen/logrus", "github.com/sirupsen/logrus")
            (gen / "localpath" / file.name).write_text(text)
    (gen / ".stamp").write_text(stamp)
    machine.say("sources trimmed")


def _module_directory(settings: Settings, work: Path, module: str) -> Path:
    environment = {**_go_environment(settings), "GOFLAGS": "-mod=mod"}
    answer = machine.run("go", "mod", "download", "-json", module, env=environment, cwd=work / "trim", timeout=600.0)
    return Path(json.loads(answer)["Dir"])


def _copy_module(source: Path, target: Path, without: Iterable[str] = (), only: Iterable[str] = ()) -> None:
    """Copy a module out of Go's read-only cache, without its tests."""
    excluded, included = set(without), set(only)
    for entry in source.iterdir():
        if entry.name in excluded or (included and entry.name not in included):
            continue
        if entry.is_dir():
            tests = shutil.ignore_patterns("*_test.go", "testdata")
            shutil.copytree(entry, target / entry.name, ignore=tests, copy_function=shutil.copyfile)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry, target / entry.name)
    for directory, _children, _files in os.walk(target):
        os.chmod(directory, 0o755)


def _extract_crds(settings: Settings, work: Path, target: Path) -> None:
    """Traefik's CustomResourceDefinitions, from its module; as JSON, which is read a hundred times faster."""
    module = machine.run(
        "go", "list", "-m", "-f", "{{.Dir}}", "github.com/traefik/traefik/v3", env=_go_environment(settings), cwd=work
    ).strip()
    source = Path(module) / "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [document for document in yaml.load_all(source.read_text(), Loader=loader) if document]
    new = target.with_suffix(".new")
    new.write_text(json.dumps(documents))
    os.replace(new, target)


def _drop_caches(settings: Settings) -> None:
    """Remove the compiler's cache when told to, or when the disk is short: only the next change of a program needs it."""
    short = machine.free_bytes(settings.go_dir) < SHORT_OF_DISK_BYTES
    if settings.build_cache == "drop" or (settings.build_cache == "auto" and short):
        machine.say("dropping the compiler's cache")
        machine.run("go", "clean", "-cache", env=_go_environment(settings), timeout=600.0)
    if settings.build_cache == "drop":
        machine.run("go", "clean", "-modcache", env=_go_environment(settings), timeout=600.0)


# -- the two small ones -----------------------------------------------------------------------------------------------


def _compile_pause(target: Path) -> None:
    new = target.with_suffix(".new")
    machine.run("gcc", "-Os", "-static", "-nostdlib", "-fno-stack-protector", "-o", new, FILES / "pause.c")
    os.replace(new, target)


def _fetch_busybox(target: Path) -> None:
    """A busybox that is linked dynamically: Debian's static one crashes in wget and nslookup inside an image."""
    found = machine.find_program("busybox")
    if found and libraries(Path(found)):
        shutil.copy2(found, target)
        return
    if not machine.find_program("apt-get"):
        raise StackgateError(
            "a dynamically linked busybox, for the pods that make and clear volumes",
            "none on the PATH, and no apt-get to fetch one",
            f"install busybox, or put one at {target}",
        )
    scratch = target.with_name("busybox.d")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        # apt drops its rights for a download, and then may not write here: it says so and does it anyway.
        machine.run("apt-get", "download", "-q", "busybox", cwd=scratch, timeout=300.0)
        machine.run("dpkg-deb", "-x", *sorted(scratch.glob("busybox_*.deb")), scratch / "x")
        binary = next(path for path in (scratch / "x/bin/busybox", scratch / "x/usr/bin/busybox") if path.exists())
        os.replace(binary, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def libraries(program: Path) -> list[Path]:
    """The shared libraries of a program, its loader included; none when it is static."""
    with contextlib.suppress(StackgateError):
        return [Path(path) for path in re.findall(r"(/\S+\.so\S*)", machine.run("ldd", program))]
    return []
