# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line per stage with its seconds; and the Kubernetes client, loaded once for all workers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: aggregate
short_description: One line per stage with its seconds
version_added: 0.1.0
description:
  - Prints, at the end of a run, one line per play that did something, with its duration in seconds and its slowest tasks.
  - Imports the Kubernetes client in the parent process. Workers are forked from it and start with the client loaded,
    which makes each of the collection's actions about 0.3 s quicker.
author:
  - The stackgate authors (@stackgate)
options:
  slowest:
    description: How many of a stage's slowest tasks are named on its line. 0 names none.
    type: int
    default: 1
    env:
      - name: STACKGATE_TIMELINE_SLOWEST
    ini:
      - section: callback_timeline
        key: slowest
  floor:
    description: A task quicker than this many seconds is never named.
    type: float
    default: 1.0
    ini:
      - section: callback_timeline
        key: floor
requirements:
  - enable in configuration (C(callbacks_enabled = stackgate.k3s.timeline))
"""

import contextlib
import importlib
import time
from dataclasses import dataclass, field
from typing import Any

from ansible.plugins.callback import CallbackBase

# Without the client the actions say so themselves, with what to install.
with contextlib.suppress(ImportError):
    for _module in (
        "ansible_collections.kubernetes.core.plugins.module_utils.k8s.client",
        "kubernetes.stream",
        "ansible_collections.stackgate.k3s.plugins.plugin_utils.action",
    ):
        importlib.import_module(_module)


@dataclass
class Stage:
    """One play: its name, when it began, and what its tasks cost, in seconds."""

    name: str
    began: float
    ended: float = 0.0
    tasks: list[tuple[float, str]] = field(default_factory=list)
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long the play took."""
        return self.ended - self.began

    def line(self, slowest: int, floor: float) -> str:
        """The stage as one line of the summary."""
        named = [f"{name} {seconds:.1f} s" for seconds, name in sorted(self.tasks, reverse=True)[:slowest] if seconds >= floor]
        mark = "FAILED " if self.failed else ""
        return f"{self.seconds:7.1f} s  {mark}{self.name}" + (f"  (slowest: {', '.join(named)})" if named else "")


class CallbackModule(CallbackBase):
    """Collects the times; see DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stackgate.k3s.timeline"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._stages: list[Stage] = []
        self._task: tuple[float, str] | None = None

    def _close_task(self) -> None:
        if self._task and self._stages:
            began, name = self._task
            self._stages[-1].tasks.append((time.monotonic() - began, name))
        self._task = None

    def _close_stage(self) -> None:
        self._close_task()
        if self._stages:
            self._stages[-1].ended = time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins, and the one before it ends."""
        self._close_stage()
        self._stages.append(Stage(play.get_name().strip(), time.monotonic()))

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins, and the one before it ends."""
        self._close_task()
        self._task = (time.monotonic(), task.get_name().strip())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed: its stage is marked."""
        if not ignore_errors and self._stages:
            self._stages[-1].failed = True

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over: print the timeline."""
        self._close_stage()
        ran = [stage for stage in self._stages if stage.tasks]
        if not ran:
            return
        self._display.banner("TIMELINE")
        for stage in ran:
            self._display.display(stage.line(self.get_option("slowest"), self.get_option("floor")))
        self._display.display(f"{time.monotonic() - self._began:7.1f} s  in all")
