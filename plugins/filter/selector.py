# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.selector."""

from __future__ import annotations

DOCUMENTATION = r"""
name: selector
short_description: Labels that select the pods of a workload
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - The labels by which a Deployment, Service, PodDisruptionBudget or NetworkPolicy finds the pods of one workload.
options:
  _input:
    description: Name of the workload.
    type: str
    required: true
  instance:
    description: The instance that it belongs to.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show how the pods of redis are found
  ansible.builtin.debug:
    msg: "{{ 'redis' | stackgate.k3s.selector('wesago') }}"
"""

RETURN = r"""
_value:
  description: The labels.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import labels


def selector(name: str, instance: str) -> dict[str, str]:
    """See DOCUMENTATION."""
    try:
        return labels.selector(name, instance)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"selector": selector}
