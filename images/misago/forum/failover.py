# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis that fails over: how its clients see that, and a cache that waits for the new master instead of failing.

A page needs the session, which is in the cache. A new master takes some five seconds; a page that comes late is better than an error.
"""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import Redis
from redis._parsers import BaseParser
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError

from forum.patience import PATIENCE, persist


class NoMaster(ConnectionError):
    """The server at the other end is not the master, or not yet one that takes writes: another connection may lead to the one that is."""


# Redis answers so when it became a replica, waits for its replicas, ended a BRPOP for that reason, or lost its own master.
# As lost connections these end in what every client does about one: another connection, another try.
BaseParser.EXCEPTION_CLASSES.update(dict.fromkeys(("READONLY", "NOREPLICAS", "UNBLOCKED", "MASTERDOWN"), NoMaster))


class Refused(Exception):
    """A login that is wrong, which redis-py counts among the lost connections: trying again does not help."""


class PatientRedis(Redis):
    """A client whose single commands outlast a failover."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis.Redis."""

        def once() -> Any:
            try:
                return super(PatientRedis, self).execute_command(*args, **options)
            except AuthenticationError as error:
                raise Refused(str(error)) from error

        return persist(once, (ConnectionError, TimeoutError), PATIENCE)


class PatientCacheClient(RedisCacheClient):
    """Django's, with that client."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._client = PatientRedis


class PatientCache(RedisCache):
    """Django's cache in Redis, with that client."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = PatientCacheClient
