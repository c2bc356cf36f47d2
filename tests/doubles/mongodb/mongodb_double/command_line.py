# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mongod's command line and configuration file, as far as deployments use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Option -> (its place in the configuration file and in getCmdLineOpts, how its text is read).
# "flag": no value, true; "off": no value, false; "on:<text>": no value, this text.
SETTINGS: Mapping[str, tuple[str, str]] = {
    "port": ("net.port", "int"),
    "bind_ip": ("net.bindIp", "str"),
    "bind_ip_all": ("net.bindIpAll", "flag"),
    "ipv6": ("net.ipv6", "flag"),
    "maxConns": ("net.maxIncomingConnections", "int"),
    "unixSocketPrefix": ("net.unixDomainSocket.pathPrefix", "str"),
    "tlsMode": ("net.tls.mode", "str"),
    "nounixsocket": ("net.unixDomainSocket.enabled", "off"),
    "replSet": ("replication.replSet", "str"),
    "oplogSize": ("replication.oplogSizeMB", "int"),
    "enableMajorityReadConcern": ("replication.enableMajorityReadConcern", "bool"),
    "auth": ("security.authorization", "on:enabled"),
    "noauth": ("security.authorization", "on:disabled"),
    "keyFile": ("security.keyFile", "str"),
    "clusterAuthMode": ("security.clusterAuthMode", "str"),
    "transitionToAuth": ("security.transitionToAuth", "flag"),
    "dbpath": ("storage.dbPath", "str"),
    "directoryperdb": ("storage.directoryPerDB", "flag"),
    "journal": ("storage.journal.enabled", "flag"),
    "storageEngine": ("storage.engine", "str"),
    "wiredTigerCacheSizeGB": ("storage.wiredTiger.engineConfig.cacheSizeGB", "float"),
    "logpath": ("systemLog.path", "str"),
    "logappend": ("systemLog.logAppend", "flag"),
    "quiet": ("systemLog.quiet", "flag"),
    "verbose": ("systemLog.verbosity", "flag"),
    "slowms": ("operationProfiling.slowOpThresholdMs", "int"),
    "profile": ("operationProfiling.mode", "str"),
    "pidfilepath": ("processManagement.pidFilePath", "str"),
    "timeZoneInfo": ("processManagement.timeZoneInfo", "str"),
    # Of the double alone.
    "speed": ("double.speed", "float"),
    "control": ("double.control", "int"),
    "serverVersion": ("double.serverVersion", "str"),
}
SHORT = {"f": "config", "v": "verbose"}
# The file's own names for places: mongod shows the canonical ones (recorded: 01, getCmdLineOpts).
SYNONYMS = {"replication.replSetName": "replication.replSet"}
PLACES = {place for place, _kind in SETTINGS.values()}


class UsageError(Exception):
    """The command line or the configuration file is wrong: exit code 2."""


@dataclass(frozen=True)
class CommandLine:
    """parsed: nested, as getCmdLineOpts shows it. parameters: those of setParameter."""

    argv: tuple[str, ...]
    parsed: dict[str, Any]

    def get(self, place: str, default: Any = None) -> Any:
        value: Any = self.parsed
        for part in place.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    @property
    def addresses(self) -> list[str]:
        if self.get("net.bindIpAll"):
            return ["0.0.0.0", "::"] if self.get("net.ipv6") else ["0.0.0.0"]
        return [part.strip() for part in str(self.get("net.bindIp", "127.0.0.1")).split(",")]

    @property
    def auth(self) -> bool:
        """A key file implies it (recorded: 08a; manual: security.keyFile)."""
        return self.get("security.authorization") == "enabled" or self.get("security.keyFile") is not None


def parse(argv: Sequence[str]) -> CommandLine:
    """The command line, over the configuration file that it names. Raises UsageError with mongod's words."""
    given: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    words = list(argv[1:])
    config: Path | None = None
    while words:
        word = words.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = SHORT.get(name, name)
        if not word.startswith("-"):
            raise UsageError(f"too many positional options have been specified on the command line: {word}")
        place, kind = SETTINGS.get(name, ("", "str"))
        if name not in ("config", "setParameter") and not place:
            raise UsageError(f"unrecognised option '{word.partition('=')[0]}'")
        if not equals and not _valueless(kind):
            if not words:
                raise UsageError(f"the required argument for option '{word}' is missing")
            value = words.pop(0)
        if name == "setParameter":
            key, _equals, setting = value.partition("=")
            parameters[key] = setting
        elif name == "config":
            config = Path(value)
        else:
            given[place] = _read(name, kind, value)
    parsed = {} if config is None else {**_file(config), "config": str(config)}
    for place, value in given.items():
        _put(parsed, place, value)
    for key, value in parameters.items():
        _put(parsed, f"setParameter.{key}", value)
    return CommandLine(tuple(argv), _sorted(parsed))


def _sorted(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _sorted(value) if isinstance(value, dict) else value for key, value in sorted(document.items())}


def _valueless(kind: str) -> bool:
    return kind in ("flag", "off") or kind.startswith("on:")


def _read(name: str, kind: str, text: str) -> Any:
    if _valueless(kind):
        return kind.removeprefix("on:") if kind.startswith("on:") else kind == "flag"
    try:
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[text]
        return {"int": int, "float": float, "str": str}[kind](text)
    except (ValueError, KeyError) as error:
        raise UsageError(f"the argument ('{text}') for option '--{name}' is invalid") from error


def _file(path: Path) -> dict[str, Any]:
    """The configuration file's settings, nested by their canonical places. Raises UsageError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(f"Error opening config file: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"Error parsing YAML config file: {error}") from error
    settings: dict[str, Any] = {}
    for place, value in _leaves(document):
        place = SYNONYMS.get(place, place)
        if place not in PLACES and not place.startswith("setParameter."):
            raise UsageError(f"Unrecognized option: {place}")
        _put(settings, place, value)
    return settings


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(document: dict[str, Any], place: str, value: Any) -> None:
    *parents, last = place.split(".", 1) if place.startswith("setParameter.") else place.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value
