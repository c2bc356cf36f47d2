# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker: kombu's Redis transport, where a task that was accepted outlives the server that accepted it.

Three gaps of kombu 5.3 are closed. It counts a task as accepted when the master has it, which may be lost with its last writes.
A task taken from the queue is written down as taken in a second step: when the connection ends in between, nobody has it.
And what a lost worker had taken is looked for every hundred seconds only.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError

import forum.failover  # noqa: F401  # pylint: disable=unused-import  # the errors of a failover end connections
from forum.patience import persist

COPY_MS = 1000  # how long a replica may take to have a task
HOLD = 120.0  # seconds: nobody else has the task that is held meanwhile
ACKNOWLEDGE = 20.0  # seconds: later the task is done once more


class NotCopied(ConnectionError):
    """Fewer replicas than wanted have the task: it may be lost with the master. It is sent again, and may be done twice."""


class QoS(redis.QoS):
    """The tasks that this worker has taken."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Write down that a task was taken; as long as it takes, since it is in no queue any more."""
        persist(lambda: super(QoS, self).append(message, delivery_tag), self.channel.connection_errors, HOLD)

    def ack(self, delivery_tag: str) -> None:
        """Forget a task that is done."""
        persist(lambda: super(QoS, self).ack(delivery_tag), self.channel.connection_errors, ACKNOWLEDGE)

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 1) -> None:
        """Give back what lost workers had taken; asked for every ten seconds, of which kombu leaves out nine in ten."""
        super().restore_visible(start, num, interval)


class Channel(redis.Channel):
    """`copies`: how many replicas must have a task before it counts as accepted."""

    QoS = QoS
    copies = 0
    from_transport_options = (*redis.Channel.from_transport_options, "copies")

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(key, dumps(message))
            if self.copies:
                pipeline.execute_command("WAIT", self.copies, COPY_MS)
            copied = pipeline.execute()[-1]
        if self.copies and copied < self.copies:
            raise NotCopied(f"{copied} of {self.copies} replicas have the task after {COPY_MS} ms")


class Transport(redis.Transport):
    """What CELERY_BROKER_TRANSPORT names."""

    Channel = Channel
