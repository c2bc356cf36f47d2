# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a build's programs so that nothing of them can stay behind.

Each runs in PID and mount namespaces of its own, tied to the life of the thread that started it: when that ends (Ctrl-C,
kill -9), the kernel ends every process inside, and with the last one every mount is gone.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

# setpriv ties the first process to our thread, unshare ties everything below to that first process.
CONTAINED = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--",
)  # fmt: skip


class Cancelled(Exception):
    """Another build failed: this one was ended on purpose."""


class Processes:
    """Starts programs, and can end all that run. One object serves several threads."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """End every running program; later ones are not started."""
        with self._lock:
            self._cancelled = True
            for process in self._running:
                process.kill()

    def stream(
        self,
        command: Sequence[str],
        on_line: Callable[[str], None],
        *,
        log: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        contained: bool = True,
    ) -> int:
        """Run a program to its end and hand over its output (both streams) by lines. Returns its exit status. Raises Cancelled."""
        full = [*(CONTAINED if contained else ()), *command]
        with self._lock:
            if self._cancelled:
                raise Cancelled
            process = subprocess.Popen(
                full,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **(environment or {})},
                cwd=directory,
            )
            self._running.add(process)
        try:
            for line in process.stdout or ():
                if log:
                    log.write(line)
                    log.flush()
                on_line(line.rstrip("\n"))
            status = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._cancelled:
            raise Cancelled
        return status
