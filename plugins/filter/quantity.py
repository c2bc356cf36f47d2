# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.quantity."""

from __future__ import annotations

DOCUMENTATION = r"""
name: quantity
short_description: A Kubernetes quantity as a number
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - Turns an amount of memory or storage, as Kubernetes writes it, into a whole number of a unit, rounded down.
options:
  _input:
    description: The amount, for example V(512Mi), V(1.5Gi) or V(1000000).
    type: str
    required: true
  unit:
    description: The unit of the result, for example V(Mi) or V(k). Bytes by default.
    type: str
    default: ''
  share:
    description: The part of the amount that is wanted, for example V(0.25).
    type: float
    default: 1.0
"""

EXAMPLES = r"""
- name: Show a quarter of the memory in MiB
  ansible.builtin.debug:
    msg: "{{ '1Gi' | stackgate.k3s.quantity('Mi', 0.25) }}"  # 256
"""

RETURN = r"""
_value:
  description: The number.
  type: int
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import quantity as amounts


def quantity(value: str | int, unit: str = "", share: float = 1.0) -> int:
    """See DOCUMENTATION."""
    try:
        return amounts.quantity(value, unit, share)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"quantity": quantity}
