# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks: options, templates, check mode and what comes back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.stackgate.k3s.plugins.action import generated_secret, manifest
from ansible_collections.stackgate.k3s.plugins.module_utils.cluster import ApiError
from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError


class FakeCluster:
    """Accepts everything, remembers what was sent, holds what was not a dry run."""

    def __init__(self):
        self.objects = {}
        self.sent = []
        self.warnings = []

    def resource(self, api_version, kind):
        if kind == "Nix":
            raise StackgateError("a kind", "it does not know v1 Nix")
        return SimpleNamespace(namespaced=True)

    def get(self, api_version, kind, name, namespace=None):
        return self.objects.get((kind, name))

    def list(self, *arguments, **options):
        members = [found for found in self.objects.values() if "applyset.kubernetes.io/part-of" in found["metadata"]["labels"]]
        return [found for found in members if found["kind"] == arguments[1]]

    def _put(self, document, dry_run):
        self.sent.append((document, dry_run))
        key = (document["kind"], document["metadata"]["name"])
        version = {"resourceVersion": "1"} if key in self.objects else {}
        after = {**document, "metadata": {**document["metadata"], **version, "uid": "u"}}
        if not dry_run:
            self.objects[key] = {**after, "metadata": {**after["metadata"], "resourceVersion": "1"}}
        return after

    def apply(self, document, *, dry_run=False, force=True):
        return self._put(document, dry_run)

    def create(self, document, *, dry_run=False):
        if ("Secret", document["metadata"]["name"]) in self.objects:
            raise ApiError("create", 409, {"reason": "AlreadyExists"})
        return self._put(document, dry_run)

    def replace(self, document, *, dry_run=False):
        return self._put(document, dry_run)


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def run(cluster, tmp_path):
    """Run a task: run(plugin, arguments, check=False, diff=False) -> result."""
    (tmp_path / "templates").mkdir()

    def task(plugin, arguments, check=False, diff=False, **variables):
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        variables = {"inventory_hostname": "shop", "ansible_search_path": [str(tmp_path)], **variables}
        action = plugin.ActionModule(
            task=SimpleNamespace(
                args=arguments,
                check_mode=check,
                diff=diff,
                async_val=0,
                action=f"stackgate.k3s.{plugin.__name__}",
                get_search_path=lambda: [str(tmp_path)],
                environment=None,
                collections=[],
            ),
            connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), _load_name="local"),
            play_context=SimpleNamespace(check_mode=check, diff=diff),
            loader=loader,
            templar=Templar(loader=loader, variables=variables),
            shared_loader_obj=None,
        )
        action.cluster = lambda: cluster
        return action.run(None, variables)

    return task


def component(**options):
    return {"namespace": "ns", "component": "web", **options}


def test_a_template_is_found_rendered_and_applied(run, cluster, tmp_path):
    head = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ name }}\n"
    (tmp_path / "templates" / "web.yml.j2").write_text(f"{{% for name in names %}}\n{head}{{% include 'part.j2' %}}\n\n{{% endfor %}}\n")
    (tmp_path / "templates" / "part.j2").write_text("data: {a: '{{ name }}'}\n")
    result = run(manifest, component(template="web.yml.j2"), names=["a", "b"])
    assert result["changed"]
    assert [item["name"] for item in result["objects"]] == ["web-applyset", "a", "b"]
    assert cluster.objects[("ConfigMap", "b")]["data"] == {"a": "b"}
    assert cluster.objects[("ConfigMap", "b")]["metadata"]["labels"]["app.kubernetes.io/instance"] == "shop"
    assert not run(manifest, component(template="web.yml.j2"), names=["a", "b"])["changed"]


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}


def test_instance_and_stack_can_be_named(run, cluster):
    run(manifest, component(definition=CONFIG, instance="i", part_of="s"))
    labels = cluster.objects[("ConfigMap", "a")]["metadata"]["labels"]
    assert (labels["app.kubernetes.io/instance"], labels["app.kubernetes.io/part-of"]) == ("i", "s")


def test_check_mode_only_rehearses(run, cluster):
    result = run(manifest, component(definition=CONFIG), check=True)
    assert result["changed"]
    assert all(dry_run for _document, dry_run in cluster.sent)


def test_a_difference_is_shown_only_when_asked_for(run):
    assert "diff" not in run(manifest, component(definition=CONFIG), check=True)
    assert len(run(manifest, component(definition=CONFIG), check=True, diff=True)["diff"]) == 2


def test_warnings_of_the_server_are_ansibles(run, cluster):
    cluster.warnings = ["configmaps/a: old"]
    assert run(manifest, component(definition=CONFIG))["warnings"] == ["configmaps/a: old"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither is given"),
        ({"definition": ""}, "it is empty"),
        ({"definition": CONFIG, "template": "x"}, "both are given"),
        ({"template": "nosuch.yml.j2"}, "nosuch.yml.j2"),
        ({"definition": {**CONFIG, "kind": "Nix"}}, "it does not know v1 Nix"),
    ],
)
def test_bad_input_fails_before_anything_is_sent(run, cluster, options, words):
    result = run(manifest, component(**options))
    assert result["failed"]
    assert words in result["msg"]
    assert cluster.sent == []


def test_an_undefined_variable_names_file_and_line(run, tmp_path):
    (tmp_path / "templates" / "web.yml.j2").write_text("apiVersion: v1\nkind: {{ nosuch }}\n")
    result = run(manifest, component(template="web.yml.j2"))
    assert "templates/web.yml.j2:2: kind: {{ nosuch }}" in result["msg"]


@pytest.mark.parametrize("plugin", [manifest, generated_secret])
def test_a_misspelt_option_is_an_error(run, plugin):
    with pytest.raises(AnsibleActionFail, match="componnet"):
        run(plugin, {"namespace": "ns", "componnet": "web"})


def test_a_secret_is_made_once_and_no_value_is_returned(run, cluster):
    task = component(name="db", generate={"password": None}, fields={"uri": "x://${password}"}, values={"user": "hunter2"})
    first = run(generated_secret, dict(task), diff=True)
    data = dict(cluster.objects[("Secret", "db")]["data"])
    second = run(generated_secret, dict(task), diff=True)
    assert (first["changed"], second["changed"]) == (True, False)
    assert cluster.objects[("Secret", "db")]["data"] == data
    assert first["keys"] == {"password": "generated", "user": "set", "uri": "set"}
    for text in (*data.values(), "hunter2"):
        assert text not in json.dumps([first, second])
    assert "diff" not in second


def test_a_secrets_wrong_options_show_no_value(run):
    result = run(generated_secret, component(name="db", values={"user": ["hunter2"]}))
    assert result["failed"]
    assert "hunter2" not in json.dumps(result)
