# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter `object_storage_layout`."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.filter.object_storage_layout import FilterModule

layout = FilterModule().filters()["object_storage_layout"]
POOL = {"pods": 4, "drives": 1, "size": "10Gi"}


def test_a_layout() -> None:
    assert layout([POOL])["pools"][0]["parity"] == 2
    assert layout([POOL], "")["pools"][0]["parity"] == 2, "a variable that is not set"
    assert layout([POOL], "1")["pools"][0]["parity"] == 1


@pytest.mark.parametrize(("pool", "parity"), [({**POOL, "size": "much"}, None), ({**POOL, "pods": None}, None), (POOL, "EC:2")])
def test_what_cannot_be_understood(pool: object, parity: object) -> None:
    with pytest.raises(AnsibleFilterError):
        layout([pool], parity)
