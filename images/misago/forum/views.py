# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health for machines in the namespace; the reverse proxy answers 404 for all of /healthcheck/."""

from __future__ import annotations

import secrets
import time

from celery.exceptions import TimeoutError as ResultTimeout
from django.http import HttpRequest, JsonResponse
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from forum.tasks import echo

PATIENCE = 5.0  # seconds for a task to come back


def celery_health(request: HttpRequest) -> JsonResponse:
    """200 when a worker has done a task for us within PATIENCE, else 503 with the reason."""
    token, started = secrets.token_hex(8), time.monotonic()
    try:
        # Without a worker the task must not wait in the queue for one: it expires with our patience.
        result = echo.apply_async((token,), expires=PATIENCE, retry=False)
        answer = result.get(timeout=PATIENCE)
        result.forget()
    except ResultTimeout:
        return JsonResponse({"status": "no worker", "detail": f"no result within {PATIENCE:.0f} s"}, status=503)
    except (OperationalError, RedisError, OSError) as error:
        return JsonResponse({"status": "no broker", "detail": type(error).__name__}, status=503)
    if answer != token:
        return JsonResponse({"status": "wrong answer", "detail": "another task's result came back"}, status=503)
    return JsonResponse({"status": "OK", "seconds": round(time.monotonic() - started, 3)})
