# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint rule that holds the project's laws finds each breach, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

BREACHES = {
    "loop": """
- name: Apply | Create the objects
  kubernetes.core.k8s:
    definition: "{{ item }}"
  loop: "{{ objects }}"
""",
    "wait": """
- name: Apply | Create the object
  kubernetes.core.k8s:
    definition: "{{ thing }}"
    wait: true
""",
    "connection": """
- name: Apply | Create the object
  kubernetes.core.k8s:
    definition: "{{ thing }}"
    kubeconfig: /somewhere
""",
}
LAWFUL = """
- name: Apply | Create the objects
  kubernetes.core.k8s:
    definition: "{{ objects }}"

- name: Apply | Say what there is
  ansible.builtin.debug:
    msg: "{{ item }}"
  loop: "{{ objects }}"
"""


@pytest.fixture(scope="module")
def breaches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The laws that each role breaks, by the words of one run of ansible-lint over all of them."""
    root = tmp_path_factory.mktemp("project")
    for role, tasks in {**BREACHES, "lawful": LAWFUL, "local_cluster": BREACHES["loop"]}.items():
        path = root / "roles" / role / "tasks" / "apply.yml"
        path.parent.mkdir(parents=True)
        path.write_text("---\n" + tasks.lstrip("\n"))
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [tools / "ansible-lint", "--offline", "-f", "codeclimate", "-R", "-r", PROJECT / ".ansible-lint-rules", "roles"],
        cwd=root,
        env=dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(PROJECT / "collections"), PATH=f"{tools}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, list[str]] = {}
    for issue in json.loads(done.stdout):
        if issue["check_name"].startswith("stackgate-law"):
            found.setdefault(Path(issue["location"]["path"]).parts[1], []).append(issue["check_name"])
    return found


@pytest.mark.parametrize("law", sorted(BREACHES))
def test_each_breach_is_found(breaches: dict[str, list[str]], law: str) -> None:
    assert breaches[law] == [f"stackgate-law[{law}]"]


def test_lawful_tasks_pass(breaches: dict[str, list[str]]) -> None:
    assert "lawful" not in breaches


def test_the_role_that_makes_the_cluster_is_exempt(breaches: dict[str, list[str]]) -> None:
    assert "local_cluster" not in breaches
