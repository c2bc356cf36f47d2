# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image redis on a real cluster: password from a file, configuration from a ConfigMap, probes, restart."""

from __future__ import annotations

from typing import Any

import pytest

UID = 10027
PASSWORD = 'a "quoted" back\\slash # pass'
CONFIGURATION = "bind * -::*\nport 6379\ndir /var/lib/redis\nappendonly yes\nmaxmemory 32mb\nmaxmemory-policy noeviction\n"
VOLUMES = [
    {"name": "data", "emptyDir": {}},
    {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    {"name": "secrets", "secret": {"secretName": "redis", "defaultMode": 0o440}},
    {"name": "config", "configMap": {"name": "redis"}},
]
MOUNTS = [
    {"name": "data", "mountPath": "/var/lib/redis"},
    {"name": "run", "mountPath": "/run/redis"},
    {"name": "secrets", "mountPath": "/run/secrets/redis", "readOnly": True},
    {"name": "config", "mountPath": "/etc/redis", "readOnly": True},
]


@pytest.fixture(scope="module")
def redis(namespace: Any) -> Any:
    namespace.secret("redis", {"password": PASSWORD})
    namespace.api.create_namespaced_config_map("images-test", {"metadata": {"name": "redis"}, "data": {"redis.conf": CONFIGURATION}})
    probe = {"periodSeconds": 1, "timeoutSeconds": 5}
    container = {
        "readinessProbe": {"exec": {"command": ["redis-ready"]}, **probe},
        "livenessProbe": {"exec": {"command": ["redis-live"]}, **probe},
    }
    namespace.run("redis", "redis", UID, container=container, volumes=VOLUMES, mounts=MOUNTS)
    namespace.ready("redis")
    return namespace


def cli(namespace: Any, command: str) -> str:
    script = f"REDISCLI_AUTH=$(cat /run/secrets/redis/password) redis-cli -h 127.0.0.1 {command}"
    return namespace.sh("redis", script)[1]


def test_the_password_of_the_file_opens_and_no_other(redis: Any) -> None:
    assert cli(redis, "ping") == "PONG"
    assert "NOAUTH" in redis.sh("redis", "redis-cli -h 127.0.0.1 ping")[1]
    assert "WRONGPASS" in redis.sh("redis", "REDISCLI_AUTH=wrong redis-cli -h 127.0.0.1 ping")[1]


def test_the_mounted_configuration_is_in_force(redis: Any) -> None:
    assert cli(redis, "config get maxmemory").split() == ["maxmemory", str(32 * 1024**2)]
    assert cli(redis, "set key value") == "OK"
    assert "appendonlydir" in redis.sh("redis", "ls /var/lib/redis")[1]


def test_configuration_can_be_rewritten(redis: Any) -> None:
    assert cli(redis, "config set maxmemory 33mb") == "OK"
    assert cli(redis, "config rewrite") == "OK"


def test_no_password_is_in_arguments_environment_or_log(redis: Any) -> None:
    _status, seen = redis.sh("redis", "cat /proc/1/cmdline /proc/1/environ | tr '\\0' '\\n'")
    assert "slash" not in seen
    assert "slash" not in redis.log("redis")


def test_ready_fails_with_a_wrong_password_and_live_does_not(redis: Any) -> None:
    wrong = "echo wrong > /tmp/wrong; export REDIS_PASSWORD_FILE=/tmp/wrong;"
    assert redis.sh("redis", f"{wrong} redis-ready")[0] != 0
    assert redis.sh("redis", f"{wrong} redis-live")[0] == 0
    assert redis.sh("redis", "redis-ready 6380")[0] != 0
    assert redis.sh("redis", "redis-live 6380")[0] != 0


def test_it_ends_quickly(redis: Any) -> None:
    assert redis.delete("redis") < 10
