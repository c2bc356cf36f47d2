# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this machine gets Debian packages from: the sources and the transport settings of its own apt.

An image may need another suite than the machine runs: the machine's entries for its own suite are then read with the
wanted one in its place. Only Debian's own archive is taken, never a third party's repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

APT_ETC = Path("/etc/apt")
APT_LISTS = Path("/var/lib/apt/lists")
SUITES = (
    *("jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"),
    *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
)
# <suite>, <suite>-updates, <suite>-security, and the older <suite>/updates for security.
SUITE = re.compile(r"^(?P<name>[a-z]+)(?P<pocket>|-updates|-security|/updates)$")
# Suites without a security or updates pocket.
ROLLING = ("sid", "unstable")
# What of `apt-config dump` says how to fetch, as opposed to what to fetch or where to keep it.
NO_TRANSPORT = "IndexTargets|Languages|cdrom|Changelogs|CompressionTypes|GzipIndexes|Queue-Mode"
TRANSPORT = re.compile(rf'^Acquire::(?!(?:{NO_TRANSPORT})\b)\S+ "[^"]*";$', re.I)


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources. options: further deb822 fields by their lower-case name (signed-by, trusted, ...)."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    def deb822(self) -> str:
        """The entry as a deb822 paragraph."""
        lines = [f"Types: deb\nURIs: {' '.join(self.uris)}\nSuites: {' '.join(self.suites)}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        lines += [f"{name.title()}: {value}" for name, value in sorted(self.options.items())]
        return "\n".join(lines) + "\n"


def parse_one_line(text: str) -> list[Source]:
    """The binary entries of a sources.list: `deb [option=value ...] uri suite component ...`."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>[^#]+)", line)
        words = match["rest"].split() if match else []
        if match and len(words) >= 2:
            pairs = (pair.partition("=") for pair in (match["options"] or "").split())
            # One-line values are lists by comma, deb822 values by space.
            options = {_option(name): value.replace(",", " ") for name, _equals, value in pairs}
            found.append(Source((words[0],), (words[1],), tuple(words[2:]), options))
    return found


def _option(name: str) -> str:
    """The deb822 name of a one-line option."""
    return {"arch": "architectures", "lang": "languages", "target": "targets"}.get(name.lower(), name.lower())


def parse_deb822(text: str) -> list[Source]:
    """The enabled binary entries of a .sources file."""
    found = []
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", uncommented):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line  # a continuation, as in a key given inline
            elif ":" in line:
                name, _colon, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.pop("types", "").split() or fields.pop("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        uris, suites, components = (tuple(fields.pop(key, "").split()) for key in ("uris", "suites", "components"))
        if uris and suites:
            found.append(Source(uris, suites, components, fields))
    return found


def parse(text: str) -> list[Source]:
    """Sources in either format."""
    return parse_deb822(text) if re.search(r"^Types:", text, re.M | re.I) else parse_one_line(text)


def read_sources(etc: Path = APT_ETC) -> list[Source]:
    """The sources of this machine: sources.list, sources.list.d/*.list and *.sources. Unreadable files are left out."""
    paths = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list")), *sorted((etc / "sources.list.d").glob("*.sources"))]
    found: list[Source] = []
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        found += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return found


def origin(uri: str, suite: str, lists: Path = APT_LISTS) -> str:
    """The Origin that the last fetched release file of an entry names; "" when apt has none."""
    stem = re.sub(r"^\w[\w+.-]*://(?:[^/@]*@)?", "", uri.rstrip("/")).replace("_", "%5f").replace("/", "_")
    for kind in ("InRelease", "Release"):
        try:
            text = (lists / f"{stem}_dists_{suite.replace('/', '_')}_{kind}").read_text(errors="replace")
        except OSError:
            continue
        match = re.search(r"^Origin:\s*(.+)$", text, re.M)
        return match[1].strip() if match else ""
    return ""


def is_debian(source: Source, lists: Path = APT_LISTS) -> bool:
    """Whether an entry is Debian's own archive or a mirror of it."""
    origins = {origin(uri, suite, lists) for uri in source.uris for suite in source.suites} - {""}
    if origins:
        return origins == {"Debian"}
    # Nothing fetched yet: a mirror keeps the archive's directory name, or its key.
    named = all(urlsplit(uri).path.rstrip("/").rsplit("/", 1)[-1].startswith("debian") for uri in source.uris)
    return "main" in source.components and (named or "debian-archive" in source.options.get("signed-by", ""))


def sources_for(suite: str, sources: Sequence[Source], lists: Path | None = APT_LISTS) -> list[Source]:
    """The entries that give a suite's packages: component main, with updates and security.

    lists: where apt keeps what it fetched, to tell Debian's archive from others; None takes every entry for Debian's.
    Raises StackgateError when there are none.
    """
    known = [source for source in sources if lists is None or is_debian(source, lists)]
    names = {match["name"] for source in known for match in map(SUITE.match, source.suites) if match and match["name"] in SUITES}
    own = [suite] if suite in names else sorted(names)
    for name in own:
        found = [entry for source in known for entry in _translated(source, name, suite)]
        if found:
            return found
    raise StackgateError(
        f"this machine's apt sources name a Debian archive, for the suite {suite} or another one",
        "; ".join(f"{' '.join(source.uris)} {' '.join(source.suites)}" for source in sources) or "no sources at all",
        "give sources with image_build_apt_sources, or replace the base image: stackgate_image_bases: {debian: <reference>}",
    )


def _translated(source: Source, name: str, suite: str) -> list[Source]:
    """An entry with the suite `name` replaced by `suite`; empty when it does not have `name`."""
    suites = []
    for entry in source.suites:
        match = SUITE.match(entry)
        if not match or match["name"] != name:
            continue
        pocket = match["pocket"]
        if name != suite and pocket == "/updates":
            pocket = "-security"
        if pocket and suite in ROLLING:
            continue
        suites.append(suite + pocket)
    options = {key: value for key, value in source.options.items() if key in KEPT}
    return [replace(source, suites=tuple(suites), components=("main",), options=options)] if suites else []


KEPT = ("signed-by", "trusted", "check-valid-until", "check-date", "allow-insecure", "architectures")


def transport(dump: str) -> list[str]:
    """The lines of `apt-config dump` that say how packages are fetched (proxy, certificates, retries), each a valid apt.conf line."""
    return [line for line in dump.splitlines() if TRANSPORT.match(line.strip())]


def transport_for_build(lines: Iterable[str], inside: str) -> tuple[list[str], dict[str, Path]]:
    """Transport lines for a build, and the host's files that they name (certificates, keys): {path in the build: path on the host}.

    A program that finds a proxy cannot be lent; the line is dropped.
    """
    kept: list[str] = []
    files: dict[str, Path] = {}
    for line in lines:
        name, _space, value = line.partition(" ")
        path = Path(value.strip(';" '))
        if "proxy-auto-detect" in name.lower() or "proxyautodetect" in name.lower():
            continue
        if path.is_absolute() and path.is_file():
            target = f"{inside}/apt-{len(files)}"
            files[target] = path
            line = f'{name} "{target}";'
        kept.append(line)
    return kept, files


def key_files(sources: Iterable[Source]) -> list[str]:
    """The keyrings that sources name by path, each once."""
    words = (word for source in sources for word in source.options.get("signed-by", "").split())
    return list(dict.fromkeys(word for word in words if word.startswith("/")))
