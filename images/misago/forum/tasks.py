# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's own task: proof that broker, worker and result store work together."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="forum.tasks.echo", ignore_result=False)
def echo(token: str) -> str:
    """Give back what was sent."""
    return token
