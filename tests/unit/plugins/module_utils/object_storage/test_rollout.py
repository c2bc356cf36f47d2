# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order servers restart, and what holds them up."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import health
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Answer
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.rollout import AT_ONCE, ROLLING, Rollout, decide, disagreements

PODS = [f"s-{number}" for number in range(4)]
TEMPLATE: dict[str, Any] = {
    "metadata": {"annotations": {"stackgate.k3s/checksum-secret": "1", "prometheus.io/port": "9000"}},
    "spec": {
        "containers": [{"name": "minio", "image": "minio:1", "args": ["server"], "env": [{"name": "A", "value": "1"}], "resources": {}}]
    },
}


def changed(**container: Any) -> dict[str, Any]:
    """The template with another container."""
    made = copy.deepcopy(TEMPLATE)
    made["spec"]["containers"][0].update(container)
    return made


def annotated(**annotations: str) -> dict[str, Any]:
    made = copy.deepcopy(TEMPLATE)
    made["metadata"]["annotations"].update(annotations)
    return made


def choice(template: dict[str, Any], pods: int = 4, how: str = "auto") -> tuple[str, str]:
    return decide(how, dict.fromkeys(PODS[:pods], TEMPLATE), dict.fromkeys(PODS[:pods], template), pods)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (changed(image="minio:2"), "image"),
        (changed(args=["server", "another pool"]), "args"),
        (changed(env=[{"name": "A", "value": "2"}]), "env"),
        (changed(command=["x"]), "command"),
        (annotated(**{"stackgate.k3s/checksum-secret": "2"}), "checksum-secret"),
    ],
)
def test_what_all_servers_must_have_alike_restarts_all_at_once(template: dict[str, Any], what: str) -> None:
    assert choice(template) == (AT_ONCE, f"all servers must have the same {what}")


@pytest.mark.parametrize(
    "template",
    [
        changed(resources={"limits": {"memory": "1Gi"}}),
        changed(readinessProbe={"httpGet": {}}),
        annotated(**{"stackgate.k3s/restart": "today", "prometheus.io/port": "1"}),
    ],
)
def test_anything_else_goes_pod_by_pod(template: dict[str, Any]) -> None:
    assert choice(template)[0] == ROLLING


def test_a_single_server_cannot_be_spared_and_an_order_is_obeyed() -> None:
    assert choice(changed(resources={"x": 1}), pods=1)[0] == AT_ONCE
    assert choice(changed(image="minio:2"), how=ROLLING) == (ROLLING, "as told")


def test_an_empty_field_is_no_difference() -> None:
    pod = changed(env=[], command=None)
    template = changed(env=[])
    assert disagreements(pod, template) == []


class Store:
    """Four servers in memory. slow: looks that a server takes to come back; healing: looks that its drive takes to heal."""

    def __init__(self, slow: int = 2, healing: int = 2, stale: int = 0) -> None:
        self.slow, self.heals_in = slow, healing
        self.old = list(PODS)
        self.away: dict[str, int] = {}
        self.healing: dict[str, int] = {}
        self.dead: set[str] = set()
        self.lost: set[str] = set()  # drives that never come back
        self.stale = stale  # looks for which others do not see a server that came back
        self.unseen: dict[tuple[str, str], int] = {}  # (who looks, whose drive)
        self.taken_while_unseen: list[str] = []
        self.log: list[str] = []
        self.most_away = 0
        self.stuck: StackgateError | None = None
        self.time = 0.0

    # what Rollout asks of the pods
    def pending(self) -> dict[str, str]:
        return dict.fromkeys(self.old, "old")

    def down(self, host: str) -> bool:
        return host in self.dead

    def trouble(self) -> StackgateError | None:
        return self.stuck

    def replace(self, host: str) -> None:
        self.log.append(host)
        if self.unseen:
            self.taken_while_unseen.append(host)
        self.old.remove(host)
        self.dead.discard(host)
        self.away[host] = self.slow
        self.most_away = max(self.most_away, len(self.away))

    # what it asks of the servers
    def missing(self, viewer: str) -> set[str]:
        """The pods whose drives a server does not see."""
        return {*self.away, *self.dead, *self.lost, *(pod for looks, pod in self.unseen if looks == viewer)}

    def drives(self, server: Any) -> health.Drives:
        if server.label in {*self.away, *self.dead}:
            raise StackgateError("the server answers", f"{server.label}: connection refused")
        found = [
            health.Drive(
                f"{pod}.members:9000",
                "/data",
                "offline" if pod in self.missing(server.label) else "ok",
                pod in self.healing,
                0,
                0,
            )
            for pod in PODS
        ]
        return health.Drives(tuple(found), 2, (4,))

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for looks, done in ((self.unseen, lambda pair: None), (self.away, self._came_back), (self.healing, lambda pod: None)):
            for pod in list(looks):
                looks[pod] -= 1
                if looks[pod] <= 0:
                    del looks[pod]
                    done(pod)

    def _came_back(self, pod: str) -> None:
        if self.stale:
            self.unseen.update({(viewer, pod): self.stale for viewer in PODS if viewer != pod})
        if self.heals_in:
            self.healing[pod] = self.heals_in

    def rollout(self, timeout: float = 50.0) -> Rollout:
        servers = {pod: StandIn(self, pod) for pod in PODS}
        return Rollout(self, servers, self.drives, self.log.append, timeout, now=lambda: self.time, sleep=self.sleep)  # type: ignore[arg-type]

    @property
    def restarts(self) -> list[str]:
        return [entry for entry in self.log if entry in PODS]


class StandIn:
    """One server."""

    def __init__(self, store: Store, label: str) -> None:
        self.store, self.label = store, label

    def ask(self, path: str) -> Answer:
        gone = {*self.store.away, *self.store.dead}
        if self.label in gone:
            raise StackgateError("the server answers", f"{self.label}: connection refused")
        missing = self.store.missing(self.label) | ({self.label} if path == health.MAINTENANCE else set())
        healing = any(pod != self.label for pod in self.store.healing)
        if path == health.MAINTENANCE:
            return Answer(200 if len(missing) <= 1 and not healing else 412, {"x-minio-write-quorum": "3"})
        return Answer(200 if len(missing) <= 1 else 503, {"x-minio-write-quorum": "3"})


def test_one_at_a_time_and_healed_before_the_next() -> None:
    store = Store()
    store.rollout().run(ROLLING)
    assert store.restarts == PODS
    assert store.most_away == 1
    assert not store.healing, "the last one is healed, too"


def test_the_next_one_waits_until_every_server_sees_the_one_before() -> None:
    store = Store(stale=5)
    store.rollout().run(ROLLING)
    assert store.restarts == PODS
    assert store.taken_while_unseen == []
    assert not store.unseen, "nor does it end before"


def test_nothing_restarts_while_another_server_is_away() -> None:
    store = Store()
    store.old = ["s-0", "s-1"]
    store.lost = {"s-3"}
    with pytest.raises(StackgateError) as caught:
        store.rollout().run(ROLLING)
    assert caught.value.expected == "the store can do without s-0"
    assert caught.value.seen == "without s-0 writes would stop: 3 of 4 drives online; not there: s-3 /data"
    assert caught.value.details == {"changed": False, "restarted": []}
    assert store.restarts == []


@pytest.mark.parametrize("pod", ["s-0", "s-2"])
def test_a_healing_drive_is_waited_for_before_the_first(pod: str) -> None:
    """Also the drive of the very server that is to restart, which that server does not count."""
    store = Store(healing=0)
    store.healing = {pod: 5}
    store.sleep(0)
    restarted_at: list[float] = []
    replace = store.replace
    store.replace = lambda host: (restarted_at.append(store.time), replace(host))[1]  # type: ignore[method-assign,func-returns-value]
    store.rollout().run(ROLLING)
    assert restarted_at[0] >= 4
    assert store.restarts == PODS


def test_a_pod_that_does_not_run_goes_first_and_asks_nobody() -> None:
    store = Store()
    store.dead = {"s-2"}
    store.rollout().run(ROLLING)
    assert store.restarts == ["s-2", "s-0", "s-1", "s-3"]
    assert any("s-2 restarts (it does not run)" in line for line in store.log)


def test_all_at_once_waits_until_all_are_back() -> None:
    store = Store(slow=3, healing=0)
    rollout = store.rollout()
    rollout.run(AT_ONCE)
    assert sorted(store.restarts) == PODS == sorted(rollout.restarted)
    assert store.most_away == 4
    assert not store.away


def test_a_drive_that_was_away_before_is_not_waited_for() -> None:
    store = Store(healing=0)
    store.lost = {"s-3"}
    store.rollout().run(AT_ONCE)
    assert sorted(store.restarts) == PODS


def test_a_server_that_does_not_come_back_ends_it_with_what_is_seen() -> None:
    store = Store(slow=10**6)
    with pytest.raises(StackgateError) as caught:
        store.rollout(timeout=30).run(ROLLING)
    assert caught.value.seen == "s-0: connection refused"
    assert caught.value.details == {"changed": True, "restarted": ["s-0"]}
    assert store.restarts == ["s-0"], "the next one is not touched"
    assert any("waits for" in line for line in store.log)


def test_a_pod_that_cannot_start_ends_it_at_once() -> None:
    store = Store(slow=10**6)
    store.stuck = StackgateError("every member's pod starts", "ImagePullBackOff", "check the image")
    with pytest.raises(StackgateError, match="ImagePullBackOff") as caught:
        store.rollout().run(ROLLING)
    assert caught.value.hint == "check the image"
    assert store.time == 0.0


def test_an_interrupted_rollout_is_continued() -> None:
    store = Store(slow=10**6)
    with pytest.raises(StackgateError):
        store.rollout(timeout=5).run(ROLLING)
    store.slow = 1
    store.away.clear()
    store.rollout().run(ROLLING)
    assert store.restarts == PODS
