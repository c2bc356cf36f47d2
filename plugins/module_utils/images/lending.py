# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine lends to a build: where packages come from, and which certificates to trust.

Everything is mounted read-only while a step runs. Nothing of it is in the image, so no image and no file of the
repository names a mirror.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.images import apt, pip

# Where a build sees what it is lent.
INSIDE = "/run/build"
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")


@dataclass
class Loan:
    """Bind mounts of one build, as (path on the host, path in the build); all read-only."""

    mounts: list[tuple[Path, str]] = field(default_factory=list)

    def arguments(self) -> list[str]:
        """The mounts as options of `buildah build`."""
        return [word for host, inside in self.mounts for word in ("--volume", f"{host}:{inside}:ro")]


def ca_bundle() -> Path | None:
    """The certificates that this machine trusts."""
    named = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    return next((Path(path) for path in (*named, *CA_BUNDLES) if path and Path(path).is_file()), None)


def apt_transport() -> list[str]:
    """How this machine's apt fetches packages, as lines of apt.conf; empty on a machine without apt."""
    if not shutil.which("apt-config"):
        return []
    dump = subprocess.run(["apt-config", "dump", "--no-empty"], capture_output=True, text=True, check=False, timeout=30)
    return apt.transport(dump.stdout)


def debian_sources(suite: str, override: str = "") -> list[apt.Source]:
    """The sources of a Debian suite: those given (either format), else this machine's. Raises StackgateError."""
    return apt.sources_for(suite, apt.parse(override), None) if override.strip() else apt.sources_for(suite, apt.read_sources())


def _open_directory(path: Path) -> None:
    """Make a directory that every user of a build may read, whatever the umask."""
    path.mkdir()
    path.chmod(0o755)


def _write(path: Path, text: str) -> None:
    """Write a file that every user of a build may read, whatever the umask."""
    path.write_text(text)
    path.chmod(0o644)


def lend(directory: Path, sources: Iterable[apt.Source]) -> Loan:
    """Write what a build is lent into an empty directory (mode 0700: it may hold credentials of a mirror)."""
    directory.mkdir(mode=0o700, parents=True)
    sources = list(sources)
    bundle = ca_bundle()
    # Its root is what the build sees at INSIDE: mount points must exist there, for it is read-only.
    root = directory / "root"
    _open_directory(root)
    loan = Loan([(root, INSIDE)])

    def mount(host: Path, inside: str) -> None:
        if inside.startswith(f"{INSIDE}/"):
            point = root / inside[len(INSIDE) + 1 :]
            point.mkdir() if host.is_dir() else point.touch()
        loan.mounts.append((host, inside))

    if bundle:
        mount(bundle.resolve(), f"{INSIDE}/ca-certificates.crt")
    if sources:
        _lend_apt(directory, sources, mount, bool(bundle))
    configuration = pip.for_build(pip.settings(pip.configuration_files(os.environ, Path.home()), os.environ), INSIDE)
    if configuration.text:
        _write(directory / "pip.conf", configuration.text)
        mount(directory / "pip.conf", "/etc/pip.conf")
        for inside, host in configuration.paths.items():
            mount(host.resolve(), inside)
    return loan


def _lend_apt(directory: Path, sources: list[apt.Source], mount: Callable[[Path, str], None], certificates: bool) -> None:
    """apt's sources, keyrings, credentials and transport."""
    parts = directory / "sources.list.d"
    _open_directory(parts)
    _write(parts / "build.sources", "\n".join(source.deb822() for source in sources))
    mount(parts, "/etc/apt/sources.list.d")
    lines, files = apt.transport_for_build(apt_transport(), INSIDE)
    for inside, host in files.items():
        mount(host.resolve(), inside)
    if certificates and not any("CaInfo" in line for line in lines):
        lines.append(f'Acquire::https::CaInfo "{INSIDE}/ca-certificates.crt";')
    _write(directory / "apt.conf", "\n".join(lines) + "\n")
    mount(directory / "apt.conf", "/etc/apt/apt.conf.d/99build")
    for key in apt.key_files(sources):
        # Debian's own keyring is in every Debian image; another one belongs to this machine's mirror.
        if Path(key).is_file() and "debian-archive" not in key:
            mount(Path(key).resolve(), key)
    if any(apt.APT_ETC.glob("auth.conf.d/*")):
        mount(apt.APT_ETC / "auth.conf.d", "/etc/apt/auth.conf.d")
    if (apt.APT_ETC / "auth.conf").is_file():
        mount(apt.APT_ETC / "auth.conf", "/etc/apt/auth.conf")
