# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a task is done again. Celery and Django are stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


class OperationalError(Exception):
    """Django's."""


class Again(Exception):
    """What Celery raises for a task that is to be done again."""


class Task:
    """Celery's."""

    def retry(self, exc: Exception, **_options: Any) -> Exception:
        return Again(str(exc))


class Application:
    """Celery's, which takes all that is said to it."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        self.steps = {"consumer": set[Any]()}

    def config_from_object(self, *_arguments: Any, **_options: Any) -> None: ...

    def autodiscover_tasks(self, *_arguments: Any, **_options: Any) -> None: ...


@pytest.fixture
def interrupted() -> list[str]:
    """What interrupted statements, so far."""
    return []


@pytest.fixture
def make(stand_in: Callable[..., None], imported: Callable[[str], Any], interrupted: list[str]) -> Callable[..., Any]:
    stand_in("celery", Celery=Application, Task=Task, bootsteps=SimpleNamespace(StartStopStep=object))
    stand_in("django.db.utils", InterfaceError=type("InterfaceError", (Exception,), {}), OperationalError=OperationalError)
    stand_in("forum.database.base", interruptions=lambda: len(interrupted))
    patient = imported("forum.celery").PatientTask

    def task(run: Callable[[], Any]) -> Any:
        return type("One", (patient,), {"run": lambda _self: run()})()

    return task


def test_a_task_that_is_done_is_done(make: Callable[..., Any], interrupted: list[str]) -> None:
    interrupted.append("another task's")
    assert make(lambda: 42)() == 42


def test_a_task_without_a_database_is_done_again(make: Callable[..., Any]) -> None:
    def run() -> None:
        raise OperationalError("the database system is shutting down")

    with pytest.raises(Again, match="shutting down"):
        make(run)()


def test_so_is_one_that_hides_the_loss_of_the_database(make: Callable[..., Any], interrupted: list[str]) -> None:
    with pytest.raises(Again, match="went away"):
        make(lambda: interrupted.append("a statement"))()


def test_a_task_that_is_wrong_fails(make: Callable[..., Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        make(lambda: 1 / 0)()
