# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Celery application, and the sign of life that its worker leaves for the kubelet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery, Task, bootsteps
from django.db.utils import InterfaceError, OperationalError

from forum.database.base import interruptions

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum.settings")

ALIVE = Path("/tmp/worker.alive")  # noqa: S108 - the pod's own /tmp, see __main__.alive
TOUCH_EVERY = 5.0  # seconds
RETRY_AFTER = 5  # seconds
RETRIES = 120  # ten minutes without a database


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


class PatientTask(Task):
    """A task that is done again while the database is away, whatever else it asks to be done again for.

    Misago's tasks catch what goes wrong with a single recipient, the loss of the database included. It is seen on the connections then.
    """

    abstract = True
    # For what a task itself asks to be done again: Misago's wait for a post whose commit waits for a replica, up to two minutes.
    max_retries = 24

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the worker calls. Not the base's: that hides from the task that it was called by a worker."""
        before = interruptions()
        try:
            result = self.run(*args, **kwargs)
            if interruptions() > before:
                raise OperationalError("the database went away while the task ran")
        except (InterfaceError, OperationalError) as error:
            raise self.retry(exc=error, countdown=RETRY_AFTER, max_retries=RETRIES) from error
        return result


app = Celery("forum", task_cls=PatientTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["consumer"].add(SignOfLife)
app.autodiscover_tasks(["forum"], force=False)
app.autodiscover_tasks()
