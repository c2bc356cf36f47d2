# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules to the library and back."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage import lifecycle
from ansible_collections.stackgate.k3s.plugins.module_utils.object_storage.lifecycle import Rule

pytest.importorskip("minio")

RULES = (
    Rule("all", expire_days=30),
    Rule("markers", expire_delete_markers=True),
    Rule("off", prefix="x/", enabled=False, noncurrent_days=1),
    Rule("old", prefix="a b/", noncurrent_days=7, noncurrent_keep=3),
)


def test_rules_survive_the_way_through_xml() -> None:
    from minio.lifecycleconfig import LifecycleConfig
    from minio.xml import marshal, unmarshal

    document = marshal(lifecycle.to_library(RULES))
    found = unmarshal(
        LifecycleConfig,
        document.decode().replace(
            "<LifecycleConfiguration>", '<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', 1
        ),
    )
    assert lifecycle.from_library(found.rules) == RULES


def test_what_is_not_declared_here_is_seen() -> None:
    from minio import lifecycleconfig
    from minio.commonconfig import Filter

    rule = lifecycleconfig.Rule(
        status="Enabled", rule_filter=Filter(prefix=""), rule_id="t", transition=lifecycleconfig.Transition(days=1, storage_class="cold")
    )
    (found,) = lifecycle.from_library([rule])
    assert found.other == "transition"
    assert found != Rule("t")


def test_what_is_shown_of_a_rule() -> None:
    assert RULES[2].as_data() == {"id": "off", "prefix": "x/", "enabled": False, "noncurrent_days": 1}
