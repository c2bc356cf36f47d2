# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent object follows the ApplySet specification."""

from __future__ import annotations

import base64
import hashlib

from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset


def test_the_id_is_the_specified_hash():
    """KEP-3659: applyset-<base64(sha256(<name>.<namespace>.<kind>.<group>))>-v1, the URL alphabet without padding."""
    digest = base64.b64encode(hashlib.sha256(b"web-applyset.shop.ConfigMap.").digest()).decode()
    expected = digest.replace("+", "-").replace("/", "_").rstrip("=")
    assert applyset.set_id("web-applyset", "shop") == f"applyset-{expected}-v1"
    assert len(applyset.set_id("web-applyset", "shop")) <= 63


def test_a_components_name_becomes_an_objects_name():
    assert applyset.parent_name("log_agent") == "log-agent-applyset"


def test_kinds_are_sorted_and_read_back():
    parent = applyset.parent("web", "ns", {"a": "b"}, ["Service", "Deployment.apps", "Service"])
    assert parent["metadata"]["annotations"][applyset.GROUP_KINDS] == "Deployment.apps,Service"
    assert applyset.group_kinds(parent) == {"Deployment.apps", "Service"}
    assert applyset.group_kinds(None) == set()


def test_a_parent_matches_whatever_others_added():
    wanted = applyset.parent("web", "ns", {"a": "b"}, ["Service"])
    found = {
        "metadata": {"labels": {**wanted["metadata"]["labels"], "x": "y"}, "annotations": {**wanted["metadata"]["annotations"], "n": "m"}}
    }
    assert applyset.matches(found, wanted)
    assert not applyset.matches(found, applyset.parent("web", "ns", {"a": "c"}, ["Service"]))
    assert not applyset.matches(found, applyset.parent("web", "ns", {"a": "b"}, ["Service", "Secret"]))
    assert not applyset.matches(None, wanted)


def test_the_tool_is_told_without_its_version():
    assert applyset.tool_of(applyset.parent("web", "ns", {}, [])) == "stackgate"
    assert applyset.tool_of({"metadata": {"annotations": {applyset.TOOLING: "kubectl/v1.35.4"}}}) == "kubectl"
    assert applyset.tool_of({"metadata": {}}) == ""
