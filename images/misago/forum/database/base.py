# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL that fails over: the first statement of a request waits for the new leader instead of failing.

Nothing has been done then, so that nothing can be done twice. A transaction that had begun is lost with its leader. The pooler is
no help here: while it cannot log in to a server, it refuses its clients' statements at once.
"""

from __future__ import annotations

from django.db import connections
from django.db.backends.postgresql import base
from django.db.utils import InterfaceError, OperationalError

from forum.patience import PATIENCE, persist


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with patience where it would try a connection before its first use, and where it makes one.

    lost: how many connections ended under a statement.
    """

    lost = 0

    def ensure_connection(self) -> None:
        """See Django's."""
        if self.connection is None and not self.in_atomic_block:
            self._wait()
        super().ensure_connection()

    def close_if_health_check_failed(self) -> None:
        """See Django's, which closes the connection and leaves what comes next to luck."""
        if self.connection is not None and self.health_check_enabled and not self.health_check_done:
            self._wait()
            self.health_check_done = True

    def close(self) -> None:
        """See Django's."""
        self.lost += self.is_lost()
        super().close()

    def is_lost(self) -> bool:
        """Whether the connection ended under a statement."""
        return self.connection is not None and self.errors_occurred and not self.is_usable()

    def _wait(self) -> None:
        """Return when the database answers; OperationalError when it does not within PATIENCE."""
        persist(self._answer, (InterfaceError, OperationalError), PATIENCE)

    def _answer(self) -> None:
        """Ask once; on a new connection, when the one that is there gives no answer."""
        if self.connection is not None and self.is_usable():
            return
        self.close()
        super().ensure_connection()
        if not self.is_usable():
            raise OperationalError("the database takes a connection, and no statement")


def interruptions() -> int:
    """How often a database went away from this thread, so far, while it was asked for something."""
    return sum(one.lost + one.is_lost() for one in connections.all(initialized_only=True))
