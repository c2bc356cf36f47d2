# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task redis_sentinel on real sentinels: settings, members that go, sentinels that lost what they knew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from interruption import killed
from redis_servers import DOWN_AFTER_MS, RedisProcess
from waiting import PATIENCE

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.redis import plan
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.execute import Execution
from ansible_collections.stackgate.k3s.plugins.module_utils.redis.observe import Observer

from .conftest import Stage, called


def kinds(result: dict, where: str = "plan") -> list[str]:  # type: ignore[type-arg]
    return [step["kind"] for step in result[where]]


def test_what_stands_is_left_alone_and_settings_are_brought_up_to_date(here: Stage) -> None:
    info = here.set.until("all is well", here.info, holds=lambda found: found["healthy"])
    assert info["master"] == called(here.set.master())
    assert [server["lag_bytes"] is not None and server["trouble"] == "" for server in info["servers"]] == [True] * 3
    for phase in ("shrink", "grow", "all"):
        assert not here.sentinel(phase=phase)["changed"]
        assert not here.sentinel(phase=phase, check=True)["changed"]

    down_after, failover_timeout = here.set.down_after_ms, here.set.failover_timeout_ms
    wanted = {"down_after_ms": down_after + 500, "failover_timeout_ms": failover_timeout + 500}
    foreseen = here.sentinel(check=True, diff=True, **wanted)
    assert kinds(foreseen) == ["set"] * 3
    assert foreseen["diff"][0]["before"][called(here.set.sentinels[0])] == {
        "down-after-milliseconds": down_after,
        "failover-timeout": failover_timeout,
    }
    assert {known_down_after(here, one) for one in here.set.sentinels} == {down_after}
    done = here.sentinel(**wanted)
    assert done["changed"] and kinds(done, "performed") == ["set"] * 3
    assert {known_down_after(here, one) for one in here.set.sentinels} == {down_after + 500}
    assert not here.sentinel(**wanted)["changed"]
    here.sentinel(down_after_ms=down_after, failover_timeout_ms=failover_timeout)


def known_down_after(here: Stage, sentinel: RedisProcess) -> int:
    """What a sentinel goes by, in milliseconds."""
    return int(here.set.until(f"{sentinel.name} answers", lambda: here.set.sentinel_master(sentinel))["down-after-milliseconds"])


def test_the_master_is_moved_before_it_goes_and_who_is_gone_is_forgotten(stage: Callable[..., Stage]) -> None:
    here = stage(4, 4)
    gone = [here.set.members[0], here.set.members[3], here.set.sentinels[3]]
    here.without = gone
    assert kinds(here.sentinel(phase="shrink", check=True)) == ["switch over"]
    moved = here.sentinel(phase="shrink")
    assert kinds(moved, "performed") == ["switch over"]
    assert moved["master"] in here.servers
    assert not here.sentinel(phase="shrink")["changed"]
    with pytest.raises(StackgateError, match="is gone, which nobody wants"):
        here.sentinel(phase="grow", timeout=1)

    for process in gone:
        process.kill()
    assert kinds(here.sentinel(phase="grow", check=True)) == ["forget"] * 3
    # Killed before, after and between, and continued by the next run each time.
    for number in (1, 2, 3):
        assert killed(lambda at: _run(here, at), number)
    here.sentinel(phase="grow")
    here.set.until(
        "each sentinel knows one replica and two others",
        lambda: {(len(one["replicas"]), len(one["sentinels"]), one["quorum_error"]) for one in here.info()["sentinels"]},
        holds=lambda known: known == {(1, 2, "")},
    )
    here.whole()
    assert not here.sentinel(phase="grow")["changed"]


def _run(here: Stage, at: Callable[[str], None]) -> None:
    with here.fleet() as fleet:
        Execution(fleet, Observer(fleet), plan.Wanted(plan.GROW), timeout=PATIENCE, between=at).run()


def test_a_sentinel_that_monitors_nothing_or_has_another_password_is_put_right(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    here.set.sentinels[1].ask("SENTINEL", "REMOVE", "redis")
    here.failing("monitored")
    wanted = {"down_after_ms": here.set.down_after_ms, "failover_timeout_ms": here.set.failover_timeout_ms}
    assert kinds(here.sentinel(check=True, **wanted))[0] == "monitor"
    assert kinds(here.sentinel(**wanted), "performed")[:2] == ["monitor", "set"]
    here.whole()  # it has yet to hear of the others

    monkeypatch.setattr(plan, "SETTLED_S", 1)
    deaf = here.set.sentinels[2]
    deaf.ask("SENTINEL", "SET", "redis", "auth-pass", "wrong", "down-after-milliseconds", DOWN_AFTER_MS)
    here.set.until("it gets no answer", lambda: here.set.sentinel_master(deaf)["flags"], holds=lambda flags: "s_down" in flags)
    assert kinds(here.sentinel(), "performed") == ["log in"]
    here.know("down-after-milliseconds", here.set.down_after_ms)
    here.whole()
