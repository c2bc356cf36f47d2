# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's registry, and the images of its own pods, made without a container tool.

An image is a layer of files and a piece of JSON. The tag is the hash of what is in it, so a present tag is a present
image, and a changed program is pulled anew.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import http.client
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

from . import machine, render
from .cgroups import Cgroups
from .node import spawn
from .programs import Programs, libraries
from .settings import Settings

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
# Not compressed: the registry is on the same machine, and unpacking costs the nodes more than reading.
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


# -- the process ------------------------------------------------------------------------------------------------------


def ensure(settings: Settings, cgroups: Cgroups) -> bool:
    """Start the registry on the switch unless it answers; whether it had to be started."""
    directory = settings.run_dir / "switch"
    values = {"s": settings, "registry": machine.find_program("docker-registry")}
    changed = render.write(render.tree("switch", directory, values))
    group = f"{settings.name}/switch"
    if cgroups.processes(group) and not changed and answers(settings):
        return False
    cgroups.create(group)
    cgroups.kill(group)
    settings.registry_dir.mkdir(parents=True, exist_ok=True)
    log = directory / "registry.log"
    process = spawn(cgroups, group, settings.switch_namespace, ["bash", str(directory / "registry.sh")], log)
    _wait(settings, process, log)
    return True


def _wait(settings: Settings, process: subprocess.Popen[bytes], log: Path, timeout: float = 20.0) -> None:
    start = time.monotonic()
    while not answers(settings):
        waited = time.monotonic() - start
        if process.poll() is not None or waited > timeout:
            raise StackgateError(
                f"the registry answers at {settings.switch_ip}:{settings.registry_port}",
                f"it does not; its last words: {log.read_text(errors='replace')[-1500:].strip() or '(none)'}",
                f"read {log}; its data is in {settings.registry_dir}",
                waited=waited,
            )
        time.sleep(0.02)


def answers(settings: Settings) -> bool:
    try:
        return _request(settings, "GET", "/v2/")[0] == 200
    except OSError:
        return False


def remove(settings: Settings, cgroups: Cgroups) -> bool:
    """End the registry; whether it ran. Its data stays."""
    killed = cgroups.kill(f"{settings.name}/switch")
    return cgroups.remove(f"{settings.name}/switch") or killed


def _request(
    settings: Settings, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str]]:
    connection = http.client.HTTPConnection(settings.switch_ip, settings.registry_port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.headers.items())
    finally:
        connection.close()


# -- images -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Image:
    """One image: files as (path inside, path on this machine), links as (path inside, target), directories with mode."""

    name: str
    files: tuple[tuple[str, Path], ...]
    links: tuple[tuple[str, str], ...] = ()
    directories: tuple[tuple[str, int], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    tag: str = ""  # "": the content's hash

    def content(self) -> tuple[object, ...]:
        return (self.files, self.links, self.directories, self.texts)

    def reference(self) -> str:
        return f"{self.name}:{self.tag or self.digest()}"

    def digest(self) -> str:
        """16 hexadecimal digits. A program that carries a hash in its name is taken at its word."""
        digest = hashlib.sha256(repr((self.content(), self.entrypoint, self.command, self.user)).encode())
        for _inside, source in self.files:
            status = source.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()[:16]


def images(programs: Programs) -> dict[str, Image]:
    """The images of the cluster's own pods, by the names that the templates use, and a busybox for everybody."""
    certificates = [path for path in map(Path, _CERTIFICATES) if path.exists()][:1]
    trust = tuple(("/etc/ssl/certs/ca-certificates.crt", path) for path in certificates)
    tmp = (("/tmp", 0o1777),)  # noqa: S108 - inside the image
    # One layer for three images: the binary picks its program by the name of the link.
    links = tuple((f"/usr/bin/{name}", "kube") for name in ("coredns", "local-path-provisioner", "metrics-server"))
    kube = Image("rancher/mirrored-coredns-coredns", (("/usr/bin/kube", programs.kube), *trust), links, tmp)
    busybox = Image(
        "rancher/mirrored-library-busybox",
        files=(("/bin/busybox", programs.busybox), *((str(library), library) for library in libraries(programs.busybox))),
        links=tuple((f"/bin/{applet}", "busybox") for applet in _applets(programs.busybox)),
        directories=(*tmp, ("/root", 0o700), ("/var/www", 0o755)),
        texts=(
            ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
            ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ),
        command=("sh",),
    )
    change = dataclasses.replace
    return {
        "pause": Image("rancher/mirrored-pause", (("/pause", programs.pause),), entrypoint=("/pause",), user="65535:65535"),
        "coredns": change(kube, entrypoint=("/usr/bin/coredns",), user="65532:65532"),
        "local_path": change(kube, name="rancher/local-path-provisioner", command=("local-path-provisioner",)),
        "metrics_server": change(kube, name="rancher/mirrored-metrics-server", entrypoint=("/usr/bin/metrics-server",), user="65534:65534"),
        "traefik": Image(
            "rancher/mirrored-library-traefik",
            (("/usr/bin/traefik", programs.traefik), *trust),
            directories=tmp,
            entrypoint=("/usr/bin/traefik",),
        ),
        "busybox": busybox,
        "busybox_latest": change(busybox, name="library/busybox", tag="latest"),
    }


def _applets(busybox: Path) -> list[str]:
    return [name for name in machine.run(busybox, "--list").split() if name != "busybox"]


def push_missing(settings: Settings, wanted: Mapping[str, Image]) -> bool:
    """Push every image that the registry does not have; whether any was missing."""
    absent = [image for image in wanted.values() if not _has(settings, image)]
    if not absent:
        return False
    by_content: dict[tuple[object, ...], list[Image]] = {}
    for image in absent:
        by_content.setdefault(image.content(), []).append(image)
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda same: _push(settings, same), by_content.values()))
    machine.say(f"{len(absent)} images pushed to {settings.registry}")
    return True


def _has(settings: Settings, image: Image) -> bool:
    name, _colon, tag = image.reference().rpartition(":")
    return _request(settings, "HEAD", f"/v2/{name}/manifests/{tag}", headers={"Accept": _MANIFEST})[0] == 200


def _push(settings: Settings, same: list[Image]) -> None:
    """Push images that have one layer in common: it is sent once and mounted into the others."""
    layer = _layer(same[0])
    digest = _sha256(layer)
    first = same[0].name
    for image in same:
        config = json.dumps(
            {
                "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": {
                    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                    "WorkingDir": "/",
                    "User": image.user,
                    **({"Entrypoint": image.entrypoint} if image.entrypoint else {}),
                    **({"Cmd": image.command} if image.command else {}),
                },
                "rootfs": {"type": "layers", "diff_ids": [digest]},
                "history": [{"created": "1970-01-01T00:00:00Z"}],
            },
            sort_keys=True,
        ).encode()
        _push_blob(settings, image.name, layer, digest, mount_from=first if image.name != first else "")
        _push_blob(settings, image.name, config, _sha256(config))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "size": len(config), "digest": _sha256(config)},
            "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": digest}],
        }
        name, _colon, tag = image.reference().rpartition(":")
        _expect(settings, "PUT", f"/v2/{name}/manifests/{tag}", json.dumps(manifest).encode(), {"Content-Type": _MANIFEST})


def _push_blob(settings: Settings, name: str, content: bytes, digest: str, mount_from: str = "") -> None:
    if _request(settings, "HEAD", f"/v2/{name}/blobs/{digest}")[0] == 200:
        return
    query = f"?mount={digest}&from={mount_from}" if mount_from else ""
    status, headers = _expect(settings, "POST", f"/v2/{name}/blobs/uploads/{query}", b"", {})
    if status == 201:  # mounted
        return
    location = headers["Location"].split("/", 3)[3]
    separator = "&" if "?" in location else "?"
    _expect(settings, "PUT", f"/{location}{separator}digest={digest}", content, {"Content-Type": "application/octet-stream"})


def _expect(settings: Settings, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
    status, answer = _request(settings, method, path, body, headers)
    if not 200 <= status < 300:
        raise StackgateError(
            f"the registry takes {method} {path.split('?')[0]}", f"HTTP {status}", f"read {settings.run_dir}/switch/registry.log"
        )
    return status, answer


def _layer(image: Image) -> bytes:
    """The image's files as a tar, the same bytes for the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry, source in _entries(image):
            entry.mtime = 0
            if isinstance(source, Path):
                with source.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry, io.BytesIO(source))
    return buffer.getvalue()


def _entries(image: Image) -> Iterator[tuple[tarfile.TarInfo, Path | bytes]]:
    entries: dict[str, tuple[tarfile.TarInfo, Path | bytes]] = {}

    def add(path: str, kind: bytes, mode: int, source: Path | bytes = b"", size: int = 0, target: str = "") -> None:
        entry = tarfile.TarInfo(path.strip("/"))
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, size, target
        entries[path] = (entry, source)

    leaves = [path for path, _rest in (*image.files, *image.links, *image.directories, *image.texts)]
    for parent in sorted({str(parent) for leaf in leaves for parent in Path(leaf).parents} - {"/"}):
        add(parent, tarfile.DIRTYPE, 0o755)
    for path, mode in image.directories:
        add(path, tarfile.DIRTYPE, mode)
    for path, source in image.files:
        add(path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) or ".so" in path else 0o644, source, source.stat().st_size)
    for path, text in image.texts:
        add(path, tarfile.REGTYPE, 0o644, text.encode(), len(text.encode()))
    for path, target in image.links:
        add(path, tarfile.SYMTYPE, 0o777, target=target)
    for path in sorted(entries):
        yield entries[path]


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
