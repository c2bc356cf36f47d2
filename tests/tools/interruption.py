# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function that is killed at a point that the test chooses, as a machine that loses its power would."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def killed(function: Callable[[Callable[[str], None]], None], number: int) -> bool:
    """Run function in a process of its own, killed by SIGKILL at the numbered point; False when it ended before.

    The function gets what is to be called at each point. AssertionError when it fails.
    """
    child = os.fork()
    if child == 0:
        passed = 0

        def at(_point: str) -> None:
            nonlocal passed
            passed += 1
            if passed == number:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            function(at)
        except BaseException as error:  # nothing of this process may go on in pytest
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert status == 0 or was_killed, f"it failed with status {status}"
    return was_killed
