# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render every component role's template by Ansible's own templating, and print the objects and gates as JSON.

A program of its own, because it installs ansible's loader of collections, which would change the imports of other tests.

    python tests/manifests/render.py      {set: {"objects": [...], "gates": {...}, "secrets": {name: [keys]}, "variables": {...}}}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETS = Path(__file__).parent / "sets"
ROLES = ("namespace", "mongodb", "postgresql", "redis", "object_storage", "workload", "nginx", "website", "ingress")
MIDDLEWARE = "traefik.io/v1alpha1/Middleware"
# What tasks would have registered before the template is rendered.
REGISTERED: dict[str, Any] = {
    "__mongodb_made": {"results": [{"item": {"name": "mongodb-exporter"}, "checksum": "0" * 64}]},
    "__object_storage_root": {"checksum": "0" * 64},
    "__postgresql_made": {"results": [{"item": {"name": name}, "checksum": "0" * 64} for name in ("postgresql", "postgresql-members")]},
    "__redis_made": {"results": [{"item": {"name": name}, "checksum": "0" * 64} for name in ("redis", "redis-members")]},
    "__workload_secrets": {"checksums": {}},
    "__workload_services": {"addresses": {"postgresql": "10.43.0.20", "redis": "10.43.0.21"}},
    "__ingress_api": {"served": [MIDDLEWARE]},
}
CLUSTER_KINDS = {"Namespace", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "IngressClass", "StorageClass"}


def main() -> None:
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(ROOT / "collections")])
    instance = [ROOT / "inventories" / "local" / "group_vars" / "stacks" / "main.yml"]
    everything = {
        "defaults": render("defaults", [*instance, SETS / "defaults.yml"]),
        "single": render("single", [*instance, SETS / "defaults.yml", SETS / "single.yml"]),
        "everything": render("everything", [*instance, SETS / "everything.yml"]),
        "wesago": render("wesago", [*instance, ROOT / "playbooks" / "group_vars" / "wesago.yml"]),
        "object_storage_test": render(
            "storage", [*instance, ROOT / "playbooks" / "group_vars" / "object_storage_test.yml", SETS / "object_storage_tls.yml"]
        ),
    }
    json.dump(everything, sys.stdout)


def render(name: str, files: list[Path]) -> dict[str, Any]:
    """All objects of one set of variables, as the manifest action would apply them."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import parse, plain
    from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.prepare import Component, prepare

    loader = DataLoader()
    loader.set_basedir(str(ROOT / "playbooks"))
    variables: dict[str, Any] = {"inventory_hostname": f"{name}-test", "playbook_dir": str(ROOT / "playbooks"), "groups": {}}
    # In the order of their precedence: a role's defaults, the shared ones, the set, the role's constants.
    paths = [ROOT / "roles" / role / "defaults" / "main.yml" for role in ROLES]
    paths += [ROOT / "playbooks" / "group_vars" / "all.yml", *files]
    paths += [ROOT / "roles" / role / "vars" / "main.yml" for role in ROLES]
    for path in paths:
        variables.update(loader.load_from_file(str(path), cache="none", trusted_as_template=True) or {})
    variables.update(REGISTERED)
    # A stack's definition says what it has; the other sets have everything.
    roles = [role for role in ROLES if role in variables.get("stack_components", ROLES)]

    def value(expression: str, role: str, **more: Any) -> Any:
        here = {"role_name": role, "role_path": str(ROOT / "roles" / role), "ansible_search_path": [str(ROOT / "roles" / role)], **more}
        return plain(Templar(loader, {**variables, **here}).template(trust_as_template("{{ " + expression + " }}")))

    objects: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    for role in roles:
        text = value(f"lookup('ansible.builtin.template', '{role}.yml.j2')", role) or ""  # no hosts: no text
        texts[role] = text
        component = Component(role.replace("_", "-"), f"{name}-test", f"{name}-test", name)
        documents = parse(text, f"{role}.yml.j2")
        objects += [plain(wanted.body) for wanted in prepare(documents, component, lambda _api, kind: kind not in CLUSTER_KINDS)]
    made = value("workload_secrets", "workload")
    secrets = {
        secret["name"]: sorted(key for part in ("generate", "values", "fields") for key in secret.get(part) or {}) for secret in made
    }
    for secret in value("__mongodb_secrets", "mongodb") if "mongodb" in roles else []:
        secrets[secret["name"]] = sorted(key for part in ("generate", "values", "fields") for key in secret.get(part) or {})
    for secret in value("__postgresql_secrets", "postgresql"):
        secrets[secret["name"]] = sorted(key for part in ("generate", "values", "fields") for key in secret.get(part) or {})
    if variables["postgresql_tls"] and not variables["postgresql_tls_secret"]:
        secrets["postgresql-tls"] = ["ca.crt", "tls.crt", "tls.key"]
    secrets["object-storage-root"] = ["access-key", "secret-key"]
    for user in value("__object_storage_users", "object_storage"):
        secrets[user["secret"]] = sorted(["secret-key", *user["values"]])
    for secret in value("__redis_secrets", "redis"):
        secrets[secret["name"]] = sorted(key for part in ("generate", "values", "fields") for key in secret.get(part) or {})
    return {
        "objects": objects,
        "texts": texts,
        "gates": {role: value(f"{role}_gate", role) for role in roles},
        "secrets": secrets,
        "fields": {"postgresql": value("__postgresql_content.fields", "postgresql"), "redis": value("__redis_fields", "redis")},
        "hosts": value("__mongodb_hosts", "mongodb") if "mongodb" in roles else "",
        "items": value("__workload_items", "workload"),
        "upstreams": value("nginx_upstreams", "nginx"),
    }


if __name__ == "__main__":
    main()
