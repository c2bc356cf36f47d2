# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Celery application, and the sign of life that its worker leaves for the kubelet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum.settings")

ALIVE = Path("/tmp/worker.alive")  # noqa: S108 - the pod's own /tmp, see __main__.alive
TOUCH_EVERY = 5.0  # seconds


class SignOfLife(bootsteps.StartStopStep):
    """Touches a file from the worker's event loop, as long as the loop turns and the broker answers.

    `celery inspect ping` as a probe would start a Python with Django for each question; the age of a file costs nothing.
    """

    requires = {"celery.worker.consumer.tasks:Tasks"}  # after the connection to the broker and the task queue are there

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        self.timer: Any = None
        super().__init__(consumer, **kwargs)

    def start(self, consumer: Any) -> None:
        ALIVE.touch()
        self.timer = consumer.timer.call_repeatedly(TOUCH_EVERY, ALIVE.touch)

    def stop(self, consumer: Any) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None


app = Celery("forum")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["consumer"].add(SignOfLife)
app.autodiscover_tasks(["forum"], force=False)
app.autodiscover_tasks()
