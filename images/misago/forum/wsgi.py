# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gunicorn serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from forum.celery import app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forum.settings")

# Tasks sent from a request go to our broker.
app.set_default()
application = get_wsgi_application()
