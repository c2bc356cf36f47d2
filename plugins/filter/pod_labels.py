# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter stackgate.k3s.pod_labels."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_labels
short_description: Labels of a pod
version_added: 0.1.0
author:
  - The stackgate authors (@stackgate)
description:
  - All labels that a pod of this collection carries. They contain those of P(stackgate.k3s.selector#filter).
  - A pod that carries C(stackgate.k3s/client-of-redis) may connect to the component redis, one with C(stackgate.k3s/edge) is
    reached by the ingress controller. The network policies of the roles are written for these labels.
options:
  _input:
    description: Name of the workload.
    type: str
    required: true
  instance:
    description: The instance that it belongs to.
    type: str
    required: true
  component:
    description: The role that builds it. Without it, the name of the workload.
    type: str
    default: ''
  clients_of:
    description: Components that the pod connects to.
    type: list
    elements: str
    default: []
  edge:
    description: Whether the ingress controller may connect to the pod.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the labels of a pod that uses redis
  ansible.builtin.debug:
    msg: "{{ 'web' | stackgate.k3s.pod_labels('wesago', clients_of=['redis']) }}"
"""

RETURN = r"""
_value:
  description: The labels.
  type: dict
"""

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.roles import labels


def pod_labels(name: str, instance: str, component: str = "", clients_of: Iterable[str] = (), edge: bool = False) -> dict[str, str]:
    """See DOCUMENTATION."""
    try:
        return labels.pod_labels(name, instance, component, clients_of, edge)
    except StackgateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Tells ansible the filter's name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names and functions."""
        return {"pod_labels": pod_labels}
