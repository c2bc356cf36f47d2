# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a task counts as accepted, and that one which was taken is not lost. kombu and Django are stand-ins, the errors are redis-py's."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

redis = pytest.importorskip("redis")


class Pipeline:
    """Notes what is sent; to WAIT it answers with a number of replicas."""

    def __init__(self, replicas: int) -> None:
        self.replicas, self.sent = replicas, list[tuple[Any, ...]]()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is kept."""

    def lpush(self, key: str, value: str) -> None:
        self.sent.append(("LPUSH", key, json.loads(value)))

    def execute_command(self, *words: Any) -> None:
        self.sent.append(words)

    def execute(self) -> list[int]:
        return [1, self.replicas][: len(self.sent)]


class Channel:
    """kombu's, as far as the broker builds on it."""

    from_transport_options = ("sep", "priority_steps")
    connection_errors = (ConnectionError, redis.exceptions.ConnectionError)

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def pipeline(self, transaction: bool) -> Pipeline:
        assert not transaction, "WAIT has no place in a transaction"
        return self._pipeline

    @contextlib.contextmanager
    def conn_or_acquire(self) -> Iterator[Channel]:
        yield self

    def _q_for_pri(self, queue: str, priority: int) -> str:
        return f"{queue}-{priority}"

    def _get_message_priority(self, _message: Any, reverse: bool) -> int:
        return 9 if reverse else 3


class QoS:
    """kombu's on a connection that is lost for some calls."""

    def __init__(self, channel: Any, lost: int) -> None:
        self.channel, self.lost, self.calls = channel, lost, list[tuple[Any, ...]]()

    def _call(self, *words: Any) -> None:
        self.calls.append(words)
        if len(self.calls) <= self.lost:
            raise ConnectionResetError("the master has gone")

    def append(self, message: Any, delivery_tag: str) -> None:
        self._call("append", message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._call("ack", delivery_tag)

    def restore_visible(self, start: int, num: int, interval: int) -> None:
        self._call("restore_visible", start, num, interval)


@pytest.fixture
def broker(failover: Any, stand_in: Callable[..., None], imported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_in("kombu.transport.redis", QoS=QoS, Channel=Channel, Transport=object)
    stand_in("kombu.utils.json", dumps=json.dumps)
    monkeypatch.setattr("forum.patience.PAUSE", 0.0)
    return imported("forum.broker")


def put(broker: Any, copies: int, replicas: int) -> list[tuple[Any, ...]]:
    """What is sent for a task, when so many replicas have it in the end."""
    channel = broker.Channel(Pipeline(replicas))
    channel.copies = copies
    channel._put("celery", {"id": 1})
    return channel._pipeline.sent  # type: ignore[no-any-return]


def test_a_task_is_accepted_when_as_many_replicas_as_wanted_have_it(broker: Any) -> None:
    assert put(broker, 1, 2) == [("LPUSH", "celery-3", {"id": 1}), ("WAIT", 1, broker.COPY_MS)]


def test_a_task_that_too_few_have_is_an_error_after_which_it_is_sent_again(broker: Any) -> None:
    with pytest.raises(broker.NotCopied, match="1 of 2 replicas have the task") as caught:
        put(broker, 2, 1)
    # What kombu tries again after.
    assert isinstance(caught.value, broker.Channel.connection_errors)


def test_without_copies_the_master_alone_decides(broker: Any) -> None:
    assert put(broker, 0, 0) == [("LPUSH", "celery-3", {"id": 1})]


def test_the_number_of_copies_is_an_option_of_the_transport(broker: Any) -> None:
    assert broker.Channel.from_transport_options == ("sep", "priority_steps", "copies")
    assert broker.Transport.Channel is broker.Channel and broker.Channel.QoS is broker.QoS


@pytest.mark.parametrize(("method", "arguments"), [("append", ("message", "tag")), ("ack", ("tag",))])
def test_a_lost_connection_does_not_lose_what_was_taken(broker: Any, method: str, arguments: tuple[str, ...]) -> None:
    taken = broker.QoS(Channel(Pipeline(0)), lost=2)
    getattr(taken, method)(*arguments)
    assert taken.calls == [(method, *arguments)] * 3


def test_another_error_is_told(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QoS, "_call", lambda *_words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broker.QoS(Channel(Pipeline(0)), lost=0).ack("tag")


def test_what_lost_workers_had_taken_is_looked_for_each_time(broker: Any) -> None:
    """kombu calls it every ten seconds, and looks at every tenth call by default."""
    taken = broker.QoS(Channel(Pipeline(0)), lost=0)
    taken.restore_visible(num=100)
    assert taken.calls == [("restore_visible", 0, 100, 1)]
