# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of site.yml on an instance that stands: what they change, what they say they would, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from instance import Instance

pytestmark = pytest.mark.deploys


def changes(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Kind/name of everything that was made, removed or written to in between."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def differing(diff: Any) -> list[tuple[Any, Any]]:
    """The places where the before and after of a task's diff differ, as pairs of values."""

    def walk(before: Any, after: Any) -> list[tuple[Any, Any]]:
        if isinstance(before, dict) and isinstance(after, dict):
            return [pair for key in before.keys() | after.keys() for pair in walk(before.get(key), after.get(key))]
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            return [pair for one, other in zip(before, after, strict=True) for pair in walk(one, other)]
        return [] if before == after else [(before, after)]

    def parsed(side: Any) -> Any:
        if isinstance(side, str):
            import yaml

            return list(yaml.safe_load_all(side))
        return side

    return [
        pair for one in (diff if isinstance(diff, list) else [diff]) for pair in walk(parsed(one.get("before")), parsed(one.get("after")))
    ]


def test_a_second_run_changes_nothing(instance: Instance) -> None:
    before = instance.versions()
    run = instance.play()
    assert run.status == 0, run.failed
    assert (run.changed, run.total("failures")) == ([], 0)
    assert changes(before, instance.versions()) == set()


def test_check_mode_says_exactly_what_the_run_then_does(instance: Instance, tmp_path: Path) -> None:
    replicas = instance.objects("apps/v1", "Deployment", field_selector="metadata.name=nginx")[0]["spec"]["replicas"]
    override = {"nginx_replicas": replicas + 1}
    before = instance.versions()
    try:
        said = instance.play("--check", "--diff", override=override, directory=tmp_path)
        assert said.status == 0, said.failed
        assert changes(before, instance.versions()) == set(), "a check changed something"
        assert len(said.changed) == 1, said.changed
        assert differing(said.changed[0][2]) == [(replicas, replicas + 1)]

        done = instance.play("--diff", override=override, directory=tmp_path)
        assert done.status == 0, done.failed
        assert [(host, task) for host, task, _diff in done.changed] == [(host, task) for host, task, _diff in said.changed]
        assert differing(done.changed[0][2]) == [(replicas, replicas + 1)]
        assert instance.objects("apps/v1", "Deployment", field_selector="metadata.name=nginx")[0]["status"]["readyReplicas"] == replicas + 1
    finally:
        assert instance.play().status == 0
    assert instance.play().total("changed") == 0


def test_tags_nginx_touches_nothing_but_nginx(instance: Instance, tmp_path: Path) -> None:
    # Two variables of two components have changed; the tag asks for one of them.
    override = {"nginx_server_config": "add_header X-Tried by-a-test always;", "redis_resources": {"limits": {"memory": "200Mi"}}}
    before = instance.versions()
    try:
        run = instance.play("--tags", "nginx", override=override, directory=tmp_path)
        assert run.status == 0, run.failed
        touched = changes(before, instance.versions())
        assert touched, "nothing changed, so this proves nothing"
        assert {name for name in touched if not name.partition("/")[2].startswith("nginx")} == set()
    finally:
        assert instance.play().status == 0


def test_tags_images_only_builds(instance: Instance, tmp_path: Path) -> None:
    before = instance.versions()
    run = instance.play("--tags", "images", override={"nginx_replicas": 7}, directory=tmp_path)
    assert run.status == 0, run.failed
    assert run.changed == []
    assert changes(before, instance.versions()) == set()
    assert [play for play in run.plays if not play.startswith(("Preflight", "Images"))] == []


def test_limit_to_the_stack_delivers_its_instances(instance: Instance) -> None:
    run = instance.play("--limit", "wesago")
    assert run.status == 0, run.failed
    assert list(run.recap) == [instance.name]
    assert run.total("changed") == 0


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"nginx_replicas": 0}, "nginx_replicas"),
        ({"nginx_replicas": "three"}, "nginx_replicas"),
        ({"nginx_replicsa": 3}, "nginx_replicsa"),
        ({"stackgate_storage_class": "absent"}, "absent"),
        ({"stackgate_storage_class_shared": "absent"}, "absent"),
        ({"stackgate_ingress_class": "absent"}, "absent"),
        ({"stack_components": ["namespace", "postgresq"]}, "postgresq"),
        ({"stackgate_kubeconfig": "/nowhere/kubeconfig"}, "/nowhere/kubeconfig"),
        ({"stackgate_context": "nobody@nowhere"}, "nobody@nowhere"),
        ({"stackgate_namespace": "kube-system"}, "kube-system"),
        ({"stackgate_registry": "127.0.0.1:1"}, "127.0.0.1:1"),
    ],
    ids=json.dumps,
)
def test_bad_input_stops_before_anything_changed(instance: Instance, tmp_path: Path, override: dict[str, Any], named: str) -> None:
    before = instance.versions()
    run = instance.play(override=override, directory=tmp_path)
    assert run.status != 0
    assert named in "\n".join(run.failed), run.failed
    assert changes(before, instance.versions()) == set()
