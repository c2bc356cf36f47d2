# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.workload_items."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_items
short_description: Complete the items of the role workload
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Fills in what an item of C(workload_items) does not say, names its volumes, and gives each Job a name that holds a hash of all
    that it is made of.
options:
  _input:
    description: The items, see the role P(stackgate.k3s.workload#role).
    type: list
    elements: dict
    required: true
  instance:
    description: The instance that they belong to.
    type: str
    required: true
  defaults:
    description: What items have when they do not say, beside the role's own defaults.
    type: dict
    default: {}
  checksums:
    description: Checksums of Secrets by name. A changed one gives new pods.
    type: dict
    default: {}
  addresses:
    description: Addresses of the Services that items are clients of, by name, for the hosts files of their pods.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a short item means
  ansible.builtin.debug:
    msg: "{{ [{'name': 'tick', 'kind': 'Job', 'image': 'r/tick:1'}] | stackgate.k3s.workload_items('wesago') }}"
"""

RETURN = r"""
_value:
  description: The complete items.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import workload


def workload_items(
    items: Sequence[Mapping[str, Any]],
    instance: str,
    defaults: Mapping[str, Any] | None = None,
    checksums: Mapping[str, str] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        return workload.expand(items, instance, defaults or {}, checksums or {}, addresses or {})
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"workload_items": workload_items}
