# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes by variables: a check run tells what the run then does, the second run does nothing, and what cannot be is refused first."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from instance import Instance, Run
from object_ledger import Storage, until

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Refused

pytestmark = pytest.mark.deploys

TAGS = ("--tags", "object_storage")
CHANGED: dict[str, Any] = {
    "object_storage_buckets": [
        {"name": "app", "versioning": "enabled"},
        {"name": "archive", "versioning": "suspended", "quota": "128Mi", "lifecycle": [{"id": "old-versions", "noncurrent_days": 7}]},
        {"name": "pictures", "quota": "64Mi"},
    ],
    "object_storage_users": [
        {"name": "app", "buckets": ["app", "pictures"], "secret": "object-storage"},
        {"name": "reader", "buckets": ["archive"], "access": "readwrite"},
        {"name": "archivist", "state": "absent"},
    ],
}
BACK: dict[str, Any] = {
    "object_storage_buckets": [
        {"name": "app", "versioning": "suspended"},
        {"name": "archive", "versioning": "enabled", "quota": "256Mi", "lifecycle": [{"id": "old-versions", "noncurrent_days": 30}]},
        {"name": "pictures", "state": "absent", "force": True},
    ],
}


def told(run: Run) -> list[tuple[str, str]]:
    """What a run says that it changes, with the differences that it shows."""
    return [(task, json.dumps(diff, sort_keys=True)) for _host, task, diff in run.changed]


def test_nothing_to_do_changes_nothing(instance: Instance) -> None:
    before = instance.versions()
    run = instance.play()
    assert run.status == 0, run.failed
    assert run.changed == []
    assert instance.versions() == before


def test_buckets_users_and_policies_follow_the_variables(instance: Instance, storage: Storage, tmp_path: Path) -> None:
    try:
        check = instance.play(*TAGS, "--check", "--diff", override=CHANGED, directory=tmp_path)
        assert check.status == 0, check.failed
        assert "pictures" not in storage.store("object-storage-root").buckets()
        run = instance.play(*TAGS, "--diff", override=CHANGED, directory=tmp_path)
        assert run.status == 0, run.failed
        assert run.changed, "nothing was changed"
        assert told(check) == told(run)
        again = instance.play(*TAGS, "--diff", override=CHANGED, directory=tmp_path)
        assert (again.status, told(again)) == (0, [])
        store = storage.store("object-storage-root")
        assert (store.versioning("app"), store.versioning("archive"), store.quota("archive")) == ("enabled", "suspended", 128 * 1024**2)
        assert store.quota("pictures") == 64 * 1024**2
        assert store.user("archivist") is None
        name = f"new/{secrets.token_hex(4)}"
        storage.store("object-storage").put("pictures", name, b"a picture")
        storage.store("object-storage-reader").put("archive", name, b"now it may")
        with pytest.raises(Refused):
            storage.store("object-storage-reader").get("pictures", name)
    finally:
        restored = instance.play(*TAGS, override=BACK, directory=tmp_path)
        assert restored.status == 0, restored.failed
    assert instance.play(*TAGS).total("changed") == 0
    assert "pictures" not in storage.store("object-storage-root").buckets()


def test_a_bucket_with_objects_is_not_deleted_by_mistake(instance: Instance, storage: Storage, tmp_path: Path) -> None:
    name = f"kept/{secrets.token_hex(4)}"
    storage.store("object-storage-archivist").put("archive", name, b"kept")
    override = {
        "object_storage_buckets": [{"name": "app"}, {"name": "archive", "state": "absent"}],
        "object_storage_users": [{"name": "app", "buckets": ["app"], "secret": "object-storage"}],
    }
    run = instance.play(*TAGS, override=override, directory=tmp_path)
    assert run.status != 0
    assert "archive" in "\n".join(run.failed)
    assert "force" in "\n".join(run.failed)
    assert storage.store("object-storage-archivist").get("archive", name) == b"kept"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"object_storage_replicas": 3}, "3 drives survive little"),
        ({"object_storage_replicas": 5}, "add capacity with object_storage_further_pools"),
        ({"object_storage_drives_per_pod": 2}, "add capacity with object_storage_further_pools"),
        ({"object_storage_users": [{"name": "app", "buckets": ["nowhere"]}]}, "object_storage_buckets has no nowhere"),
        ({"object_storage_parity": "EC:3"}, "parity EC:3 is impossible"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    instance: Instance, tmp_path: Path, override: dict[str, Any], words: str
) -> None:
    before = instance.versions()
    run = instance.play(*TAGS, override=override, directory=tmp_path)
    assert run.status != 0
    assert words in " ".join("\n".join(run.failed).split()), run.failed
    assert instance.versions() == before


def test_a_setting_of_one_pod_is_rolled_and_one_of_all_restarts_all(instance: Instance, storage: Storage, tmp_path: Path) -> None:
    """New limits go from pod to pod, which the store outlives; a new variable of the servers reaches all at once."""
    resources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "800Mi", "ephemeral-storage": "512Mi"}}
    uids = {pod["metadata"]["uid"] for pod in storage.pods()}
    run = instance.play(*TAGS, override={"object_storage_resources": resources}, directory=tmp_path)
    assert run.status == 0, run.failed
    assert "one after the other" in run.output or "one by one" in run.output or "one at a time" in run.output, run.output
    assert not uids & {pod["metadata"]["uid"] for pod in storage.pods()}
    run = instance.play(*TAGS, override={"object_storage_env": {"MINIO_API_REQUESTS_MAX": 100}}, directory=tmp_path)
    assert run.status == 0, run.failed
    assert "all at once" in run.output
    restored = instance.play(*TAGS)
    assert restored.status == 0, restored.failed
    until("all are ready", lambda: len(storage.ready()) == 4, 60)
