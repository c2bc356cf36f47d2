# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gunicorn's configuration."""

from __future__ import annotations

import gc
import os
from typing import Any

from gunicorn.glogging import Logger

from forum.environment import Environment

_environment = Environment(os.environ)

bind = "0.0.0.0:8000"
workers = _environment.number("FORUM_WEB_PROCESSES", 2, minimum=1)
threads = _environment.number("FORUM_WEB_THREADS", 4, minimum=1)
worker_class = "gthread"
preload_app = True
timeout = 60
graceful_timeout = 25
keepalive = 75  # seconds; longer than a proxy keeps an idle connection, so that it never sends into a closing one
worker_tmp_dir = "/dev/shm"  # noqa: S108 - the sign of life must not wait for a disk
accesslog = "-"
access_log_format = '%({x-forwarded-for}i)s "%(r)s" %(s)s %(B)s %(M)sms "%(a)s"'
proc_name = "forum"


class QuietLogger(Logger):
    """Leaves out the kubelet's probes: two lines every few seconds that tell nothing."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        if not environ.get("PATH_INFO", "").startswith("/healthcheck/"):
            super().access(resp, req, environ, request_time)


logger_class = QuietLogger


def when_ready(server: Any) -> None:
    """Before the first fork: load every view once for all workers, and keep the collector from touching (copying) those pages."""
    from django.urls import get_resolver

    len(get_resolver().url_patterns)
    gc.collect()
    gc.freeze()
