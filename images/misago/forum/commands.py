# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that need Django: what a release does once, and what a day needs."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from forum.environment import Environment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command, execute_from_command_line  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from misago.cache.versions import invalidate_all_caches  # noqa: E402
from misago.conf.cache import clear_settings_cache  # noqa: E402
from misago.conf.models import Setting  # noqa: E402
from misago.conf.shortcuts import get_dynamic_settings  # noqa: E402
from misago.users.setupnewuser import setup_new_user  # noqa: E402

from forum.celery import app  # noqa: E402

# Commands may send tasks: to our broker.
app.set_default()

LOCK = 0x666F72756D  # "forum": one number for every command that must not run twice at a time
# Misago's own value -> ours. Later an administrator may have chosen otherwise, and that stays.
INITIAL_SETTINGS = {
    "forum_name": ("Misago", settings.FORUM_NAME),
    "logo_text": ("Misago", settings.FORUM_NAME),
    # A new account would fetch its picture from an outside service, and wait for that where nothing outside can be reached.
    "default_avatar": ("gravatar", "dynamic"),
}
DAILY = (
    "deletemarkedusers",
    "prunecategories",
    "buildactivepostersranking",
    "clearattachments",
    "clearnotifications",
    "clearreadtracker",
    "clearsessions",
    "clearsocial",
    "invalidatebans",
    "removeoldips",
    "deleteinactiveusers",
    "expireuserdatadownloads",
    "prepareuserdatadownloads",
)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the database's advisory lock; it goes with the connection, so a killed command leaves nothing behind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def change_setting(name: str, value: str, only_from: str | None = None) -> bool:
    """Write one of the forum's settings; True when it was different (and, with `only_from`, still had that value)."""
    rows = Setting.objects.filter(setting=name).exclude(dry_value=value)
    return bool((rows.filter(dry_value=only_from) if only_from is not None else rows).update(dry_value=value))


def migrate() -> None:
    """Bring the schema up to this image; then the forum's address, and its name where nobody has chosen one."""
    # A migration builds some fifty classes anew, many times over: collecting less often saves a sixth of the time for 20 MB.
    gc.set_threshold(100_000, 10, 10)
    with one_at_a_time():
        applied = MigrationLoader(connection).applied_migrations
        call_command("migrate", interactive=False, verbosity=1)
        now_applied = MigrationLoader(connection).applied_migrations
        changed = [change_setting("forum_address", settings.MISAGO_ADDRESS)]
        changed += [change_setting(name, value, only_from=old) for name, (old, value) in INITIAL_SETTINGS.items()]
        if len(now_applied) != len(applied):
            invalidate_all_caches()  # what the previous release cached may not fit the new schema
        elif any(changed):
            clear_settings_cache()
    print(f"{len(now_applied) - len(applied)} migrations applied, {len(now_applied)} in all; {sum(changed)} settings changed", flush=True)


def superuser(environment: Environment) -> None:
    """Create the first administrator, or bring its e-mail, rights and password to what the environment says."""
    name = environment.text("FORUM_SUPERUSER_NAME", "admin")
    email = environment.text("FORUM_SUPERUSER_EMAIL", f"{name}@{settings.ALLOWED_HOSTS[0]}")
    password = environment.text("FORUM_SUPERUSER_PASSWORD")
    users = get_user_model().objects
    with one_at_a_time():
        user = users.filter(slug=name.lower()).first()
        if user is None:
            with transaction.atomic():
                setup_new_user(get_dynamic_settings(), users.create_superuser(name, email, password))
            print(f"superuser {name} created", flush=True)
            return
        changed = []
        if not (user.is_superuser and user.is_staff and user.is_active):
            user.is_superuser = user.is_staff = user.is_active = True
            changed.append("rights")
        if user.email != email:
            user.set_email(email)
            changed.append("e-mail")
        if not user.check_password(password):
            user.set_password(password)
            changed.append("password")
        if changed:
            user.save()
        print(f"superuser {name} is there, changed: {', '.join(changed) or 'nothing'}", flush=True)


def daily() -> bool:
    """Misago's daily maintenance, every command of it even when one fails; True when none failed."""
    failed = []
    for name in DAILY:
        started = time.monotonic()
        try:
            call_command(name)
        except Exception:  # the others must still run
            traceback.print_exc()
            failed.append(name)
        print(f"\n{name}: {'failed' if name in failed else 'done'} in {time.monotonic() - started:.1f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return not failed


def build(migrations_file: Path) -> None:
    """What the image is built with: the static files under their hashed names, and the list of all migrations."""
    call_command("collectstatic", interactive=False, verbosity=0)
    migrations = sorted(MigrationLoader(None).disk_migrations)
    migrations_file.write_text("".join(f"{app} {name}\n" for app, name in migrations), encoding="utf-8")
    print(f"{len(migrations)} migrations; static files in {settings.STATIC_ROOT}")


def manage(arguments: list[str]) -> None:
    """Any command of Django or Misago, as django-admin takes it; it ends the process itself when it fails."""
    execute_from_command_line(["forum manage", *arguments])
