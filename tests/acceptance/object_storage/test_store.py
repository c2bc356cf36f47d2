# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a delivery leaves: servers on different nodes, buckets as declared, and users who see their own buckets only."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable

import pytest
from instance import Instance
from object_ledger import Storage, gate

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.client import Keys, Refused, Store


def test_the_gate_holds(instance: Instance) -> None:
    seen = gate(instance)
    assert all(words.startswith("holds: ") for words in seen.values()), seen
    assert "drives online, none healing" in seen["s3"]


@pytest.mark.covers("CH2-F18", "CH1-F14")
def test_the_servers_are_spread_over_the_nodes(storage: Storage) -> None:
    counts = Counter(storage.nodes().values())
    assert sum(counts.values()) >= 4
    assert max(counts.values()) - min(counts.values()) <= 1, counts


@pytest.mark.covers("CH2-F09", "CH1-F15")
def test_the_pods_are_asked_over_http(instance: Instance) -> None:
    for found in instance.objects("apps/v1", "StatefulSet"):
        (container,) = found["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"].startswith("/minio/health/"), probe
        assert found["spec"]["volumeClaimTemplates"]


@pytest.mark.covers("CH2-F13")
def test_every_server_serves_everything(storage: Storage) -> None:
    name, content = f"everywhere/{secrets.token_hex(4)}", secrets.token_bytes(300_000)
    pods = storage.ready()
    storage.store("object-storage", pods[0]).put("app", name, content)
    try:
        for pod in pods:
            assert storage.store("object-storage", pod).get("app", name) == content, pod
    finally:
        storage.store("object-storage").remove("app", name)


@pytest.mark.covers("CH1-F30")
def test_keys_are_in_secrets_alone(instance: Instance) -> None:
    hidden = [instance.secret(name, "secret-key") for name in ("object-storage-root", "object-storage", "object-storage-reader")]
    assert all(len(value) >= 40 for value in hidden)
    for kind in ("ConfigMap", "StatefulSet", "Pod", "Event"):
        version = "apps/v1" if kind == "StatefulSet" else "v1"
        text = str(instance.objects(version, kind))
        assert not any(value in text for value in hidden), kind


def test_buckets_are_as_declared(storage: Storage) -> None:
    store = storage.store("object-storage-root")
    assert store.buckets() >= {"app", "archive"}
    assert (store.versioning("app"), store.versioning("archive")) == ("off", "enabled")
    assert store.quota("archive") == 256 * 1024**2
    assert [rule.noncurrent_days for rule in store.lifecycle("archive")] == [30]


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.code


def test_an_application_sees_its_own_bucket_only(storage: Storage) -> None:
    app = storage.store("object-storage")
    name = f"own/{secrets.token_hex(4)}"
    app.put("app", name, b"mine")
    assert app.get("app", name) == b"mine"
    app.remove("app", name)
    assert app.buckets() == {"app"}
    archived = storage.store("object-storage-archivist")
    archived.put("archive", name, b"theirs")
    for act in (
        lambda: app.get("archive", name),
        lambda: app.put("archive", name, b"changed"),
        lambda: app.remove("archive", name),
        lambda: app.is_empty("archive"),
        app.users,
        lambda: app.make_bucket("mine-too", object_lock=False),
    ):
        assert refused(act) == "AccessDenied"
    assert archived.get("archive", name) == b"theirs"


def test_a_reader_only_reads(storage: Storage) -> None:
    name = f"read/{secrets.token_hex(4)}"
    storage.store("object-storage-archivist").put("archive", name, b"to read")
    reader = storage.store("object-storage-reader")
    assert reader.get("archive", name) == b"to read"
    assert refused(lambda: reader.put("archive", name, b"changed")) == "AccessDenied"
    assert refused(lambda: reader.remove("archive", name)) == "AccessDenied"


def test_a_stranger_is_refused(storage: Storage) -> None:
    server = storage.store("object-storage").server
    assert refused(Store(server, Keys("app", "x" * 40), "us-east-1").buckets) == "SignatureDoesNotMatch"
    assert server.ask("/app/anything").status == 403


def test_metrics_are_told(storage: Storage) -> None:
    assert storage.store("object-storage").server.ask("/minio/v2/metrics/node").status == 200
