# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.workload_services."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_services
short_description: List the Services that items are clients of
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Names of the Services of other components that enabled items are clients of, sorted. Those of the items themselves are left out,
    because they are made along with their clients.
options:
  _input:
    description: The items as written, see the role P(stackgate.k3s.workload#role).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the Services that the stack needs
  ansible.builtin.debug:
    msg: "{{ workload_items | stackgate.k3s.workload_services }}"
"""

RETURN = r"""
_value:
  description: The names.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.roles import workload


def workload_services(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """See DOCUMENTATION."""
    return workload.service_names(items)


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"workload_services": workload_services}
