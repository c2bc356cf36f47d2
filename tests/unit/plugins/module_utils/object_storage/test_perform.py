# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store is brought to what is declared also when its servers answer late or refuse for a moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import observe
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.desired import Bucket, Desired
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.perform import converge
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.transport import Silent
from ansible_collections.stackgate.k3s.tests.unit.plugins.module_utils.object_storage.test_plan import World

DESIRED = Desired((Bucket("files", versioning="enabled", quota=1024),))
ALL = ["make bucket files", "bucket files: versioning enabled", "bucket files: quota 1 KiB"]
SILENT = Silent("the store answers", "store-0: no answer within 15 s")


class Store(World):
    """A store whose answers go wrong: name of a call -> errors, the first call first; done: whether it was done nevertheless."""

    def __init__(self, done: bool = False, **wrong: list[StackgateError]) -> None:
        super().__init__()
        self.done, self.wrong = done, wrong

    def _may(self, name: str) -> None:
        if self.wrong.get(name):
            raise self.wrong[name].pop(0)

    def make_bucket(self, name: str, lock: bool) -> None:
        if self.done:
            super().make_bucket(name, lock)
        self._may("make_bucket")
        super().make_bucket(name, lock)

    def set_quota(self, name: str, amount: int) -> None:
        self._may("set_quota")
        super().set_quota(name, amount)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Converge a store; the labels that were to be avoided, and what was said, are noted."""
    noted = SimpleNamespace(avoided=[], said=[], time=0.0)

    def look(store: Store, desired: Desired) -> observe.Seen:
        store._may("observe")
        return store.seen

    def sleep(seconds: float) -> None:
        noted.time += seconds

    monkeypatch.setattr(observe, "observe", look)

    def call(store: Store, timeout: float = 10.0) -> list[str]:
        def wait(_timeout: float, _say: Any, avoid: str = "") -> Any:
            noted.avoided.append(avoid)
            return SimpleNamespace(label=f"store-{len(noted.avoided) - 1}", store=lambda keys, region: store)

        entrance = SimpleNamespace(wait=wait)
        done = converge(entrance, Keys("a", "b"), "r", DESIRED, timeout, noted.said.append, lambda: noted.time, sleep)  # type: ignore[arg-type]
        return [action.sentence for action in done]

    call.noted = noted  # type: ignore[attr-defined]
    return call


def test_a_silent_server_is_left_for_another(run: Any) -> None:
    assert run(Store(observe=[SILENT])) == ALL
    assert run.noted.avoided == ["", "store-0"]
    assert run.noted.said == ["store-0 does not do it yet, trying again: store-0: no answer within 15 s"]


def test_what_broke_off_in_the_middle_is_finished_and_told_as_a_whole(run: Any) -> None:
    assert run(Store(set_quota=[Refused("x", "SlowDownWrite", "busy"), SILENT])) == ALL


def test_what_was_done_without_an_answer_counts_as_done(run: Any) -> None:
    assert run(Store(done=True, make_bucket=[SILENT])) == ALL


def test_a_refusal_for_good_ends_it_with_what_was_done(run: Any) -> None:
    with pytest.raises(Refused) as caught:
        run(Store(set_quota=[Refused("set the quota", "XMinioAdminInvalid", "no")]))
    assert caught.value.details == {"changed": True, "actions": ALL[:2]}
    assert run.noted.time == 0.0


def test_it_is_not_tried_for_ever(run: Any) -> None:
    with pytest.raises(Silent):
        run(Store(observe=[SILENT] * 50), timeout=5)
    assert run.noted.time == 5.0


def test_nothing_is_tried_again_when_the_declaration_is_refused(run: Any) -> None:
    store = Store()
    store.buckets["files"] = observe.SeenBucket(versioning="off", retention=None)
    with pytest.raises(StackgateError, match="object lock"):
        converge(
            SimpleNamespace(wait=lambda *_arguments: SimpleNamespace(label="s", store=lambda *_keys: store)),  # type: ignore[arg-type]
            Keys("a", "b"),
            "r",
            Desired((Bucket("files", object_lock=True),)),
            10.0,
            run.noted.said.append,
        )
    assert run.noted.said == []
