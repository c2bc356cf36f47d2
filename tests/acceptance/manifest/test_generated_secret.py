# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""generated_secret against a real API server."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import Cluster
from ansible_collections.stackgate.k3s.plugins.module_utils.secrets import store, values


def value(cluster, namespace, name, key):
    return base64.b64decode(cluster.get("v1", "Secret", name, namespace)["data"][key]).decode()


def test_ten_that_make_it_at_once_agree(kubeconfig, cluster, namespace):
    place = store.Place("race", namespace, "Opaque", {})
    wanted = values.request({"password": None}, None, {"uri": "x://${password}"}, None)
    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(lambda _: store.ensure(Cluster({"kubeconfig": kubeconfig}), place, wanted), range(10)))
    assert sum(outcome.changed for outcome in outcomes) == 1
    assert len({outcome.checksum for outcome in outcomes}) == 1
    assert value(cluster, namespace, "race", "uri") == "x://" + value(cluster, namespace, "race", "password")


def task(**options):
    secret = {"namespace": "{{ ns }}", "name": "generated", "component": "db", "generate": {"password": {}}, "values": {"user": "hunter2"}}
    return [{"stackgate.k3s.generated_secret": {**secret, **options}}]


def test_the_task_makes_keeps_follows_and_rotates(play, cluster, namespace):
    fields = {"uri": "postgresql://${user}:${password}@db/app"}
    outputs = [play(task(fields=fields), "--check", "--diff", "-vvv")]
    assert "changed=1" in outputs[-1].stdout, outputs[-1].stdout + outputs[-1].stderr
    assert cluster.get("v1", "Secret", "generated", namespace) is None

    outputs.append(play(task(fields=fields), "--diff", "-vvv"))
    assert "changed=1" in outputs[-1].stdout
    password = value(cluster, namespace, "generated", "password")
    outputs.append(play(task(fields=fields), "--diff", "-vvv"))
    assert "changed=0" in outputs[-1].stdout

    outputs.append(play(task(fields={"uri": fields["uri"] + "?x"}), "--diff", "-vvv"))
    assert "changed=1" in outputs[-1].stdout
    assert value(cluster, namespace, "generated", "password") == password
    assert value(cluster, namespace, "generated", "uri") == f"postgresql://hunter2:{password}@db/app?x"

    outputs.append(play(task(fields=fields, rotate=["password"]), "--diff", "-vvv"))
    rotated = value(cluster, namespace, "generated", "password")
    assert rotated != password
    assert value(cluster, namespace, "generated", "uri") == f"postgresql://hunter2:{rotated}@db/app"

    text = json.dumps([(output.stdout, output.stderr) for output in outputs])
    for secret in ("hunter2", password, rotated):
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in text


def test_a_fault_shows_no_value(play):
    wrong_type = {"type": "kubernetes.io/tls", "values": {"tls.key": "hunter2"}}
    for options in ({"fields": {"user": "${password}"}}, {"values": {"user": ["hunter2"]}}, wrong_type):
        output = play(task(**{"name": "faulty", **options}), "-vvv")
        assert "failed=1" in output.stdout
        assert "hunter2" not in output.stdout + output.stderr
