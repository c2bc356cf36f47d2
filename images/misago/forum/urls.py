# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: Misago's own, the translations its JavaScript loads, and the health of Celery."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.cache import cache_page
from django.views.decorators.http import last_modified
from django.views.i18n import JavaScriptCatalog
from misago import __version__

from forum.views import celery_health

STARTED = timezone.now()
CATALOG_SECONDS = 21 * 24 * 3600
# The catalogue changes with the release and the language only, so both are part of its key in the cache.
CATALOG_PREFIX = f"catalogue_{settings.LANGUAGE_CODE}_{__version__}".replace(".", "_").replace("-", "_").lower()

javascript_catalog = last_modified(lambda request, **kwargs: STARTED)(
    cache_page(CATALOG_SECONDS, key_prefix=CATALOG_PREFIX)(JavaScriptCatalog.as_view(packages=["misago"]))
)

urlpatterns = [
    path("healthcheck/celery/", celery_health, name="celery-health"),
    path("django-i18n.js", javascript_catalog, name="django-i18n"),
    path("", include("misago.urls", namespace="misago")),
]

# Misago turns its own errors into pages by these two.
handler403 = "misago.core.errorpages.permission_denied"
handler404 = "misago.core.errorpages.page_not_found"
