# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities."""

from __future__ import annotations

import pytest

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles.quantity import in_bytes, quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512Mi", 512 * 1024**2),
        ("1.5Gi", 1536 * 1024**2),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1000000", 10**6),
        (5, 5),
        ("0", 0),
        ("2E", 2 * 10**18),
    ],
)
def test_bytes(text, expected):
    assert in_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "Mi", "512 Mi", "512MB", "-1Gi", "512mi", "1e3", "1.Gi", None, "ten"])
def test_what_is_no_quantity(text):
    with pytest.raises(StackgateError, match="512Mi"):
        in_bytes(text)


def test_a_share_is_rounded_down():
    assert quantity("1Gi", "Mi", 0.25) == 256
    assert quantity("256Mi", "Mi", 0.6) == 153
    assert quantity("1Ki", "", 0.1) == 102


def test_an_unknown_unit():
    with pytest.raises(StackgateError, match="MB"):
        quantity("1Gi", "MB")
