# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that takes minutes, with its progress on the terminal. See plugins/modules/long_command.py."""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.live_command import Outcome, run_live
from ansible_collections.stackgate.k3s.plugins.plugin_utils.action import StackgateAction

# Lines of standard error that a failure shows.
LAST_LINES = 30


class ActionModule(StackgateAction):
    """stackgate.k3s.long_command"""

    name = "long_command"

    def execute(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run the command; in check mode only say that it would have been run."""
        argv = [str(word) for word in options["argv"]]
        if self.check_mode:
            return {"changed": False, "skipped": True, "msg": f"check mode: `{shlex.join(argv)}` was not run"}
        quiet = bool(self._task.no_log)
        try:
            outcome = run_live(
                argv,
                (lambda line: None) if quiet else (lambda line: self.say(options["prefix"] + line)),
                stdin=options["stdin"],
                environment={str(name): str(value) for name, value in options["environment"].items()},
                chdir=options["chdir"],
                heartbeat=options["heartbeat"],
                timeout=options["timeout"],
            )
        except OSError as error:
            raise StackgateError(f"`{argv[0]}` can be started", str(error), "check that it is installed and on the PATH") from error
        result: dict[str, Any] = {
            "changed": True,
            "cmd": argv,
            "rc": outcome.rc,
            "stdout": "\n".join(outcome.stdout),
            "stdout_lines": outcome.stdout,
            "stderr": "\n".join(outcome.stderr),
            "stderr_lines": outcome.stderr,
            "seconds": round(outcome.seconds, 1),
        }
        if outcome.rc or outcome.timed_out:
            result.update(failed=True, msg=failure(argv, outcome, options["timeout"]))
        return result


def failure(argv: list[str], outcome: Outcome, timeout: float) -> str:
    """Why the task failed, in the command's own last words."""
    words = "\n".join(outcome.stderr[-LAST_LINES:]).strip()
    if outcome.timed_out:
        seen = f"it was ended: {words}" if words else "it was ended"
        return str(StackgateError(f"`{shlex.join(argv)}` ends within {timeout:.0f} s", seen, waited=outcome.seconds))
    if words.startswith("expected:"):  # it speaks our language
        return words
    how = f"exit status {outcome.rc}" if outcome.rc > 0 else f"ended by signal {-outcome.rc}"
    last = words or (outcome.stdout[-1] if outcome.stdout else "no output")
    return str(StackgateError(f"`{shlex.join(argv)}` succeeds", f"{how}: {last}", waited=outcome.seconds))
