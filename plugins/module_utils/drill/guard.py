# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dead man's switch: a repair that is done when it is asked for, and also when nobody is left to ask for it."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

# It waits for the end of its input: closed by us, or by the kernel when this process has ended, however that came about. What broke
# something may be at it still, and may hold a lock: hence several tries.
WAIT_AND_REPAIR = 'read -r never; for pause in 2 10 20; do "$@" && exit 0; sleep "$pause"; done; "$@"'
LAST_LINES = 15


class Guard:
    """A process of its own, in a session of its own, so that Ctrl-C does not reach it (Ansible kills its workers' process groups).

    command: what repairs. Must do no harm where nothing is broken.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process, not as long as a block
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WAIT_AND_REPAIR, "guard", *self._command],
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise StackgateError("a process that repairs what a drill breaks", str(error)) from error

    def repair(self, timeout: float) -> None:
        """Have it done, once. timeout: seconds. Raises StackgateError when it fails, and leaves it at it when it takes too long."""
        begun = time.monotonic()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        if status == 0:
            return
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        why = "it has not ended" if status is None else f"exit status {status}"
        raise StackgateError(
            f"`{' '.join(self._command)}` repairs what the drill broke",
            "\n".join([why, *lines]),
            "repair it by hand, then look at the store's gate (playbooks/status.yml)",
            waited=time.monotonic() - begun,
        )


def run(command: Sequence[str], timeout: float) -> None:
    """Run a command that breaks something. timeout: seconds. Raises StackgateError when it fails."""
    expected = f"`{' '.join(command)}` succeeds"
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackgateError(expected, str(error), "the variable drill_node_commands says how a node is broken and repaired") from error
    if done.returncode:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        raise StackgateError(expected, "\n".join([f"exit status {done.returncode}", *lines]))
