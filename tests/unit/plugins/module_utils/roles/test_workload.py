# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of the workload role."""

from __future__ import annotations

import copy
import subprocess

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import workload
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.workload import expand, gate, secret_names

DEFAULTS = {
    "image": "r/app:1",
    "user": 10001,
    "group": 10001,
    "env": {"SHARED": "yes", "LEVEL": "outer"},
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
}
LIVE = {"liveness": {"exec": {"command": ["true"]}}}
WEB = {"name": "web", "ports": [{"name": "http", "port": 8000}], "probes": {**LIVE, "readiness": {"tcpSocket": {"port": "http"}}}}


def one(item, checksums=None, **defaults):
    return expand([item], "shop", {**DEFAULTS, **defaults}, checksums or {})[0]


def job(**more):
    return one({"name": "migrate", "kind": "Job", **more})


def test_what_is_not_said_is_filled_in():
    item = one({"name": "worker", "probes": LIVE})
    assert item["kind"] == "Deployment"
    assert item["object"] == "worker"
    assert item["minimum"] == 1
    assert item["main"]["image"] == "r/app:1"
    assert item["main"]["mounts"] == [{"name": "scratch-tmp", "mountPath": "/tmp"}]
    assert item["pod_volumes"] == [{"name": "scratch-tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


def test_environment_and_resources_are_merged():
    item = one(
        {"name": "worker", "probes": LIVE, "env": {"LEVEL": "inner", "ON": True, "N": 5}, "resources": {"limits": {"memory": "1Gi"}}}
    )
    assert {entry["name"]: entry["value"] for entry in item["main"]["env"]} == {"SHARED": "yes", "LEVEL": "inner", "ON": "true", "N": "5"}
    assert item["main"]["resources"] == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


def test_an_init_container_inherits():
    item = one(
        {
            "name": "worker",
            "probes": LIVE,
            "env": {"ONE": "1"},
            "volumes": [{"claim": "media", "path": "/srv"}],
            "init": [{"name": "first", "args": ["a"], "env": {"TWO": "2"}}, {"name": "bare", "volumes": [], "image": "r/other:1"}],
        }
    )
    first, bare = item["init"]
    assert [entry["name"] for entry in first["env"]] == ["SHARED", "LEVEL", "ONE", "TWO"]
    assert "/srv" in [mount["mountPath"] for mount in first["mounts"]]
    assert "/srv" not in [mount["mountPath"] for mount in bare["mounts"]]
    assert bare["image"] == "r/other:1"


def test_a_disabled_item_is_no_item():
    assert expand([{"name": "off", "enabled": False}], "shop", DEFAULTS, {}) == []


def test_secret_files_are_for_the_group_only():
    item = one({"name": "worker", "probes": LIVE, "secret_files": [{"secret": "app", "path": "/run/app", "keys": {"key": "file"}}]})
    assert {
        "name": "secret-app",
        "secret": {"secretName": "app", "defaultMode": 0o440, "items": [{"key": "key", "path": "file"}]},
    } in item["pod_volumes"]


def test_the_same_source_is_one_volume_and_another_one_has_another_name():
    item = one(
        {
            "name": "worker",
            "probes": LIVE,
            "volumes": [{"claim": "media", "path": "/a"}, {"claim": "media", "path": "/b", "sub_path": "b", "read_only": True}],
            "secret_files": [{"secret": "app", "path": "/c", "keys": ["x"]}, {"secret": "app", "path": "/d", "keys": ["y"]}],
        }
    )
    names = [volume["name"] for volume in item["pod_volumes"]]
    assert names.count("claim-media") == 1
    assert {"secret-app", "secret-app-2"} <= set(names)
    assert {"name": "claim-media", "mountPath": "/b", "readOnly": True, "subPath": "b"} in item["main"]["mounts"]


def test_config_files_become_keys():
    item = one({"name": "worker", "probes": LIVE, "config_files": {"/etc/app/a.conf": "x"}})
    assert item["config"] == {"etc.app.a.conf": "x"}
    assert {"name": "config", "mountPath": "/etc/app/a.conf", "subPath": "etc.app.a.conf", "readOnly": True} in item["main"]["mounts"]


def test_a_job_is_another_one_when_anything_changes():
    names = {
        job()["object"],
        job(args=["--again"])["object"],
        job(image="r/app:2")["object"],
        job(env={"A": "1"})["object"],
        job(config_files={"/etc/x": "y"})["object"],
        job(clients_of=["redis"])["object"],
        job(user=10002)["object"],
    }
    assert len(names) == 7
    assert all(name.startswith("migrate-") and len(name) == len("migrate-") + 8 for name in names)


def test_a_job_is_the_same_one_when_nothing_changes():
    before = {"name": "migrate", "kind": "Job", "secret_files": [{"secret": "app", "path": "/run/app"}]}
    assert one(copy.deepcopy(before))["object"] == one(before)["object"]
    # Nor does a new password, or another condition of the gate, run a migration again.
    assert one(before, {"app": "1"})["object"] == one({**before, "gate": [{"kind": "pvc", "name": "x"}]}, {"app": "2"})["object"]


def test_a_job_is_another_one_when_its_template_is(monkeypatch, tmp_path):
    before = job()["object"]
    template = tmp_path / "workload.yml.j2"
    template.write_text("another")
    monkeypatch.setattr(workload, "TEMPLATE", template)
    workload._template_digest.cache_clear()
    try:
        assert job()["object"] != before
    finally:
        workload._template_digest.cache_clear()


def test_a_changed_secret_or_file_gives_new_pods():
    item = {"name": "worker", "probes": LIVE, "secret_env": {"X": {"secret": "app", "key": "x"}}}
    before = one(item, {"app": "1"})["checksum"]
    assert one(item, {"app": "1", "foreign": "9"})["checksum"] == before
    assert one(item, {"app": "2"})["checksum"] != before
    assert one({**item, "config_files": {"/etc/x": "y"}}, {"app": "1"})["checksum"] != before


def test_the_secrets_that_are_used():
    items = [
        {"name": "a", "secret_env": {"X": {"secret": "one", "key": "x"}}},
        {
            "name": "b",
            "secret_files": [{"secret": "two", "path": "/x"}],
            "init": [{"name": "i", "secret_env": {"Y": {"secret": "three", "key": "y"}}}],
        },
        {"name": "c", "enabled": False, "secret_files": [{"secret": "four", "path": "/x"}]},
    ]
    assert secret_names(items) == ["one", "three", "two"]


def test_the_gate_follows_the_items():
    items = expand(
        [
            {**WEB, "replicas": 2, "gate": [{"kind": "http", "service": "web", "port": 8000}]},
            {"name": "migrate", "kind": "Job", "deadline_s": 900},
            {"name": "nightly", "kind": "CronJob", "schedule": "@daily"},
            {
                **WEB,
                "name": "queue",
                "kind": "StatefulSet",
                "replicas": 2,
                "claims": [{"name": "data", "path": "/data", "size": "1Gi"}],
            },
            {**WEB, "name": "scaled", "autoscaling": {"maximum": 4}},
        ],
        "shop",
        DEFAULTS,
        {},
    )
    conditions = gate(items)
    assert {"kind": "rollout", "resource": "Deployment/web"} in conditions
    assert {"kind": "endpoints", "service": "web", "minimum": 2} in conditions
    assert {"kind": "http", "service": "web", "port": 8000} in conditions
    assert {"kind": "job", "name": items[1]["object"], "timeout": 900} in conditions
    assert [c["name"] for c in conditions if c["kind"] == "pvc"] == ["data-queue-0", "data-queue-1"]
    assert {"kind": "hpa", "name": "scaled"} in conditions
    assert {"kind": "endpoints", "service": "scaled", "minimum": 2} in conditions
    assert not any("nightly" in str(condition) for condition in conditions)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"name": "Web", "probes": LIVE}, "lower case"),
        ({"name": "1web", "probes": LIVE}, "lower case"),
        ({"name": "w" * 53, "probes": LIVE}, "at most 52"),
        ({"probes": LIVE}, "number 1"),
        ({"name": "web", "kind": "Pod"}, "Deployment, StatefulSet, Job, CronJob"),
        ({"name": "web"}, "liveness"),
        ({"name": "web", "probes": LIVE, "ports": [{"name": "http", "port": 8000}]}, "readiness"),
        ({**WEB, "ports": [{"name": "http", "port": 80}]}, "1024"),
        ({"name": "web", "kind": "CronJob"}, "schedule"),
        ({"name": "web", "probes": LIVE, "claims": [{"name": "d", "path": "/d", "size": "1Gi"}]}, "StatefulSet only"),
        ({"name": "web", "probes": LIVE, "autoscaling": {"minimum": 3, "maximum": 2}}, "at least minimum"),
    ],
)
def test_a_wrong_item_is_refused(item, words):
    with pytest.raises(StackgateError, match=words):
        one(item)


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(StackgateError) as caught:
        expand([{"name": "a"}, {"name": "b", "kind": "CronJob"}, {**WEB}, {**WEB}], "shop", DEFAULTS, {})
    assert all(word in str(caught.value) for word in ("a: probes.liveness", "b: schedule", "web: its name is that of an earlier item"))


def test_no_image_at_all():
    with pytest.raises(StackgateError, match="workload_image"):
        one({"name": "worker", "probes": LIVE}, image="")


def test_waiting_comes_first_and_mounts_nothing():
    item = one({"name": "worker", "probes": LIVE, "wait_for": ["a:1"], "init": [{"name": "i"}]})
    assert [container["name"] for container in item["init"]] == ["wait", "i"]
    assert item["init"][0]["mounts"] == []
    assert item["init"][0]["env"] == []
    assert item["init"][0]["command"][-1] == "a:1"


def test_the_wait_ends_when_something_listens():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            ["bash", "-c", workload.WAIT, "wait", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 0
    assert done.stdout == ""


def test_the_wait_does_not_end_before():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run(["bash", "-c", workload.WAIT, "wait", f"127.0.0.1:{port}"], capture_output=True, timeout=2, check=False)
    assert f"waiting for 127.0.0.1:{port}".encode() in caught.value.output


ADDRESSES = {"redis": "10.43.0.5", "postgresql": "10.43.0.6"}


def test_the_addresses_of_stores_go_into_the_hosts_file():
    item = {"name": "worker", "probes": LIVE, "clients_of": ["redis", "elsewhere"]}
    assert expand([item], "shop", DEFAULTS, {}, ADDRESSES)[0]["host_aliases"] == [{"ip": "10.43.0.5", "hostnames": ["redis"]}]
    assert expand([item], "shop", DEFAULTS, {})[0]["host_aliases"] == []


def test_a_job_stays_the_same_whatever_the_addresses_are():
    item = {"name": "migrate", "kind": "Job", "clients_of": ["redis"]}
    assert expand([item], "shop", DEFAULTS, {}, ADDRESSES) == expand([item], "shop", DEFAULTS, {})


def test_services_of_items_are_not_asked_for():
    items = [{"name": "worker", "clients_of": ["web", "redis"]}, WEB, {"name": "off", "enabled": False, "clients_of": ["other"]}]
    assert workload.service_names(items) == ["redis"]
