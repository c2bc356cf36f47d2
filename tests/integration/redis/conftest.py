# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers and sentinels, and the tasks that are run against them."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from actions import perform
from redis_servers import RedisProcess, RedisSet
from waiting import PATIENCE

from ansible_collections.stackgate.k3s.plugins.action import redis_sentinel, redis_sentinel_info
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import health, reach, switchover
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.connection import Credentials
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observation import Observation
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer


def called(process: RedisProcess) -> str:
    """What tasks call a process: its address."""
    return f"{process.address}:{process.port}"


class Secrets:
    """A cluster that has the Secrets with the users' passwords, and nothing else."""

    def __init__(self, redis_set: RedisSet) -> None:
        self.set, self.changed = redis_set, dict[str, str]()

    def get(self, _version: str, kind: str, name: str, _namespace: str) -> dict[str, Any] | None:
        if (kind, name) != ("Secret", "redis-members"):
            return None
        passwords = {user: self.changed.get(user, self.set.password(user)) for user in ("admin", "sentinel")}
        return {"data": {f"{user}-password": base64.b64encode(text.encode()).decode() for user, text in passwords.items()}}


class Stage:
    """A set, and what there is to be of it. without: processes that nobody wants."""

    def __init__(self, redis_set: RedisSet) -> None:
        self.set, self.secrets, self.without = redis_set, Secrets(redis_set), list[RedisProcess]()
        self.said: list[str] = []

    @property
    def servers(self) -> list[str]:
        return [called(process) for process in self.set.members if process not in self.without]

    @property
    def sentinels(self) -> list[str]:
        return [called(process) for process in self.set.sentinels if process not in self.without]

    @contextlib.contextmanager
    def fleet(self) -> Iterator[reach.Fleet]:
        request = reach.Request(tuple(self.servers), tuple(self.sentinels))
        with reach.reach(request, Credentials("admin", self.secrets.changed.get("admin", self.set.password("admin")))) as fleet:
            yield fleet

    def observe(self) -> Observation:
        with self.fleet() as fleet:
            return Observer(fleet).observe()

    def verdict(self) -> health.Verdict:
        return health.judge(self.observe(), health.Bounds())

    def info(self) -> dict[str, Any]:
        return self._perform(redis_sentinel_info, {})

    def sentinel(self, *, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        """The task redis_sentinel."""
        given = {"monitor_credentials": {"secret": "redis-members"}, "timeout": PATIENCE, **options}
        return self._perform(redis_sentinel, given, check=check, diff=diff)

    def _perform(self, module: Any, options: dict[str, Any], **how: bool) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module.ActionModule, "cluster", lambda _action: self.secrets)
            members = {
                "servers": self.servers,
                "sentinels": self.sentinels,
                "namespace": "shop",
                "credentials": {"secret": "redis-members"},
            }
            return perform(module, {**members, **options}, say=self.said.append, **how)

    def whole(self) -> None:
        """Wait until everything wanted is in order."""
        self.set.until("everything is in order", self.verdict, holds=lambda verdict: verdict.holds)

    def failing(self, condition: str, words: str = "") -> health.Verdict:
        """The verdict, once it is this condition that does not hold, in these words."""
        found: health.Verdict = self.set.until(
            f"the condition {condition} does not hold: {words}",
            self.verdict,
            holds=lambda verdict: verdict.condition == condition and words in verdict.seen,
        )
        return found

    def know(self, setting: str, milliseconds: int) -> None:
        """Change a setting of all sentinels, without the task under test."""
        for sentinel in self.set.sentinels:
            sentinel.ask("SENTINEL", "SET", self.set.master_name, setting, milliseconds)


@contextlib.contextmanager
def running(directory: Path, servers: int, sentinels: int) -> Iterator[Stage]:
    """A set that is in order."""
    with RedisSet(directory, servers, sentinels, patient=True) as redis_set:
        redis_set.start()
        redis_set.wait()
        made = Stage(redis_set)
        made.whole()
        yield made


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does much else may need longer for a switchover than a task would wait for it."""
    monkeypatch.setattr(switchover, "PROMOTION", PATIENCE / 2)
    monkeypatch.setattr(switchover, "PAUSE", PATIENCE)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Makes a set of (servers, sentinels)."""
    with contextlib.ExitStack() as stack:
        yield lambda servers, sentinels: stack.enter_context(running(tmp_path / "set", servers, sentinels))


@pytest.fixture(scope="package")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three servers and three sentinels for tests that leave them in order."""
    with running(tmp_path_factory.mktemp("three") / "set", 3, 3) as made:
        yield made


@pytest.fixture
def here(three: Stage) -> Stage:
    """The same, in order."""
    three.set.wait()
    three.whole()
    return three
