# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder `mmdebstrap`: a Debian system, made from packages, that the Containerfile gets as `rootfs.tar`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.stackgate.k3s.plugins.module_utils.images import apt
from ansible_collections.stackgate.k3s.plugins.module_utils.images.context import Image

# Bytes of memory that a bootstrap needs when it works in memory (55 s -> 30 s), and that must be free to do so.
MEMORY = 1536 * 1024**2


def available_memory(meminfo: str) -> int:
    """Bytes of memory that may be used, from the text of /proc/meminfo; 0 when it does not say."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def command(image: Image, context: Path, scratch: Path, sources: Iterable[apt.Source], transport: Iterable[str]) -> list[str]:
    """The command that makes `rootfs.tar` in the context: a Debian system of the image's suite, variant and packages.

    It works in a memory file system when memory allows; that one is mounted in the build's own namespace and ends with it.
    """
    sources_file = scratch / "bootstrap.sources"
    sources_file.write_text("\n".join(source.deb822() for source in sources))
    work = scratch / "bootstrap"
    work.mkdir()
    with contextlib.suppress(OSError):
        if available_memory(Path("/proc/meminfo").read_text()) > 2 * MEMORY:
            # The size is a limit, not a reservation.
            work_in_memory = f'mount -t tmpfs -o size={MEMORY},mode=755 tmpfs "{work}" || true; '
            return [*_words(image, context, work, sources_file, transport, work_in_memory)]
    return [*_words(image, context, work, sources_file, transport, "")]


def _words(image: Image, context: Path, work: Path, sources_file: Path, transport: Iterable[str], before: str) -> Iterator[str]:
    arguments = image.arguments
    yield from ("sh", "-c", f'{before}TMPDIR="{work}" exec "$@"', "sh")
    yield from ("mmdebstrap", "--mode=root", f"--variant={arguments.get('variant', 'minbase')}")
    if arguments.get("packages"):
        yield f"--include={','.join(arguments['packages'].replace(',', ' ').split())}"
    if (context / "dpkg.cfg").is_file():
        yield f"--dpkgopt={context / 'dpkg.cfg'}"
    yield '--aptopt=Acquire::Languages "none"'
    yield from (f"--aptopt={line}" for line in transport)
    # Credentials of a mirror. Like the transport they are named in a file that the setup removes.
    for option, place in (("netrc", apt.APT_ETC / "auth.conf"), ("netrcparts", apt.APT_ETC / "auth.conf.d")):
        if place.exists():
            yield f'--aptopt=Dir::Etc::{option} "{place}"'
    yield "--dpkgopt=force-unsafe-io"
    if (context / "setup").is_file():
        yield f'--customize-hook="{context / "setup"}" "$1"'
    yield from (arguments.get("suite", ""), str(context / "rootfs.tar"), str(sources_file))
