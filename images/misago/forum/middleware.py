# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The liveness answer, before every other middleware."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

LIVE = "/healthcheck/live/"


class LivenessMiddleware:
    """Answers LIVE without a database, a cache or an allowed host.

    Misago's own middleware asks PostgreSQL on every request, /healthcheck/ included: as a liveness probe that would restart every
    web process whenever the database fails over.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase | HttpResponse:
        if request.path == LIVE:
            return JsonResponse({"status": "OK"})
        return self.get_response(request)
