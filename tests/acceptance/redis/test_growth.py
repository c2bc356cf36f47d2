# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance of its own that begins with a single server, becomes a set by two variables, and stays one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from instance import CACHE, PROJECT, Instance, run_playbook

pytestmark = pytest.mark.deploys

NAME = "store-redis-growing"
OWN_INVENTORIES = "inventories/local:molecule/redis/inventory"
INVENTORIES = tuple(PROJECT / path for path in (os.environ.get("STACKGATE_INVENTORY") or OWN_INVENTORIES).split(":"))
SINGLE = {"redis_replicas": 1, "redis_sentinels": 0}
SERVERS = ("redis-0", "redis-1", "redis-2")
# Writes a thousand keys at once, and tells how many there are.
FILL = "for n = 1, 1000 do redis.call('SET', 'kept:' .. n, n) end return redis.call('DBSIZE')"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A new instance with one server; taken down again."""
    own = tmp_path_factory.mktemp("growing")
    (own / "hosts.yml").write_text(yaml.safe_dump({"stacks": {"children": {"redis_test": {"hosts": {NAME: None}}}}}))
    found = Instance(NAME, (*INVENTORIES, own), CACHE / "kubeconfig", NAME, "k3s")
    given = [word for path in found.inventories for word in ("-i", str(path))]
    if not os.environ.get("STACKGATE_INVENTORY"):
        made = run_playbook(["playbooks/local_cluster.yml", *given, "--limit", f"{NAME},localhost"])
        assert made.status == 0, made.failed
    try:
        delivered = found.play(override=SINGLE, directory=tmp_path_factory.mktemp("single"))
        assert delivered.status == 0, delivered.failed
        yield found
    finally:
        run_playbook(["molecule/redis/cleanup.yml", *given, "--limit", f"{NAME},localhost", "-e", f"confirm={NAME}"])


def cli(instance: Instance, pod: str, *command: str, user: str = "app") -> str:
    """What a server answers to a user."""
    kubectl = [str(CACHE / "bin/kubectl"), f"--kubeconfig={instance.kubeconfig}", "-n", instance.namespace]
    script = f'REDISCLI_AUTH=$(cat /run/secrets/redis/{user}) exec redis-cli --no-auth-warning --user {user} "$@"'
    words = [*kubectl, "exec", pod, "-c", "redis", "--", "sh", "-c", script, "sh", *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def replication(instance: Instance, pod: str) -> dict[str, str]:
    lines = cli(instance, pod, "INFO", "replication", user="admin").splitlines()
    return dict(line.strip().split(":", 1) for line in lines if ":" in line)


def test_a_single_server_becomes_a_set_and_keeps_its_data(single: Instance) -> None:
    before = int(cli(single, "redis-0", "EVAL", FILL, "0"))
    assert before >= 1000
    grown = single.play()
    assert grown.status == 0, grown.failed
    found = {pod: replication(single, pod) for pod in SERVERS}
    assert sorted(one["role"] for one in found.values()) == ["master", "slave", "slave"]
    assert [one["master_link_status"] for one in found.values() if one["role"] == "slave"] == ["up", "up"]
    for pod in SERVERS:
        assert cli(single, pod, "GET", "kept:1000") == "1000"
        assert int(cli(single, pod, "DBSIZE")) >= 1000
    again = single.play("--skip-tags", "images")
    assert (again.status, again.changed) == (0, []), again.failed


def test_a_set_does_not_become_a_single_server(single: Instance, tmp_path: Path) -> None:
    """The way back is not there: it says so before anything has changed."""
    assert single.objects("apps/v1", "StatefulSet", label_selector="app.kubernetes.io/name=redis-sentinel"), "there is no set"
    before = single.versions()
    refused = single.play("--skip-tags", "images", override=SINGLE, directory=tmp_path)
    assert refused.status != 0
    assert "does not become a single server again" in "\n".join(refused.failed), refused.failed
    assert single.versions() == before
