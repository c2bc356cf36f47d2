# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m forum <command>`: the one entry point of the image."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from forum.environment import Environment, EnvironmentProblem

USAGE = """usage: forum <command>

  web            serve the forum on port 8000
  worker         do the forum's background tasks
  migrate        bring the database's schema up to this image, and set the forum's address
  collectstatic  copy the static files to FORUM_STATIC_ROOT
  superuser      create the first administrator, or bring its password to the Secret's
  daily          the forum's daily maintenance
  wait           block until the database has every migration of this image
  alive          succeed when this pod's worker showed a sign of life within the last seconds (default 60)
  manage         any of Django's or Misago's own commands: forum manage shell
"""


def replace_by(*command: str) -> NoReturn:
    """Become another program, so that it gets the pod's signals itself."""
    os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted


def alive(seconds: str = "60") -> bool:
    """Whether the worker's event loop has touched its file within `seconds` (celery.py)."""
    try:
        age = time.time() - os.stat("/tmp/worker.alive").st_mtime  # noqa: S108 - the pod's own /tmp
    except FileNotFoundError:
        print("no sign of life yet")
        return False
    print(f"last sign of life {age:.0f} s ago")
    return age < float(seconds)


def run(command: str, arguments: list[str]) -> bool:
    """Do one command; True when it succeeded. EnvironmentProblem for a setting that is missing or wrong."""
    environment = Environment(os.environ)
    migrations = Path(environment.text("FORUM_MIGRATIONS_FILE", "/opt/misago/migrations.txt"))
    if command == "web":
        replace_by("gunicorn", "--config", "python:forum.serving", "forum.wsgi:application")
    if command == "worker":
        Path("/tmp/worker.alive").unlink(missing_ok=True)  # noqa: S108 - left by the container before this one
        # One kind of task and no remote control: what workers tell each other would only delay their start.
        options = ["worker", "--without-gossip", "--without-mingle", "--loglevel", environment.text("FORUM_LOG_LEVEL", "INFO")]
        replace_by("celery", "--app", "forum.celery", *options, *arguments)
    if command == "alive":
        return alive(*arguments[:1])
    if command == "collectstatic":
        from forum.statics import copy_static

        source = Path(environment.text("FORUM_STATIC_BUILT", "/opt/misago/static"))
        copied = copy_static(source, Path(environment.text("FORUM_STATIC_ROOT", "/srv/static")))
        print(f"{copied.written} static files written, {copied.present} were there")
        return True
    if command == "wait":
        from forum.waiting import wait_for_database

        return wait_for_database(environment, migrations)
    if command in ("build", "manage"):
        from forum import commands

        if command == "build":
            commands.build(migrations)
        else:
            commands.manage(arguments)
        return True
    if command in ("migrate", "superuser", "daily"):
        from forum.waiting import wait_for_database

        # migrate is what brings the schema; the others need it.
        if not wait_for_database(environment, None if command == "migrate" else migrations):
            return False
        from forum import commands

        if command == "migrate":
            commands.migrate()
        elif command == "superuser":
            commands.superuser(environment)
        else:
            return commands.daily()
        return True
    print(USAGE, file=sys.stderr)
    return False


def main() -> int:
    """The process's exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        return 0 if run(command, sys.argv[2:]) else 1
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
