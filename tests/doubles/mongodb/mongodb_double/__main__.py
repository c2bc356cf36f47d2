# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start one member as mongod is started: python -m mongodb_double --replSet rs0 --dbpath D ...

Besides mongod's own options:
  --speed X        timers run X times as fast (default: MONGODB_DOUBLE_SPEED or 1)
  --control PORT   takes orders there, on 127.0.0.1: a JSON document a line, a JSON document back
  --serverVersion V  what it says it is
Exit codes are mongod's: 0 after SIGTERM, 1 key file, 2 command line, 48 address taken, 100 data directory.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from . import (  # pylint: disable=unused-import
    auth,
    command_line,
    log,
    users,  # noqa: F401 - its commands register themselves
)
from .clock import Clock
from .keyfile import KeyFileError, read_keys
from .node import Node, allow_everyone
from .options import Options
from .peer import Peer
from .server import Server

EXIT_CLEAN, EXIT_KEY_FILE, EXIT_BAD_OPTIONS, EXIT_NET, EXIT_DATA = 0, 1, 2, 48, 100


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    if "--version" in argv[1:]:
        print(f"db version v{Options.version}\nBuild Info: the test double of a MongoDB server")
        return EXIT_CLEAN
    try:
        line = command_line.parse(argv)
    except command_line.UsageError as error:
        print(f"Error parsing command line: {error}\ntry 'mongod --help' for more information", file=sys.stderr)
        return EXIT_BAD_OPTIONS
    try:
        key_file = line.get("security.keyFile")
        keys = read_keys(Path(key_file)) if key_file else ()
    except KeyFileError:
        _fatal("CONTROL", 20575, "Error creating service context", "Location5579201: Unable to acquire security key[s]")
        return EXIT_KEY_FILE
    port, dbpath = int(line.get("net.port", 27017)), Path(line.get("storage.dbPath", "/data/db"))
    attributes = {"pid": os.getpid(), "port": port, "dbPath": str(dbpath), "architecture": "64-bit", "host": socket.gethostname()}
    log.write("I", "CONTROL", 4615611, "initandlisten", "MongoDB starting", **attributes)
    try:
        lock = _lock(dbpath)
    except _DataError as error:
        _fatal("CONTROL", 20557, "DBException in initAndListen, terminating", str(error))
        return EXIT_DATA
    options = Options(
        port=port,
        bind_ip=",".join(line.addresses),
        dbpath=dbpath,
        repl_set=line.get("replication.replSet"),
        keys=keys,
        auth=line.auth,
        argv=tuple(argv),
        parsed={key: value for key, value in line.parsed.items() if key != "double"},
        version=line.get("double.serverVersion", Options.version),
    )
    speed = line.get("double.speed") or float(os.environ.get("MONGODB_DOUBLE_SPEED", "1"))
    with lock:
        return asyncio.run(_run(options, Clock(speed), line))


async def _run(options: Options, clock: Clock, line: command_line.CommandLine) -> int:
    node = Node(options, clock, Peer, auth.authorize if options.auth else allow_everyone)
    server = Server(node)
    try:
        await server.start(line.addresses, options.port)
    except OSError as error:
        _fatal("NETWORK", 23024, "Failed to set up listener", f"SocketException: {error.strerror}")
        return EXIT_NET
    loop = asyncio.get_running_loop()
    quiescing: list[asyncio.Task[None]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, node, number, quiescing)
    control = line.get("double.control")
    orders = await asyncio.start_server(lambda *streams: _orders(node, *streams), "127.0.0.1", control) if control else None
    await node.start()
    log.write("I", "NETWORK", 23016, "listener", "Waiting for connections", port=options.port, ssl="off")
    await node.stopped.wait()
    if orders is not None:
        orders.close()
    server.stop()
    await node.stop()
    log.write("I", "CONTROL", 23138, "SignalHandler", "Shutting down", exitCode=EXIT_CLEAN)
    return EXIT_CLEAN


def _end(node: Node, number: signal.Signals, quiescing: list[asyncio.Task[None]]) -> None:
    log.write("I", "CONTROL", 23377, "SignalHandler", "Received signal", signal=int(number), error=signal.strsignal(number))
    if not quiescing:
        quiescing.append(asyncio.create_task(node.quiesce()))


async def _orders(node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(json.dumps(await node.control(json.loads(line)), default=str).encode() + b"\n")
        await writer.drain()
    writer.close()


class _DataError(Exception):
    """The data directory does not do."""


def _lock(dbpath: Path) -> IO[str]:
    """The data directory's lock file, locked. Raises _DataError."""
    if not dbpath.is_dir():
        raise _DataError(
            f"NonExistentPath: Data directory {dbpath} not found. Create the missing directory or specify another path using "
            "(1) the --dbpath command line option, or (2) by adding the 'storage.dbPath' option in the configuration file."
        )
    path = dbpath / "mongod.lock"
    try:
        lock = path.open("w", encoding="utf-8")
    except OSError as error:
        raise _DataError(f"IllegalOperation: Attempted to create a lock file on a read-only directory: {dbpath}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise _DataError(
            f"DBPathInUse: Unable to lock the lock file: {path} ({error.strerror}). "
            f"Another mongod instance is already running on the {dbpath} directory"
        ) from error
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _fatal(component: str, identity: int, message: str, error: str) -> None:
    log.write("F", component, identity, "main", message, error=error)


if __name__ == "__main__":
    sys.exit(main(["mongod", *sys.argv[1:]]))
