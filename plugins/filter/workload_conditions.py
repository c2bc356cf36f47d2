# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.workload_conditions."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_conditions
short_description: The gate of the items of the role workload
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - The conditions that hold when all items are running, reachable, and may be disturbed as written.
options:
  _input:
    description: Complete items, see P(stackgate.k3s.workload_items#filter).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what the gate waits for
  ansible.builtin.debug:
    msg: "{{ workload_items | stackgate.k3s.workload_items('wesago') | stackgate.k3s.workload_conditions }}"
"""

RETURN = r"""
_value:
  description: Conditions for M(stackgate.k3s.gate).
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles import workload


def workload_conditions(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    return workload.gate(items)


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"workload_conditions": workload_conditions}
