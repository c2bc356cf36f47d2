# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command whose progress a person wants to see while it runs."""

from __future__ import annotations

import dataclasses
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

# How long a command may take to end after it was asked to, in seconds.
GRACE_SECONDS = 10.0
_CHUNK_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command did.

    rc:        its exit status, negative for the signal that ended it.
    seconds:   how long it ran.
    timed_out: whether it was ended because it took too long.
    """

    rc: int
    stdout: list[str]
    stderr: list[str]
    seconds: float
    timed_out: bool


class _Lines:
    """Cuts what comes out of a pipe into lines."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Some bytes; none at the end, which gives out an unfinished last line, too."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if not chunk and self._rest:
            whole, self._rest = [self._rest], b""
        for line in whole:
            self._take(line.decode(errors="replace").rstrip("\r"))


def run_live(
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    chdir: str | None = None,
    heartbeat: float = 20.0,
    timeout: float = 0.0,
) -> Outcome:
    """Run the command and hand each line of its output to `say` as it comes.

    heartbeat: seconds of silence after which `say` is told that the command still runs; 0 says nothing.
    timeout:   seconds after which the command is ended; 0 waits for ever.
    Raises OSError when the command cannot be started. The command stays in the caller's process group, so that what
    interrupts the caller (Ctrl-C) ends it as well.
    """
    start = time.monotonic()
    output: dict[str, list[str]] = {"stdout": [], "stderr": []}
    spoken = start

    def take(stream: str, line: str) -> None:
        nonlocal spoken
        output[stream].append(line)
        if stream == "stdout":
            spoken = time.monotonic()
            say(line)

    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        cwd=chdir,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    timed_out = False
    pending = memoryview(stdin.encode())
    with selectors.DefaultSelector() as ready, process:
        os.set_blocking(process.stdin.fileno(), False)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ, _Lines(lambda line: take("stdout", line)))
        ready.register(process.stderr, selectors.EVENT_READ, _Lines(lambda line: take("stderr", line)))
        try:
            while ready.get_map():
                for key, _events in ready.select(timeout=0.5):
                    if key.fileobj is process.stdin:
                        pending = _write(process.stdin.fileno(), pending)
                        if not pending:
                            ready.unregister(process.stdin)
                            process.stdin.close()
                        continue
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    key.data.feed(chunk)
                    if not chunk:
                        ready.unregister(key.fileobj)
                now = time.monotonic()
                if heartbeat and now - spoken >= heartbeat:
                    spoken = now
                    say(f"still running after {now - start:.0f} s")
                if timeout and now - start >= timeout and not timed_out:
                    timed_out = True
                    process.terminate()
                if timed_out and now - start >= timeout + GRACE_SECONDS:
                    process.kill()
                    break
        except BaseException:
            _end(process)
            raise
    return Outcome(process.returncode, output["stdout"], output["stderr"], time.monotonic() - start, timed_out)


def _write(descriptor: int, pending: memoryview) -> memoryview:
    """Write what the pipe takes; what is left, nothing when the command does not read."""
    try:
        return pending[os.write(descriptor, pending) :]
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return memoryview(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
