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


class _Follower:
    """Reads a running command's output, and keeps its time."""

    def __init__(self, process: subprocess.Popen[bytes], say: Callable[[str], None], stdin: str) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError("Popen makes a pipe where it is asked for one")
        self.process, self.say = process, say
        self.start = self.spoken = time.monotonic()
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self.timed_out = False
        self._input = process.stdin
        self._pending = memoryview(stdin.encode())
        self._ready = selectors.DefaultSelector()
        os.set_blocking(self._input.fileno(), False)
        self._ready.register(self._input, selectors.EVENT_WRITE)
        self._ready.register(process.stdout, selectors.EVENT_READ, _Lines(self._show))
        self._ready.register(process.stderr, selectors.EVENT_READ, _Lines(self.stderr.append))

    def _show(self, line: str) -> None:
        self.stdout.append(line)
        self.spoken = time.monotonic()
        self.say(line)

    def follow(self, heartbeat: float, timeout: float) -> None:
        """Until both outputs are closed, or the command was killed for taking too long."""
        with self._ready:
            while self._ready.get_map():
                for key, _events in self._ready.select(timeout=0.5):
                    if key.fileobj is self._input:
                        self._feed()
                        continue
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    key.data.feed(chunk)
                    if not chunk:
                        self._ready.unregister(key.fileobj)
                now = time.monotonic()
                if heartbeat and now - self.spoken >= heartbeat:
                    self.spoken = now
                    self.say(f"still running after {now - self.start:.0f} s")
                if timeout and now - self.start >= timeout and not self.timed_out:
                    self.timed_out = True
                    self.process.terminate()
                if self.timed_out and now - self.start >= timeout + GRACE_SECONDS:
                    self.process.kill()
                    return

    def _feed(self) -> None:
        self._pending = _write(self._input.fileno(), self._pending)
        if not self._pending:
            self._ready.unregister(self._input)
            self._input.close()


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
    pipe = subprocess.PIPE
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=variables, cwd=chdir) as process:
        follower = _Follower(process, say, stdin)
        try:
            follower.follow(heartbeat, timeout)
        except BaseException:
            _end(process)
            raise
    seconds = time.monotonic() - follower.start
    return Outcome(process.returncode, follower.stdout, follower.stderr, seconds, follower.timed_out)


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
